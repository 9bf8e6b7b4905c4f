#!/usr/bin/env python3
"""What a report of many stored runs costs: the whole command's CPU time, wall time and memory, and the page's size.

    benchmarks/report.py [--hosts 100] [--each 10]

Stores made-up runs in a folder that is thrown away, asks for one once so that the store's index is there, and then
times `provisioner report` with each of its formats.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import made_up  # noqa: E402

from provisioner.report import formats  # noqa: E402


def store(state: Path, hosts: int, each: int) -> None:
    for run in made_up.runs(hosts, each):
        folder = state / "runs" / run.host / run.run_id
        folder.mkdir(parents=True)
        (folder / "run.json").touch()  # evidence, of which nothing is asked
        (folder / "record.json").write_text(json.dumps(run.record), encoding="utf-8")


def timed(command: list[str]) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds and peak memory in bytes of a command."""
    began = time.monotonic()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command} ended with {status}")
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--each", type=int, default=10)
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory(prefix="report-") as name:
        state = Path(name) / "state"
        store(state, options.hosts, options.each)
        command = [sys.executable, "-m", "provisioner", "report", "--state-dir", str(state)]
        timed([*command, "--last", "1", "--markdown", f"{name}/first"])
        print(f"{options.hosts * options.each} runs of {options.hosts} hosts")
        for form in formats.of(formats.REPORT):
            path = Path(name) / form
            wall, cpu, memory = timed([*command, f"--{form}", str(path)])
            print(
                f"{form:<12} {wall:5.2f} s wall, {cpu:5.2f} s of CPU, {memory / 1e6:4.0f} MB of memory,"
                f" {path.stat().st_size / 1e6:6.2f} MB written"
            )
    print("aim of html: under 3 s, 300 MB of memory and 20 MB written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
