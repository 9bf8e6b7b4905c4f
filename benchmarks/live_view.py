#!/usr/bin/env python3
"""What the live view costs: its share of a core while it shows many simulated hosts on a real terminal.

    benchmarks/live_view.py [--hosts 500] [--seconds 30] [--lines 50] [--columns 160]

Gives the view the events that so many hosts have in the middle of a run, each host one look in ten seconds, in the
rhythm in which a job ticks, and writes to a pseudo-terminal that is read. Prints the CPU time over the wall time, of
this process, of which taking the events is a part; starting Python and importing are not.
"""

import argparse
import fcntl
import os
import pty
import struct
import sys
import termios
import threading
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

import made_up  # noqa: E402

from provisioner.ansible.events import Progress  # noqa: E402
from provisioner.ansible.job import TICK  # noqa: E402
from provisioner.view.fleet import Fleet  # noqa: E402
from provisioner.view.history import History  # noqa: E402
from provisioner.view.progress import show  # noqa: E402

LOOK = 10.0
"""Seconds between two looks at a host."""


def drain(descriptor: int, seen: list[int]) -> None:
    while True:
        try:
            seen[0] += len(os.read(descriptor, 1 << 16))
        except OSError:
            return


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--lines", type=int, default=50)
    parser.add_argument("--columns", type=int, default=160)
    options = parser.parse_args()

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", options.lines, options.columns, 0, 0))
    os.environ |= {"TERM": "xterm-256color", "LINES": str(options.lines), "COLUMNS": str(options.columns)}
    written = [0]
    threading.Thread(target=drain, args=(ours, written), daemon=True).start()
    names = [f"gpu-{number:03}.example.org" for number in range(options.hosts)]
    runs = made_up.runs(3, 5)
    for run in runs:
        run.record["inputs"]["input_hash"] = "same"
    past = History(runs)
    with os.fdopen(theirs, "w") as terminal, show(Fleet(names, past), stream=terminal) as view:
        wall, cpu = time.monotonic(), time.process_time()
        told = 0
        while (elapsed := time.monotonic() - wall) < options.seconds:
            while told < elapsed * options.hosts / LOOK:
                done, inside = int(elapsed) % 80, elapsed
                host = names[told % options.hosts]
                view.event(Progress(host, "r", "running", "compile", 200 + inside, inside, done, 80, "same"))
                told += 1
            view.tick()
            time.sleep(TICK)
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    print(f"{options.hosts} hosts on {options.lines} lines of {options.columns}, {told} events in {wall:.0f} s")
    print(f"CPU of the view     {100 * cpu / wall:6.2f} % of a core   (aim: under 5)")
    print(f"written             {written[0] / wall / 1e3:6.1f} kB a second")
    return 0


if __name__ == "__main__":
    sys.exit(main())
