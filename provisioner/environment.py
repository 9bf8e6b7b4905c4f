"""The environment in which Ansible's own programs and pip run."""

import ast
import os
import subprocess
import sys
from pathlib import Path

from provisioner.paths import ansible_dir

__all__ = ["ansible_environment", "pip_index"]

SITE_CONFIGS = ("~/.ansible.cfg", "/etc/ansible/ansible.cfg")
"""Where Ansible looks for a configuration that no variable names."""

PYPI = "https://pypi.org/simple"
"""Where pip looks when nothing says otherwise."""


def ansible_environment(configuration: Path | None = None) -> dict[str, str]:
    """Return the environment for Ansible's own programs: the user's, ours where the user says nothing.

    `configuration` is what Ansible reads where the site has no configuration of its own (default: our ansible.cfg).
    """
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
        defaults["ANSIBLE_CONFIG"] = str(configuration or ansible_dir() / "ansible.cfg")
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
    """Return the index that pip takes packages from, by its own configuration or else PyPI; '' without pip."""
    ask = [sys.executable, "-m", "pip", "config", "list"]
    answer = subprocess.run(ask, capture_output=True, text=True, check=False)
    if answer.returncode:
        return ""
    settings = dict(line.split("=", 1) for line in answer.stdout.splitlines() if "=" in line)
    # A setting for one command goes over one for all, and the environment over files.
    for name in (":env:.index-url", "install.index-url", "global.index-url"):
        if name in settings:
            return str(ast.literal_eval(settings[name]))
    return PYPI
