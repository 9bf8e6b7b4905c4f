#!/usr/bin/env python3
"""What the store costs: CPU and memory of whole commands over 10,000 stored records, imports included.

    benchmarks/store.py [records]

Makes that many records of a real one's size on 100 hosts, in a folder that is removed again, and prints the CPU time
and the memory of each command, of queries the least CPU of five; and, as a peer, of a few lines of Python that
read the same record files and ask jmespath. `compare` is of 100 runs against 100.
"""

import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).parents[1]
RECORD = json.loads((ROOT / "tests/unit/data/record.json").read_text())
TIMES = 5
SECONDS = 0.3
MEGABYTES = 300

QUERY = "runs[].{host: host, compile: timings.compile}"
PEER = """
import json, pathlib, sys, jmespath
runs = [json.loads(path.read_text()) for path in pathlib.Path(sys.argv[1]).glob("runs/*/*/record.json")]
runs.sort(key=lambda record: record["started_at"], reverse=True)
print(json.dumps(jmespath.search(sys.argv[2], {"runs": runs})))
"""
QUERIES = (
    ("facts", "--last", "20"),
    ("facts", "--host", "gpu-01*", "--since", "7d"),
    ("facts", "--host", "gpu-001", "--json"),
    ("facts", "--since", "7d", "--json", "-q", "runs[?outcome=='ok'].timings"),
    ("facts", "-q", "length(runs)"),
    ("facts", "-q", QUERY, "--json"),
    ("facts", "-q", "runs[?audit.verdict=='accepted'].[host, total_seconds]", "-o", "csv"),
    ("facts", "-q", "max_by(runs, &timings.compile).run_id"),
)
LISTINGS = (
    ("facts",),
    ("facts", "--json"),
    ("facts", "-o", "csv"),
    ("facts", "-o", "yaml", "--last", "1000"),
    ("facts", "-q", "runs[0]"),
    ("status", "--offline", "--json"),
    ("export", "-"),
    ("compare", "gpu-001", "gpu-002"),
)


def fill(state: Path, count: int) -> None:
    """As large as a record of a real run: twenty-five checks, thirteen objects."""
    check = {
        "name": "a_check_of_the_audit",
        "outcome": "pass",
        "detail": "what was found " * 4,
        "evidence": "a/file:12",
    }
    built = [{"name": f"csrc/object{n}.o", "start": 1.0 * n, "end": 2.0 * n, "seconds": 1.0 * n} for n in range(13)]
    now = datetime.now(UTC)
    for number in range(count):
        record = {
            **RECORD,
            "run_id": f"run-{number:06}",
            "host": f"gpu-{number % 100:03}",
            "started_at": (now - timedelta(minutes=10 * number)).isoformat(),
            "compile": {**RECORD["compile"], "ledger": built},
            "audit": {"verdict": "accepted", "checks": [check] * 25},
        }
        folder = state / "runs" / record["host"] / record["run_id"]
        folder.mkdir(parents=True)
        (folder / "run.json").touch()  # evidence, of which nothing is asked
        (folder / "record.json").write_text(json.dumps(record, indent=2))


def cost(command: list[str]) -> tuple[float, float]:
    """CPU seconds and peak MB of a command in a process of its own."""
    measured = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode;"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN);"
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1000, done)"
    )
    out = subprocess.run([sys.executable, "-c", measured, *command], capture_output=True, text=True, check=True).stdout
    cpu, memory, done = out.split()
    if done != "0":
        raise SystemExit(f"{command} ended with {done}")
    return float(cpu), float(memory)


def least(command: list[str]) -> tuple[float, float]:
    costs = [cost(command) for _ in range(TIMES)]
    return min(cpu for cpu, _ in costs), max(memory for _, memory in costs)


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    os.environ["PYTHONPATH"] = str(ROOT)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # only the first command compiles, as where it is installed
    provisioner = [sys.executable, "-m", "provisioner"]
    slowest = largest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        os.environ["PROVISIONER_STATE_DIR"] = folder
        fill(state, count)
        size = (state / "runs/gpu-000/run-000000/record.json").stat().st_size
        cpu, memory = cost([*provisioner, "facts", "--last", "1"])
        print(f"{count} records of {size} bytes; made into an index once, in {cpu:.1f} s of CPU and {memory:.0f} MB")
        print(f"index: {(state / 'store.db').stat().st_size / 1e6:.0f} MB")
        for command in QUERIES:
            cpu, memory = least([*provisioner, *command])
            slowest, largest = max(slowest, cpu), max(largest, memory)
            print(f"{cpu:6.2f} s CPU  {memory:4.0f} MB  {' '.join(command)}")
        print(f"{slowest:6.2f} s CPU           the slowest of these queries (aim: under {SECONDS})")
        ours, _ = least([*provisioner, "facts", "-q", QUERY, "--json"])
        theirs, memory = least([sys.executable, "-c", PEER, folder, QUERY])
        print(f"{theirs:6.2f} s CPU  {memory:4.0f} MB  the peer, for the same query: {theirs / ours:.1f} times as much")
        for command in LISTINGS:
            cpu, memory = cost([*provisioner, *command])
            largest = max(largest, memory)
            print(f"{cpu:6.2f} s CPU  {memory:4.0f} MB  {' '.join(command)}")
        print(f"              {largest:4.0f} MB  the largest of all of these (aim: under {MEGABYTES})")
    return 0 if slowest < SECONDS and largest < MEGABYTES else 1


if __name__ == "__main__":
    sys.exit(main())
