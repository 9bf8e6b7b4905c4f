"""The environment in which Ansible's own programs and pip run: what a job relies on is ours, the rest the site's."""

import ast
import configparser
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from provisioner.ansible import passwords, site_settings
from provisioner.system.paths import COLLECTION, ansible_dir

__all__ = ["AnsibleEnvironment", "ansible_environment", "pip_index", "program_path"]

PYPI = "https://pypi.org/simple"
"""Where pip looks when nothing says otherwise."""

DEFAULTS = {
    "defaults.pipelining": "True",
    "defaults.interpreter_python": "auto_silent",
    "defaults.timeout": "20",
    # Connections outlive the pauses between looks at a run, and a dead one is noticed in a minute.
    "ssh_connection.ssh_args": "-o ControlMaster=auto -o ControlPersist=300s"
    " -o ServerAliveInterval=15 -o ServerAliveCountMax=4",
}
"""Settings of the site's, as they are where it says nothing."""

CARRIED = {
    "ANSIBLE_HOST_KEY_CHECKING": ("defaults.host_key_checking",),
    "ANSIBLE_SSH_HOST_KEY_CHECKING": ("ANSIBLE_HOST_KEY_CHECKING", "ssh_connection.host_key_checking"),
    "ANSIBLE_PARAMIKO_HOST_KEY_CHECKING": ("ANSIBLE_HOST_KEY_CHECKING", "paramiko_connection.host_key_checking"),
    "ANSIBLE_INVENTORY_CACHE_PLUGIN": ("ANSIBLE_CACHE_PLUGIN", "inventory.cache_plugin", "defaults.fact_caching"),
    "ANSIBLE_INVENTORY_CACHE_TIMEOUT": (
        *("ANSIBLE_CACHE_PLUGIN_TIMEOUT", "inventory.cache_timeout", "defaults.fact_caching_timeout"),
    ),
    "ANSIBLE_INVENTORY_CACHE_CONNECTION": (
        *("ANSIBLE_CACHE_PLUGIN_CONNECTION", "inventory.cache_connection", "defaults.fact_caching_connection"),
    ),
    "ANSIBLE_INVENTORY_CACHE_PLUGIN_PREFIX": (
        *("ANSIBLE_CACHE_PLUGIN_PREFIX", "inventory.cache_prefix", "defaults.fact_caching_prefix"),
    ),
}
"""Variables that must say what the site says elsewhere: ansible-runner sets others of the same settings.

Without the first it takes any host's key; and facts are cached for a job alone, with which an inventory's cache would
go.
"""


@dataclass(frozen=True)
class AnsibleEnvironment:
    """What Ansible's own programs are given."""

    variables: dict[str, str]
    configuration: str
    """The content of ansible.cfg."""
    collections: str
    """Where the site has its collections, as `collections_path` has it."""

    def within(self, folder: Path) -> dict[str, str]:
        """Write the configuration below `folder` and return the variables, with where it and our collection are.

        Its collections/ has our collection and no other: it comes first, whichever version of it the site has, and
        takes the place of none of the site's.
        """
        path = folder / "env" / "ansible.cfg"
        collections = folder / "collections"
        link = collections / "ansible_collections" / COLLECTION.replace(".", "/")
        path.parent.mkdir(mode=0o700)
        path.touch(mode=0o600)
        path.write_text(self.configuration, encoding="utf-8")
        link.parent.mkdir(parents=True)
        link.symlink_to(ansible_dir())
        return self.variables | {
            "ANSIBLE_CONFIG": str(path),
            "ANSIBLE_COLLECTIONS_PATH": f"{collections}:{self.collections}",
        }


def ansible_environment(pause: float = 0.02, *, job: bool = False) -> AnsibleEnvironment:
    """Return the environment for Ansible's own programs: the site's, as far as our job does not rely on ours.

    `pause` is how many seconds Ansible waits between looks whether a task has ended. `job` says that it reaches
    hosts, for which passwords may have to be asked. Raise ProvisionerError (code 2) where a setting cannot be had.
    """
    site = site_settings.read()
    variables = {
        **site.variables,
        **_carried(site),
        **passwords.variables(site, job=job),
        "PATH": program_path(site.variables.get("PATH", os.defpath)),
        "LC_ALL": "C.UTF-8",  # Ansible refuses to start in any other encoding
    }
    return AnsibleEnvironment(variables, _configuration(site, _ours(pause)), _collections(site))


def program_path(path: str | None = None) -> str:
    """Return where programs are looked for: first those that belong to this Python, its environment active or not."""
    return os.pathsep.join([str(Path(sys.executable).parent), path or os.environ.get("PATH", os.defpath)])


def _ours(pause: float) -> dict[str, str]:
    """Return what our jobs rely on, by section and key; what is not here is as Ansible has it by itself."""
    return {
        "defaults.gathering": "smart",
        "defaults.task_timeout": "7200",
        # Else what hosts return would outrank the inventory (docs/security.md).
        "defaults.inject_facts_as_vars": "False",
        "defaults.internal_poll_interval": str(pause),
        "defaults.callback_result_format": "yaml",
        "defaults.nocolor": "True",
        "defaults.deprecation_warnings": "False",
        "inventory.any_unparsed_is_failed": "True",
    }


def _configuration(site: site_settings.Site, ours: dict[str, str]) -> str:
    parser = configparser.RawConfigParser()
    parser.read_dict(_sections(DEFAULTS))
    parser.read_dict(site.sections)
    parser.read_dict(_sections(ours))
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def _sections(values: dict[str, str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for name, value in values.items():
        section, _, key = name.partition(".")
        found.setdefault(section, {})[key] = value
    return found


def _carried(site: site_settings.Site) -> dict[str, str]:
    """Return the variables of CARRIED that something is said of; a host's key is checked where nothing is."""
    found = {"ANSIBLE_HOST_KEY_CHECKING": "True"}
    for variable, places in CARRIED.items():
        said = [site.said[place] for place in (variable, *places) if place in site.said]
        if said:
            found[variable] = said[0]
    return found


def _collections(site: site_settings.Site) -> str:
    """Return where the site has its collections, or Ansible looks for them by itself."""
    if "COLLECTIONS_PATHS" in site.given:
        return site.given["COLLECTIONS_PATHS"].value
    home = site.given["ANSIBLE_HOME"].value if "ANSIBLE_HOME" in site.given else "~/.ansible"
    return f"{home}/collections:/usr/share/ansible/collections"


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
