"""What the kernel shows of Docker, whether or not an engine answers: which engines run, and which containers."""

from __future__ import annotations

import os
import pwd
import re
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
# The kernel tells a program's first 15 letters; before Docker 18.09 the shim was docker-containerd-shim.
SHIMS = ("containerd-shim", "docker-containe")
DEFAULT_ADDRESS = "unix:///var/run/docker.sock"

# A dockerd: its process, the user it runs as, the words that it was called with, and its cgroups.
Daemon = namedtuple("Daemon", "pid user words cgroup")


def daemons() -> list[Daemon]:
    """Return every dockerd of this host; those inside of containers are the containers' own."""
    return [one for one in (daemon(pid) for pid, name in _processes() if name == "dockerd") if one]


def daemon(pid: str) -> Daemon | None:
    """Return the dockerd that is process `pid`; None where that is something else."""
    if _text(pid, "comm").strip() != "dockerd" or not _is_host_s(pid):
        return None
    return Daemon(int(pid), _user(pid), _words(pid), _text(pid, "cgroup"))


def containers() -> list[str]:
    """Return the ids of the containers that run under the system's engine, or ran under one that is gone.

    Each has a shim, which containerd keeps apart by namespace, and cgroups of its own. What runs under Kubernetes,
    Podman or a user's rootless engine is not among them.
    """
    found = set()
    outside = set(_ids(_text("1", "cgroup")))  # where this host is itself a container
    for pid, name in _processes():
        if name in SHIMS and _is_host_s(pid) and _user(pid) == "root":
            words = _words(pid)
            if "moby" in option(words, "-namespace"):
                found.update(option(words, "-id") or [Path(word).name for word in option(words, "-workdir")])
        cgroup = _text(pid, "cgroup")
        if "/user.slice/" not in cgroup:
            found.update([one for one in _ids(cgroup) if one not in outside][:1])
    return sorted(found)


def addresses(daemon: Daemon, hosts: list[str], activated: list[str]) -> list[str]:
    """Return where `daemon` listens: by its words, by `hosts` in its settings, and `activated` by systemd."""
    found = []
    for address in [*option(daemon.words, "-H", "--host"), *hosts]:
        if address.startswith("fd://"):
            found += [f"unix://{path}" for path in activated]
        else:
            found.append(DEFAULT_ADDRESS if address == "unix://" else address)
    return found or [DEFAULT_ADDRESS]


def same_socket(address: str, path: str) -> bool:
    """Return whether `address` is that of the socket at `path`, whichever of its folder's names it uses."""
    kind, _unused, place = address.rpartition("://")
    return kind in ("unix", "") and os.path.realpath(place) == os.path.realpath(path)


def started_at(pid: int) -> float:
    """Return when process `pid` started, in seconds since the epoch."""
    boot = next(line for line in (PROC / "stat").read_text().splitlines() if line.startswith("btime"))
    ticks = _text(str(pid), "stat").rsplit(")", 1)[1].split()[19]
    return int(boot.split()[1]) + int(ticks) / os.sysconf("SC_CLK_TCK")


def option(words: list[str], *names: str) -> list[str]:
    """Return the values that `words` give an option, in any of the ways that Go programs take."""
    found = []
    for number, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in names and equals:
            found.append(value)
        elif word in names:
            found += words[number + 1 : number + 2]
        else:
            found += [word[2:] for short in names if len(short) == 2 and word[:2] == short]
    return found


def _processes() -> Iterator[tuple[str, str]]:
    """Yield the number and name of each process."""
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            yield entry.name, _text(entry.name, "comm").strip()


def _is_host_s(pid: str) -> bool:
    """Return whether a process has no number of its own in a container."""
    numbers = re.search(r"^NSpid:(.*)$", _text(pid, "status"), re.MULTILINE)
    return not numbers or len(numbers[1].split()) == 1


def _user(pid: str) -> str:
    try:
        number = (PROC / pid).stat().st_uid
    except OSError:
        return ""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _words(pid: str) -> list[str]:
    return _text(pid, "cmdline").split("\0")[:-1]


def _ids(cgroup: str) -> list[str]:
    """Return the names of containers, a build's too, in the cgroups that Docker's drivers give them."""
    return re.findall(r"/docker[-/](?:buildkit/)?([0-9a-z]{25,64})\b", cgroup)


def _text(pid: str, name: str) -> str:
    try:
        return (PROC / pid / name).read_bytes().decode(errors="replace")
    except OSError:
        return ""
