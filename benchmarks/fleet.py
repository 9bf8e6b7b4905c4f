#!/usr/bin/env python3
"""What a fleet's run takes beside its slowest host, and beside ansible-playbook's linear strategy on the same work.

    .venv/bin/python benchmarks/fleet.py [--hosts 6] [--inventory PATH]

Makes lab hosts on this machine, prepares them, and has each run the short workload of tests/hosts three times: by
`provisioner run`; by plain ansible-playbook as it comes, with copies of the same playbooks in which every play has the
linear strategy; and by `provisioner run` on the first host alone. All hosts share this machine's cores, so a host in a
fleet is slower than one alone: that factor, the machine's contention, is printed. A host's own time is that of its
script, by its own clock: from the first line of its log to the last, which is after it has kept its evidence; the
record's total, which ends before that, is printed beside it.

With --inventory the hosts are those: a lab's, prepared already, that have the workload; no lab is made.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from lab import COMMAND, ROOT, TOOLS, as_it_comes, prepare, run

sys.path[:0] = [str(ROOT), str(ROOT / "tests/hosts")]

import short  # noqa: E402

from provisioner import lab as labs  # noqa: E402
from provisioner.runs.evidence import Evidence  # noqa: E402
from provisioner.system.paths import state_dir  # noqa: E402

SETTINGS = {"scenario_look_seconds": 10}
"""The product's own for few hosts. Tests look more often, for which the hosts compiling on these cores would pay."""


def own_times(state: Path) -> dict[str, tuple[float, float]]:
    """Of each host's run: the time of its script and its record's total, both in seconds."""
    found = {}
    for path in state.glob("runs/*/*/record.json"):
        record = json.loads(path.read_text())
        lines = Evidence(path.parent).log
        began, ended = (datetime.fromisoformat(line.split()[0]) for line in (lines[0], lines[-1]))
        found[record["host"]] = ((ended - began).total_seconds(), record["total_seconds"])
    return found


def linear(work: Path) -> Path:
    """Copies of the playbooks as they would be without a strategy of their own."""
    tree = work / "linear"
    shutil.copytree(ROOT / "playbooks", tree / "playbooks")
    for path in (tree / "playbooks").glob("*.yml"):
        path.write_text(path.read_text().replace("  strategy: free\n", ""))
    for name in ("roles", "inventory", "provisioner"):
        (tree / name).symlink_to(ROOT / name)
    return tree / "playbooks" / "site.yml"


def measure(inventory: Path, work: Path) -> None:
    def ours(name: str, *more: str) -> tuple[float, dict[str, tuple[float, float]]]:
        command = [COMMAND, "run", "--fresh", "-i", inventory, *short.OPTIONS, "--state-dir", work / name, *more]
        return run(command, {})[0], own_times(work / name)

    wall, own = ours("ours")
    variables = {"provisioner_profile": "registries", "scenario_arch_list": "9.0", "scenario_max_jobs": "2"}
    variables |= {"scenario_fresh": True, "provisioner_state_dir": str(work / "theirs")}
    playbook = [TOOLS / "ansible-playbook", "-i", inventory, "-e", json.dumps(variables), linear(work)]
    their_wall, _, _ = run(playbook, as_it_comes(work) | {"PYTHONPATH": str(ROOT)})
    theirs = own_times(work / "theirs")
    first = sorted(own)[0]
    _, alone = ours("alone", "--limit", first)

    slowest, total = max(own.values())
    print(f"{len(own)} hosts on {os.cpu_count()} cores")
    print(f"a host alone                {alone[first][0]:7.1f} s by its own clock, total {alone[first][1]:.1f} s")
    print(
        f"the slowest of the fleet    {slowest:7.1f} s, total {total:.1f} s: contention {slowest / alone[first][0]:.2f}"
    )
    print(
        f"provisioner run             {wall:7.1f} s, {wall / slowest:.3f} of its slowest host   (aim: at most 1.1), "
        f"{wall / total:.3f} of that one's total"
    )
    theirs_slowest, _ = max(theirs.values())
    print(f"ansible-playbook, linear    {their_wall:7.1f} s, {their_wall / theirs_slowest:.3f} of its slowest host")
    print(f"ratio                       {wall / their_wall:7.3f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=6)
    parser.add_argument("--inventory", type=Path, help="prepared hosts, of an inventory that `lab up` wrote")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleet-") as name:
        work = Path(name)
        if options.inventory:
            measure(short.inventory(options.inventory, work / "hosts.yml", **SETTINGS), work)
            return 0
        lab_name = f"fleet{os.getpid()}"
        try:
            lab = labs.up(lab_name, options.hosts, 12, "root", state_dir(), print)
            for host in lab.hosts:
                short.install(short.container(host.name))
            inventory = short.inventory(lab.inventory, work / "hosts.yml", **SETTINGS)
            run(*prepare(inventory, work))
            measure(inventory, work)
        finally:
            labs.down(lab_name, state_dir(), report=print)
    return 0


if __name__ == "__main__":
    sys.exit(main())
