"""The environment in which Ansible's own programs run."""

import os
import sys
from pathlib import Path

from provisioner.paths import ansible_dir

__all__ = ["ansible_environment"]


def ansible_environment() -> dict[str, str]:
    """Give the environment for Ansible's own programs: the user's, ours where the user says nothing."""
    defaults = {
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_GATHERING": "smart",
        "ANSIBLE_PYTHON_INTERPRETER": "auto_silent",
        "ANSIBLE_TIMEOUT": "20",
        "ANSIBLE_ROLES_PATH": str(ansible_dir() / "roles"),
        "ANSIBLE_MODULE_UTILS": str(ansible_dir() / "playbooks" / "module_utils"),
        # Connections outlive the pauses between looks at a run, and a dead one is noticed in a minute.
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=300s"
        " -o ServerAliveInterval=15 -o ServerAliveCountMax=4",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
    }
    return {
        **defaults,
        **os.environ,
        # The programs that belong to this Python, whether or not its environment is activated.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "ANSIBLE_NOCOLOR": "True",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        "LC_ALL": "C.UTF-8",  # Ansible refuses to start in any other encoding
    }
