"""Print what has been computed on this host so far, as the kernel counts it: JSON, one object.

    cpu_used.py [PID]

`uptime` is when, in seconds; `machine_seconds` what all processors have worked since the host's start, in seconds, and
`forks` how many processes began. `group_seconds` is what the control group of process PID has used since it began: that
of a container's first process is the container's; null where it is not told.

Read twice, this says what a run cost, whatever was told inside its container. Standard library only.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")


def machine() -> tuple[float, int]:
    """Return the seconds that all processors have worked, and how many processes began."""
    lines = dict(line.split(maxsplit=1) for line in Path("/proc/stat").read_text().splitlines() if " " in line)
    user, nice, system, _idle, _wait, irq, soft = (int(ticks) for ticks in lines["cpu"].split()[:7])
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK"), int(lines["processes"])


def group(pid: str) -> float | None:
    """Return the CPU seconds that the control group of a process has used; None where nobody tells."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    # Version 2 has one line `0::/path`; of version 1 it is the line of the controller cpuacct.
    for _unused, controllers, path in (line.split(":", 2) for line in lines):
        folder = path.lstrip("/")
        if "cpuacct" in controllers.split(","):
            seconds = number(GROUPS / "cpuacct" / folder / "cpuacct.usage", 10**9)
        elif not controllers:
            seconds = number(GROUPS / folder / "cpu.stat", 10**6)
        else:
            continue
        if seconds is not None:
            return seconds
    return None


def number(path: Path, unit: int) -> float | None:
    """Return the first number of a file over its unit; None where there is none."""
    try:
        words = path.read_text().split()
    except OSError:
        return None
    return next((int(word) / unit for word in words if word.isdigit()), None)


def main() -> int:
    """Print the figures."""
    worked, forks = machine()
    pid = sys.argv[1] if len(sys.argv) > 1 else ""
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    found = {"uptime": uptime, "machine_seconds": round(worked, 2), "forks": forks}
    print(json.dumps(found | {"group_seconds": group(pid) if pid.isdigit() and int(pid) else None}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
