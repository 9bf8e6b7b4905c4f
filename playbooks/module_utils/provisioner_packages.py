"""Packages at a wanted version that stay there: what is off about them, and how apt is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.module_utils.provisioner_host import change

# How long to wait, in seconds, while another program (a first boot's upgrade, say) holds apt's lock.
LOCK_TIMEOUT = 600
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1", "LC_ALL": "C"}


def look(host: Any, names: list[str], version: str = "", hold: bool = False) -> list[dict[str, str]]:
    """What `pinned_packages` would change: packages of `names` that are missing, that are of another version than
    `version` (empty for any), or that an upgrade could change although they should be held.
    """
    found = []
    for name in names:
        is_there = host.packages.get(name)
        if is_there is None or (version and is_there != version):
            found.append(change(f"package {name}", is_there or "absent", version or "installed"))
        if hold and name not in host.held:
            found.append(change(f"hold on {name}", "absent", "present"))
    return found


def apt(command: str, *arguments: str, **settings: str) -> list[str]:
    """The words that call apt-get, waiting for its lock. That it trusts a site's CA bundle is role site's doing."""
    fixed = {"DPkg::Lock::Timeout": str(LOCK_TIMEOUT)}
    if command == "update":
        fixed["APT::Update::Error-Mode"] = "any"  # without, a source that cannot be read counts as a success
    options = [word for key, value in {**fixed, **settings}.items() for word in ("-o", f"{key}={value}")]
    return ["apt-get", "--quiet", *options, command, *arguments]


def runner(module: Any) -> Callable[..., tuple[int, str, str]]:
    """Runs a package manager for an Ansible `module`: words in; exit code, stdout and stderr out.

    Not `Host.run`, whose patience ends after a minute: a package manager that is stopped half-way leaves a mess.
    """

    def run(*words: str) -> tuple[int, str, str]:
        code, out, errors = module.run_command(list(words), environ_update=QUIET)
        return code, out, errors

    return run


def complaint(*outputs: str) -> str:
    """The line of a package manager's `outputs` that says best what is wrong."""
    lines = [line.strip() for output in outputs for line in output.splitlines() if line.strip()]
    for mark in ("GPG error", "E:", "Error:", "W: Failed"):
        for line in lines:
            if mark in line:
                return line.split(": ", 1)[-1] if line[:2] in {"E:", "W:"} else line
    return lines[-1] if lines else "no message"
