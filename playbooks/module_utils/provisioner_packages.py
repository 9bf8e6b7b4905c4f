"""Packages at a wanted version that stay there: what is off about them, how apt is called, and who else has it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from ansible.module_utils.provisioner_host import Host, change

# How long to wait, in seconds, while another program (a first boot's upgrade, say) holds apt's lock.
LOCK_TIMEOUT = 600
APT_LOCKS = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock")
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1", "LC_ALL": "C"}


def look(host: Host, names: list[str], version: str = "", hold: bool = False) -> list[dict[str, str]]:
    """What `host_packages` would change: packages of `names` that are missing, that are of another version than
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


def runner(module: object) -> Callable[..., tuple[int, str, str]]:
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
    unmet = next((line for line in lines if re.match(r"\S+ : (Pre-?)?(Depends|Conflicts|Breaks):", line)), "")
    if unmet:  # what apt sums up as held broken packages
        return unmet
    for mark in ("GPG error", "E:", "Error:", "W: Failed"):
        for line in lines:
            if mark in line:
                return line.split(": ", 1)[-1] if line[:2] in {"E:", "W:"} else line
    return lines[-1] if lines else "no message"


def remedy_of(why: str) -> str:
    """How to mend what a package manager complains of."""
    if re.search("No space left|enough free space", why, re.IGNORECASE):
        return "make room on the host and run this again"
    if "Could not get lock" in why:
        return "wait until that program is done, or stop it, and run this again"
    # A distribution drops the headers of kernels that it has superseded: 6.1.0-37-cloud-amd64, 6.12.41+deb13-amd64.
    headers = re.search(r"package '?linux-headers-\d[\w.+~]*(?:-\d+)?-([a-z][\w.-]*)", why, re.IGNORECASE)
    if headers:
        return (
            "the kernel that runs is no longer offered, so upgrade it on the host: 'apt-get install "
            f"linux-image-{headers[1]} linux-headers-{headers[1]}', restart it, and run this again"
        )
    return "mend the host's sources or network and run this again"


def lock_holder(host: Host, paths: tuple[str, ...] = APT_LOCKS) -> tuple[str, str]:
    """First of `paths` that is locked by the kernel's table, which anyone may read, and its holder; or two ''."""
    locks = host.read("/proc/locks")
    for path in paths:
        try:
            status = Path(path).stat()
        except OSError:
            continue
        place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        held = re.search(rf"(\d+) {place} ", locks)
        if held:
            name = host.read(f"/proc/{held[1]}/comm").strip()
            return path, f"{name} (process {held[1]})" if name else "another program"
    return "", ""


def waiting_for(host: Host) -> str:
    """Who has which of apt's locks, for people; '' where they are free or there is no apt."""
    path, holder = lock_holder(host)
    return f"{holder}, which has {path}" if path else ""
