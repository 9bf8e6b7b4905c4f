"""The environment in which Ansible's own programs and pip run."""

import os
import subprocess
import sys
from pathlib import Path

from provisioner.paths import ansible_dir

__all__ = ["ansible_environment", "pip_index"]

SITE_CONFIGS = ("~/.ansible.cfg", "/etc/ansible/ansible.cfg")
"""Where Ansible looks for a configuration that no variable names."""


def ansible_environment() -> dict[str, str]:
    """Give the environment for Ansible's own programs: the user's, ours where the user says nothing."""
    defaults = {
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_GATHERING": "smart",
        "ANSIBLE_PYTHON_INTERPRETER": "auto_silent",
        "ANSIBLE_TIMEOUT": "20",
        "ANSIBLE_TASK_TIMEOUT": "7200",
        "ANSIBLE_ROLES_PATH": str(ansible_dir() / "roles"),
        "ANSIBLE_MODULE_UTILS": str(ansible_dir() / "playbooks" / "module_utils"),
        # Connections outlive the pauses between looks at a run, and a dead one is noticed in a minute.
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=300s"
        " -o ServerAliveInterval=15 -o ServerAliveCountMax=4",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
    }
    if not any(Path(path).expanduser().exists() for path in SITE_CONFIGS):
        defaults["ANSIBLE_CONFIG"] = str(ansible_dir() / "ansible.cfg")
    return {
        **defaults,
        **os.environ,
        # The programs that belong to this Python, whether or not its environment is activated.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        # Not the user's to choose: else what hosts return would outrank the inventory (docs/security.md).
        "ANSIBLE_INJECT_FACT_VARS": "False",
        "ANSIBLE_NOCOLOR": "True",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        "LC_ALL": "C.UTF-8",  # Ansible refuses to start in any other encoding
    }


def pip_index() -> str:
    """Give the index that pip takes packages from, by its own configuration or else its default; '' without pip."""
    ask = (
        "from pip._internal.configuration import Configuration as C; from pip._internal.models.index import PyPI;"
        "c = C(False); c.load(); d = dict(c.items());"
        "print(d.get(':env:.index-url') or d.get('global.index-url') or PyPI.simple_url)"
    )
    answer = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=False)
    return answer.stdout.strip()
