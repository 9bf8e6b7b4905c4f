#!/usr/bin/env python3
"""What `provisioner doctor` and `provisioner plan` cost the controller, by the number of hosts.

    .venv/bin/python benchmarks/many_hosts.py [--counts 1 8 40 500] [--hosts 4] [--debian 12] [--commands doctor plan]
                                              [--profile registries] [--before CHECKOUT] [--inventory PATH]

Makes lab hosts, and asks the commands about inventories in which these hosts have several names, each with a connection
of its own. Prints for each the wall seconds, the CPU seconds of the command and of all that it starts here, what each
further host costs, and the peak memory of all these processes together. What the hosts do is not counted, though they
are on this machine: it makes the wall seconds longer than those of a controller of its own. Nor are the master
processes of SSH connections, which are detached from the command.

With --before, which names a checkout of another commit, its commands are measured too. With --inventory the hosts are
those.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from lab import ROOT, command_line, hosts, run, several_names

AIM_SECONDS, AIM_MEGABYTES, AIM_CPU = 180, 300, 0.3
ENDS = (0, 1, 5)
"""What the commands end with where all hosts were reached: well, a finding, a change to make."""


def measure(inventory: Path, work: Path, options: argparse.Namespace) -> None:
    """Measure each command for each number of names, and print a line for each."""
    checkouts = {"now": ROOT, **({"before": options.before} if options.before else {})}
    print(f"command  checkout  names      wall       CPU   CPU a host    memory   load {os.getloadavg()[0]:.1f}")
    for count in options.counts:
        names = several_names(inventory, count, work)
        for command in options.commands:
            for checkout, folder in checkouts.items():
                words = [folder / "bin/provisioner", command, "-i", names, "--profile", options.profile, "--json"]
                state = {"PROVISIONER_STATE_DIR": str(work / f"state-{checkout}")}
                wall, cpu, memory = run(words, state, watch=True, ends=ENDS)
                print(
                    f"{command:<7}  {checkout:<8}  {count:5}  {wall:6.1f} s  {cpu:6.1f} s     {cpu / count:6.3f} s  "
                    f"{memory / 1e6:5.0f} MB",
                    flush=True,
                )
    print(f"aims: {AIM_CPU} s of CPU a host; at 500 names {AIM_SECONDS} s and {AIM_MEGABYTES} MB")


def main() -> int:
    parser = command_line(__doc__, count=4, debian=12)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 8, 40, 500])
    parser.add_argument("--commands", nargs="+", choices=("doctor", "plan"), default=["doctor", "plan"])
    parser.add_argument("--profile", default="registries")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="many-hosts-") as folder:
        work = Path(folder)
        if options.inventory:
            measure(options.inventory, work, options)
            return 0
        with hosts(options.hosts, work, options.debian) as inventory:
            measure(inventory, work, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
