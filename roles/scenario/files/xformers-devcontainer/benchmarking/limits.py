"""Print how many cores the compile may use, and how many KiB of memory are free for it: of the machine, and within
every limit that the compile will be under.

    limits.py native|devcontainer

Native, these are the limits of this process. In a devcontainer they are those of the engine's containers: neither nproc
nor /proc/meminfo tell of those. Standard library only: it runs on the benchmarked host, beside scenario_a.sh.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
SETTINGS = Path("/etc/docker/daemon.json")


class Group:
    """A control group: of version 2, or of version 1, where each controller has a tree of its own."""

    def __init__(self, path: str, root: Path = GROUPS) -> None:
        self.path, self.root = path, root
        self.unified = (root / "cgroup.controllers").exists()

    def chain(self, controller: str) -> Iterator[Path]:
        """Give the group's folder and those above it: what holds for one holds for all in it."""
        top = self.root if self.unified else self.root / controller
        folder = top / self.path.lstrip("/")
        while folder != top:
            yield folder
            folder = folder.parent
        yield top

    def memory(self) -> int | None:
        """Return the bytes that are free within its limits; None where it has none."""
        limit, used, stat, cache = (
            ("memory.max", "memory.current", "memory.stat", "inactive_file")
            if self.unified
            else ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat", "total_inactive_file")
        )
        free = []
        for folder in self.chain("memory"):
            limits = (number(folder / limit), number(folder / "memory.high"))
            most, now = min((one for one in limits if one is not None), default=None), number(folder / used)
            if most is None or now is None or most > 2**60:  # version 1 has a number for "none"
                continue
            # Files that were read are dropped before anything is killed.
            spare = re.search(rf"^{cache} (\d+)$", text(folder / stat), re.MULTILINE)
            free.append(most - now + (int(spare[1]) if spare else 0))
        return max(min(free), 0) if free else None

    def cores(self) -> float | None:
        """Return the cores that its quotas and sets of processors leave; None where it has neither."""
        found = []
        for folder in self.chain("cpu"):
            if self.unified:
                quota, _unused, period = text(folder / "cpu.max").partition(" ")
            else:
                quota, period = text(folder / "cpu.cfs_quota_us"), text(folder / "cpu.cfs_period_us")
            if quota.isdigit() and period.isdigit() and int(period):
                found.append(int(quota) / int(period))
        name = "cpuset.cpus.effective" if self.unified else "cpuset.effective_cpus"
        for folder in self.chain("cpuset"):
            if cpus := count(text(folder / name) or text(folder / "cpuset.cpus")):
                found.append(float(cpus))
                break  # it is part of those above
        return min(found, default=None)


def text(path: Path) -> str:
    """Return a file's text, stripped; empty where it cannot be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def number(path: Path) -> int | None:
    """Return the number in a file; None where it has none, "max" for example."""
    found = text(path)
    return int(found) if found.isdigit() else None


def count(processors: str) -> int:
    """Return how many processors a list such as "0-3,8" names; 0 where it is none."""
    ranges = [re.fullmatch(r"(\d+)(?:-(\d+))?", part) for part in processors.split(",")]
    return sum(int(one[2] or one[1]) - int(one[1]) + 1 for one in ranges if one) if all(ranges) else 0


def own_group(controller_text: str, controller: str) -> str:
    """Return this process's group by /proc/self/cgroup's text: of a controller, or the one of version 2."""
    groups = dict(line.split(":", 2)[1:] for line in controller_text.splitlines() if line.count(":") >= 2)
    named = next((path for names, path in groups.items() if controller in names.split(",")), None)
    return named or groups.get("", "/")


def engine_group() -> str:
    """Return the group that the engine makes its containers' groups in."""
    try:
        parent = json.loads(text(SETTINGS) or "{}").get("cgroup-parent")
    except (ValueError, AttributeError):
        parent = None
    if isinstance(parent, str) and parent:
        return slice_path(parent)
    question = ["docker", "info", "--format", "{{.CgroupDriver}}"]
    try:
        said = subprocess.run(question, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        said = ""  # the run will say so
    return "/system.slice" if said.strip() == "systemd" else "/docker"


def slice_path(name: str) -> str:
    """Return the path of a group that the engine is told of: systemd's slice "a-b.slice" lies in "a.slice"."""
    if not name.endswith(".slice") or "/" in name:
        return name
    parts = name.removesuffix(".slice").split("-")
    return "/" + "/".join("-".join(parts[:end]) + ".slice" for end in range(1, len(parts) + 1))


def available() -> int:
    """Return the bytes that the kernel calls available on the whole machine."""
    found = re.search(r"^MemAvailable: +(\d+) kB", text(Path("/proc/meminfo")), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def main(arguments: list[str] | None = None) -> None:
    """Print both numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runtime", choices=("native", "devcontainer"))
    options = parser.parse_args(arguments)
    cores, memory = [float(len(os.sched_getaffinity(0)))], [available()]
    if options.runtime == "native":
        own = text(Path("/proc/self/cgroup"))
        group, memory_group = Group(own_group(own, "cpu")), Group(own_group(own, "memory"))
    else:
        group = memory_group = Group(engine_group())
    cores += [found for found in (group.cores(),) if found]
    memory += [found for found in (memory_group.memory(),) if found is not None]
    print(max(int(min(cores)), 1), min(memory) // 1024)


if __name__ == "__main__":
    main()
