#!/usr/bin/env python3
"""What `provisioner run` costs on top of the script it runs, on a prepared host: wall time and the controller's memory.

    benchmarks/run_overhead.py [arguments of `provisioner run`]

Runs the main job once, anew, and prints the ratio of the command's wall time to the script's own (first to last line
of its log), the CPU time of `provisioner --help`, and the most memory that the command and all it started on this
machine, less the run itself, held at one time.
"""

import json
import os
import resource
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

from memory import tree_memory

from provisioner.runs.evidence import Evidence

COMMAND = Path(__file__).parents[1] / "bin/provisioner"


def watch_memory(process: subprocess.Popen, peak: list[int]) -> None:
    while process.poll() is None:
        peak[0] = max(peak[0], tree_memory(process.pid))
        time.sleep(1)


def help_cpu_seconds() -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([COMMAND, "--help"], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    arguments = sys.argv[1:] or ["--profile", "registries"]
    subprocess.run([COMMAND, "prepare", *arguments], check=True)  # the host is prepared, whatever it was before
    began = time.monotonic()
    process = subprocess.Popen([COMMAND, "run", "--fresh", "--json", *arguments], stdout=subprocess.PIPE, text=True)
    peak = [0]
    watcher = threading.Thread(target=watch_memory, args=(process, peak))
    watcher.start()
    result = json.loads(process.communicate()[0])
    wall = time.monotonic() - began
    watcher.join()
    if process.returncode:
        return process.returncode

    record = result["runs"][0]
    state = Path(os.environ.get("PROVISIONER_STATE_DIR", Path.home() / ".local/state/provisioner"))
    (folder,) = state.glob(f"runs/*/{record['run_id']}")
    lines = Evidence(folder).log
    first, last = (datetime.fromisoformat(line.split(" ", 1)[0]) for line in (lines[0], lines[-1]))
    script = (last - first).total_seconds()
    print(f"provisioner run        {wall:9.1f} s")
    print(f"scenario_a.sh          {script:9.1f} s")
    print(f"ratio                  {wall / script:9.3f}   (aim: at most 1.05)")
    print(f"controller's memory    {peak[0] / 1e6:9.0f} MB  (aim: under 200)")
    print(f"provisioner --help     {help_cpu_seconds():9.2f} s of CPU (aim: within 0.25)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
