"""How apt is called, what it says, how old its lists are, and who else is at it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host

# How long to wait, in seconds, while another program (a first boot's upgrade, say) holds apt's lock.
LOCK_TIMEOUT = 600
APT_LOCKS = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock")
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1", "LC_ALL": "C"}

# apt's lists count as new for this long, in seconds, unless its sources change: roles ask for packages one by one.
LISTS_SERVE = 600
STAMP = Path("/run/provisioner-apt-lists")
SOURCES = Path("/etc/apt")
LISTS = Path("/var/lib/apt/lists")
# Which of these was written last tells when the lists were refreshed; the lists themselves have their server's times.
REFRESHED = (LISTS, LISTS / "partial", Path("/var/lib/apt/periodic/update-success-stamp"), STAMP)

# For an update that asks what sources there are and who signed them, and fetches no lists of packages.
NO_INDEXES = {
    f"Acquire::IndexTargets::{kind}::DefaultEnabled": "false"
    for kind in ("deb::Packages", "deb::Translations", "deb-src::Sources")
}


def apt(command: str, *arguments: str, **settings: str) -> list[str]:
    """Return the words that call apt-get, waiting for its lock. Role site has it trust the site's CA bundle."""
    fixed = {"DPkg::Lock::Timeout": str(LOCK_TIMEOUT)}
    if command == "update":
        fixed["APT::Update::Error-Mode"] = "any"  # without, a source that cannot be read counts as a success
    options = [word for key, value in {**fixed, **settings}.items() for word in ("-o", f"{key}={value}")]
    return ["apt-get", "--quiet", *options, command, *arguments]


def runner(module: object) -> Callable[..., tuple[int, str, str]]:
    """Return what runs a package manager for an Ansible `module`: words in; exit code, stdout and stderr out.

    Not `Host.run`, whose patience ends after a minute: a package manager that is stopped half-way leaves a mess.
    """

    def run(*words: str) -> tuple[int, str, str]:
        code, out, errors = module.run_command(list(words), environ_update=QUIET)
        return code, out, errors

    return run


def lists_are_new() -> bool:
    """Return whether we refreshed apt's lists a moment ago, and no source or setting has changed since."""
    if not STAMP.exists():
        return False
    refreshed = STAMP.stat().st_mtime
    changed = max(path.lstat().st_mtime for path in (SOURCES, *SOURCES.rglob("*")))
    return changed <= refreshed and time.time() - refreshed < LISTS_SERVE


def age_of_lists() -> str:
    """Return how old apt's lists are, for people."""
    if not any(LISTS.glob("*_Packages*")):
        return "absent"
    hours = (time.time() - max(path.stat().st_mtime for path in REFRESHED if path.exists())) / 3600
    return f"{hours / 24:.0f} days old" if hours >= 48 else f"{max(hours, 0):.0f} h old"


def complaint(*outputs: str) -> str:
    """Return the line of a package manager's `outputs` that says best what is wrong."""
    lines = [line.strip() for output in outputs for line in output.splitlines() if line.strip()]
    unmet = next((line for line in lines if re.match(UNMET, line)), "")
    if unmet:  # what apt sums up as held broken packages
        return unmet
    for line, after in zip(lines, [*lines[1:], ""]):  # noqa: B905 - Python 3.9 has no strict
        if line.startswith("dpkg: error processing"):  # what apt sums up as an error code
            return f"{line} {after}" if line.endswith(":") else line
    for mark in ("GPG error", "E:", "Error:", "W: Failed"):
        for line in lines:
            if mark in line:
                return line.split(": ", 1)[-1] if line[:2] in {"E:", "W:"} else line
    return lines[-1] if lines else "no message"


# What mends what a package manager complains of: the first that fits, with the pattern's groups. A distribution drops
# the headers of kernels that it has superseded: 6.1.0-37-cloud-amd64, 6.12.41+deb13-amd64.
UNMET = r"^\S+ : (?:Pre-?)?(?:Depends|Conflicts|Breaks):"
REMEDIES = (
    ("No space left|enough free space", "make room on the host"),
    ("Could not get lock", "wait until that program is done, or stop it,"),
    (
        r"package '?linux-headers-\d[\w.+~]*(?:-\d+)?-([a-z][\w.-]*)",
        "the kernel that runs is no longer offered, so upgrade it on the host: "
        "'apt-get install linux-image-{0} linux-headers-{0}', restart it,",
    ),
    (r"^dpkg: error processing package (\S+)", "mend that package on the host ('dpkg --configure {0}' tries it again)"),
    (UNMET, "mend the host's packages ('apt-get check' shows what is wrong) or its sources"),
    ("Conflicting values|Malformed|not known on line|list of sources", "mend the host's sources in /etc/apt"),
    ("Problem executing scripts|Failure running script", "see on the host what that hook of apt asks for, do it,"),
    ("Held packages", "unhold what is held ('apt-mark showhold' lists it)"),
    ("specified for pin|preferences", "mend /etc/apt/preferences.d"),
    ("", "mend the host's sources or network"),
)


def remedy_of(why: str) -> str:
    """Return how to mend what a package manager complains of."""
    found = ((re.search(pattern, why, re.IGNORECASE), remedy) for pattern, remedy in REMEDIES)
    match, remedy = next((match, remedy) for match, remedy in found if match)
    return f"{remedy.format(*match.groups())} and run this again"


def lock_holder(host: Host, paths: tuple[str, ...] = APT_LOCKS) -> tuple[str, str]:
    """Return the first of `paths` that is locked and its holder, by the kernel's table, open to all; or two ''."""
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
    """Return who has which of apt's locks, for people; '' where they are free or there is no apt."""
    path, holder = lock_holder(host)
    return f"{holder}, which has {path}" if path else ""
