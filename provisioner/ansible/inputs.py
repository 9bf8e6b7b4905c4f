"""Checks what a user gives before any host is touched; whatever is wrong is one line and exit code 2."""

import importlib
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Collection
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

from provisioner.ansible import environment, failed_hosts, given_variables, inventory, passwords, site_settings
from provisioner.ansible.target import Target, TargetOptions
from provisioner.errors import Exit, ProvisionerError, of_option
from provisioner.system.paths import ansible_dir, ensure_state_dir, state_dir
from provisioner.text.suggestions import did_you_mean

__all__ = ["AUTO", "RUNTIMES", "check", "profile", "profile_data", "profile_files", "settings"]

DEFAULT_PROFILE = "seed"
RUNTIMES = ("devcontainer", "native")
AUTO = ("scenario_arch_list", "scenario_max_jobs")
"""Settings that the host can choose by itself."""


def check(
    options: TargetOptions,
    extra_vars: dict[str, Any] | None = None,
    *,
    root: bool = True,
    like: dict[str, Any] | None = None,
) -> Target:
    """Check the common options and return the target; `extra_vars` are a command's own and go over -e.

    `like` are the variables of a run that is repeated: whatever is given by hand goes over them.
    `root` says whether the command needs to be root on its hosts. Raise ProvisionerError (code 2).
    """
    state = ensure_state_dir(state_dir(options.state_dir))
    variables = (like or {}) | given_variables.of_options(options.extra_vars) | (extra_vars or {})
    if options.profile is not None:
        variables["provisioner_profile"] = options.profile
    if "provisioner_profile" in variables:
        with of_option("--profile") if options.profile is not None else nullcontext():
            profile(variables["provisioner_profile"])
    by_option = set(extra_vars or ())
    if options.runtime is not None:
        variables["scenario_runtime"] = options.runtime
        by_option.add("scenario_runtime")
    variables = settings(variables, by_option)
    # The job needs it next, and it is slow to import: Ansible reads the inventory meanwhile.
    threading.Thread(target=importlib.import_module, args=["ansible_runner"]).start()
    found = inventory.read(list(options.inventory) or [str(ansible_dir() / "inventory" / "localhost.yml")], state)
    limit = failed_hosts.expand(options.limit, state, found.source)
    hosts = inventory.select(found, limit)
    _raise_if_wrong(found, hosts)
    _tell_earlier_names(found, hosts)
    environment.ansible_environment(job=True)  # whatever it has to ask is asked now
    profiles = _profiles(variables, found, hosts)
    local = frozenset(hosts) & found.local
    become_password = {"ansible_become_password", "ansible_become_pass", "ansible_sudo_pass"} & set(variables)
    if root and local and not become_password and not passwords.with_become(site_settings.read()):
        _need_root()
    return Target(
        inventory=found.sources,
        hosts=hosts,
        state=state,
        limit=limit,
        forks=options.forks,
        verbosity=options.verbosity,
        extra_vars=variables | {"provisioner_state_dir": str(state)},
        local=local,
        profiles=profiles,
    )


def _tell_earlier_names(found: inventory.Inventory, hosts: Collection[str]) -> None:
    """Tell which variables of the hosts that are meant have another name now."""
    for name in sorted({name for host in hosts for name in found.earlier.get(host, ())}):
        given_variables.earlier_name_told(name, f"the inventory {found.source}")


def _raise_if_wrong(found: inventory.Inventory, hosts: Collection[str]) -> None:
    """Raise ProvisionerError (code 2) where the inventory has something of one of these hosts that it must not have."""
    for host in hosts:
        if host in found.wrong:
            raise _bad(f"the inventory {found.source}: {host}: {found.wrong[host]}", "mend it there")


def _profiles(variables: dict[str, Any], found: inventory.Inventory, hosts: Collection[str]) -> frozenset[str]:
    """Return the profiles that these hosts have. Raise ProvisionerError (code 2) where there is no such profile."""
    # Of all that an inventory may set, this one picks the file that the playbooks begin with.
    own = {host: found.profiles.get(host) or DEFAULT_PROFILE for host in hosts}
    profiles = frozenset([variables["provisioner_profile"]] if "provisioner_profile" in variables else own.values())
    for name in profiles:
        profile(name)
    return profiles


def profile(value: str) -> str:
    """Return the profile's name where there is such a profile."""
    known = profile_files()
    if value not in known:
        remedy = did_you_mean(value, known) or f"there are {' and '.join(known)}"
        raise _bad(f"no profile named {_shown(value)}", remedy)
    return value


def profile_files() -> dict[str, Path]:
    """Return the file of each profile, by the profile's name."""
    return {path.stem: path for path in sorted((ansible_dir() / "inventory" / "profiles").glob("*.yml"))}


def profile_data(name: str) -> dict[str, Any]:
    """Return what a profile's file holds."""
    import yaml  # noqa: PLC0415 - only where it is asked for

    path = ansible_dir() / "inventory" / "profiles" / f"{name}.yml"
    return cast(dict[str, Any], yaml.safe_load(path.read_text(encoding="utf-8"))["profile"])


def settings(variables: dict[str, Any], by_option: Collection[str] = ()) -> dict[str, Any]:
    """Return the variables, checked by the rules of role scenario; 'auto' becomes '', by which the host chooses.

    The rules are data of the role, so that plain ansible-playbook checks the same. Those in `by_option` are called
    what the command's option is. Raise ProvisionerError (code 2).
    """
    checked = {name: "" if name in AUTO and value == "auto" else value for name, value in variables.items()}
    for rule in _rules() if any(name.startswith("scenario") for name in checked) else ():
        name = rule["name"]
        if isinstance(checked.get(name), str) and not re.match(rule["pattern"], checked[name]):
            shown = re.sub(r"//[^/@]*@", "//", checked[name])  # a URL's password stays secret
            called = f"--{name.removeprefix('scenario_').replace('_', '-')}" if name in by_option else name
            meant = did_you_mean(shown, RUNTIMES) if name == "scenario_runtime" else ""
            raise _bad(f"{called} is {_shown(shown)}", meant or f"give {rule['wanted']}")
    return checked


def _rules() -> list[dict[str, str]]:
    import yaml  # noqa: PLC0415 - only where there is something to check

    variables = ansible_dir() / "roles" / "scenario" / "vars" / "main.yml"
    return cast(list[dict[str, str]], yaml.safe_load(variables.read_text(encoding="utf-8"))["scenario_rules"])


def _need_root() -> None:
    if os.geteuid() == 0:
        return
    sudo = shutil.which("sudo")
    said = "there is no sudo here"
    if sudo:
        tried = subprocess.run([sudo, "-n", "true"], capture_output=True, text=True, check=False)
        if not tried.returncode:
            return
        said = (tried.stderr.strip().splitlines() or ["sudo refuses, without a word"])[-1]
    raise _bad(
        f"preparing this machine needs root, and {said}",
        "run as root, or allow this user sudo without a password and without a terminal",
    )


def _shown(value: str) -> str:
    """Quote a user's text for a message: on one line, of bounded length."""
    return repr(value if len(value) <= 80 else value[:77] + "...")


def _bad(message: str, remedy: str) -> ProvisionerError:
    return ProvisionerError(message, remedy, Exit.BAD_INPUT)
