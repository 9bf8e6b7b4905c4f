"""Checks what a user gives before any host is touched; whatever is wrong is one line and exit code 2.

The variables are checked by the same rules when they come from an inventory: playbooks/validate.yml.
"""

import os
import re
import shutil
import subprocess
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from provisioner import inventory
from provisioner.errors import Exit, ProvisionerError
from provisioner.paths import ansible_dir, ensure_state_dir, state_dir

__all__ = ["Target", "arch_list", "check", "max_jobs", "profile", "url", "username"]


@dataclass(frozen=True)
class Target:
    """What a job is done to, checked: the hosts, and how they are reached."""

    inventory: str
    hosts: tuple[str, ...]
    state: Path
    limit: str | None = None
    forks: int = 10
    verbosity: int = 0
    extra_vars: dict[str, Any] = field(default_factory=dict)
    local: frozenset[str] = frozenset()
    """Those of `hosts` that are this machine."""


def check(options: Namespace, extra_vars: dict[str, Any] | None = None, *, root: bool = True) -> Target:
    """Check the common options and give the target; `extra_vars` are a command's own and go over -e.

    `root` says whether the command needs to be root on its hosts. Raises ProvisionerError (code 2).
    """
    state = ensure_state_dir(state_dir(options.state_dir))
    variables = _extra_vars(options.extra_vars) | (extra_vars or {})
    if options.profile is not None:
        variables["provisioner_profile"] = options.profile
    for name, rule in RULES.items():
        if name in variables:
            variables[name] = rule(variables[name])
    if not 1 <= options.forks <= 1000:
        raise _bad(f"--forks {options.forks} is not between 1 and 1000", "try --forks 10")
    found = inventory.read(options.inventory or str(ansible_dir() / "inventory" / "localhost.yml"))
    hosts = inventory.select(found, options.limit)
    if "provisioner_profile" not in variables:
        # Of all that an inventory may set, this one picks the file that the playbooks begin with.
        for name in {found.profiles[host] for host in hosts if host in found.profiles} - {""}:
            profile(name)
    local = frozenset(hosts) & found.local
    become_password = {"ansible_become_password", "ansible_become_pass", "ansible_sudo_pass"} & set(variables)
    if root and local and not become_password:
        _need_root()
    return Target(
        inventory=found.source,
        hosts=hosts,
        state=state,
        limit=options.limit,
        forks=options.forks,
        verbosity=options.verbose,
        extra_vars=variables | {"provisioner_state_dir": str(state)},
        local=local,
    )


def profile(value: str) -> str:
    """Give the profile's name where there is such a profile."""
    known = sorted(path.stem for path in (ansible_dir() / "inventory" / "profiles").glob("*.yml"))
    if value not in known:
        raise _bad(f"no profile named {_shown(value)}", f"there are {' and '.join(known)}")
    return value


def username(value: str) -> str:
    """Give a GitHub user name: up to 39 letters, digits and single hyphens, none of these at an end."""
    if not re.fullmatch(r"(?!.*--)[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?", value):
        raise _bad(
            f"{_shown(value)} is not a GitHub user name",
            "it has up to 39 letters, digits and single hyphens, and starts and ends without a hyphen",
        )
    return value


def url(value: str) -> str:
    """Give a URL that git clones from; '' means that it follows from the user name."""
    if value == "":
        return value
    remedy = "give https://HOST/PATH, ssh://HOST/PATH, git://HOST/PATH or file:///PATH"
    if not re.fullmatch(r"(https|ssh|git|file)://[A-Za-z0-9@._~:/+-]+", value):
        raise _bad(f"{_shown(value)} is not a URL to clone xformers from", remedy)
    try:
        parts = urlsplit(value)
        host, secret, _ = parts.hostname or "", parts.password, parts.port
    except ValueError:
        raise _bad(f"{_shown(value)} is not a URL to clone xformers from", remedy) from None
    if secret is not None or (parts.scheme == "https" and parts.username is not None):
        raise _bad(
            "the xformers URL holds a password or a token, which would end up in the record",
            "leave it out and let git's own credential helper give it",
        )
    named = parts.path.strip("/") and (not host if parts.scheme == "file" else host)
    if not named or "-" in (parts.netloc[:1], host[:1]):
        raise _bad(f"{_shown(value)} is not a URL to clone xformers from", remedy)
    return value


def arch_list(value: str) -> str:
    """Give a list of GPU architectures in torch's syntax, separated by semicolons; 'auto' gives ''."""
    if value in {"", "auto"}:
        return ""
    names = [name for name in re.split(r"[; ]+", value) if name]
    wrong = [name for name in names if not re.fullmatch(r"[1-9]\d?\.\d[af]?(\+PTX)?", name)]
    if wrong or not names:
        raise _bad(
            f"{_shown(wrong[0] if wrong else value)} is not a GPU architecture",
            "give a list such as '8.0;9.0a;8.6+PTX', or auto",
        )
    return ";".join(names)


def max_jobs(value: str) -> str:
    """Give the number of compile jobs at a time, 1 to 1024; 'auto' gives '', and the host decides."""
    if value in {"", "auto"}:
        return ""
    if not re.fullmatch(r"[1-9]\d{0,3}", value, re.ASCII) or int(value) > 1024:
        raise _bad(f"{_shown(value)} is not a number of compile jobs", "give 1 to 1024, or auto")
    return value


RULES: dict[str, Callable[[str], str]] = {
    "provisioner_profile": profile,
    "scenario_a_username": username,
    "scenario_a_xformers_url": url,
    "scenario_a_arch_list": arch_list,
    "scenario_a_max_jobs": max_jobs,
}
"""Each variable that is checked, by whichever way it was given, and its rule."""


def _extra_vars(given: list[str]) -> dict[str, Any]:
    variables = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*", key, re.ASCII):
            raise _bad(f"-e {_shown(text)} is not KEY=VALUE", "try -e scenario_a_max_jobs=8")
        variables[key] = value
    return variables


def _need_root() -> None:
    if os.geteuid() == 0:
        return
    sudo = shutil.which("sudo")
    if sudo and not subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode:
        return
    raise _bad(
        "preparing this machine needs root, and sudo asks for a password or is not here",
        "run as root, or allow this user sudo without a password",
    )


def _shown(value: str) -> str:
    """Quote a user's text for a message: on one line, of bounded length."""
    return repr(value if len(value) <= 80 else value[:77] + "...")


def _bad(message: str, remedy: str) -> ProvisionerError:
    return ProvisionerError(message, remedy, Exit.BAD_INPUT)
