#!/usr/bin/env python3
"""How many compile jobs, and how many threads of each nvcc, a host should have: a table and a picture.

    benchmarks/tuning.py --jobs 1,4,8,16 --threads 1,2,4 --output DIR [arguments of `provisioner run`]
    benchmarks/tuning.py --records FILE --output DIR

Runs the scenario anew on one host: as it chooses by itself, then with each number of jobs, then with each number of
threads. Then, or from the JSON of earlier `provisioner run --json` or `facts -o json`, writes DIR/tuning.md and
DIR/tuning.svg: the wall time of the compile, and its bound (docs/audit.md), which no number of jobs can shorten.
"""

import argparse
import json
import subprocess
import sys
from html import escape
from pathlib import Path

COMMAND = Path(__file__).parents[1] / "bin/provisioner"
COLUMNS = ("for", "jobs", "threads", "compile s", "of the best", "ninja s", "bound s", "critical path", "CPU s")
TITLE = "compile, s; dark: its bound, the longest object or all CPU seconds over all cores"


def measure(arguments: list[str]) -> dict:
    """Run the scenario once, anew; its record. Ends the program where the run does not end well."""
    done = subprocess.run([COMMAND, "run", "--fresh", "--json", *arguments], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(f"`provisioner run {' '.join(arguments)}` ended with {done.returncode}")
    return json.loads(done.stdout)["runs"][0]


def rows(records: list[dict]) -> list[dict]:
    """A row for each record whose compile was finished, by the architectures it was for, fastest first; seconds."""
    best: dict[str, float] = {}
    measured = sorted(
        (record for record in records if record["timings"]["compile"] is not None),
        key=lambda record: (record["inputs"]["arch_list"], record["timings"]["compile"]),
    )
    return [
        row(record, best.setdefault(record["inputs"]["arch_list"], record["timings"]["compile"])) for record in measured
    ]


def row(record: dict, best: float) -> dict:
    """The figures of one record; what the run chose by itself is without a number of threads."""
    compiled = record["compile"]
    return {
        "for": record["inputs"]["arch_list"],
        "jobs": compiled["max_jobs"],
        "threads": record["inputs"].get("nvcc_threads"),
        "compile s": record["timings"]["compile"],
        "of the best": record["timings"]["compile"] / best,
        "ninja s": compiled.get("ninja_seconds"),
        "bound s": compiled.get("bound_seconds"),
        "critical path": chain(compiled.get("critical_path") or []),
        "CPU s": compiled["cpu_seconds"],
    }


def chain(objects: list[str]) -> str:
    """The objects that had to wait for each other, for people; of many the last, which is what the others led to."""
    return objects[-1] if len(objects) == 1 else f"{len(objects)} objects, {objects[-1]} the last" if objects else ""


def markdown(table: list[dict]) -> str:
    """The rows as a table; `threads` is empty for xformers' own number."""
    lines = [" | ".join(COLUMNS), " | ".join("---" for _ in COLUMNS)]
    lines += [" | ".join(shown(each[column]) for column in COLUMNS) for each in table]
    return "".join(f"| {line} |\n" for line in lines)


def shown(value: object) -> str:
    """A value for people."""
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def svg(table: list[dict]) -> str:
    """A bar for each row: the compile's wall time, and darker the part that is its bound."""
    width, height, left, unit = 760, 28, 190, 480 / max(each["compile s"] for each in table)
    bars = []
    for at, each in enumerate(table):
        top = 30 + at * height
        label = f"{each['for']}: {each['jobs']} jobs" + (f", {each['threads']} threads" if each["threads"] else "")
        wall, bound = each["compile s"] * unit, (each["bound s"] or 0) * unit
        bars += [
            f'<text x="{left - 8}" y="{top + 15}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{left}" y="{top}" width="{wall:.1f}" height="20" fill="#9ecae1"/>',
            f'<rect x="{left}" y="{top}" width="{bound:.1f}" height="20" fill="#3182bd"/>',
            f'<text x="{left + wall + 6:.1f}" y="{top + 15}">{each["compile s"]:.1f} s</text>',
        ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{40 + len(table) * height}" '
        'font-family="sans-serif" font-size="13">\n<rect width="100%" height="100%" fill="#fff"/>\n'
        f'<text x="{left}" y="18">{TITLE}</text>\n' + "\n".join(bars) + "\n</svg>\n"
    )


def main() -> int:
    """Measure, or read, and write table and picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", default="1,4,8,16")
    parser.add_argument("--threads", default="1,2,4")
    parser.add_argument("--records", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    options, arguments = parser.parse_known_args()
    if options.records:
        found = json.loads(options.records.read_text(encoding="utf-8"))
        records = found["runs"] if isinstance(found, dict) else found
    else:
        choices = [[], *(["--max-jobs", jobs] for jobs in options.jobs.split(","))]
        choices += [["-e", f"scenario_nvcc_threads={threads}"] for threads in options.threads.split(",")]
        records = [measure([*arguments, *choice]) for choice in choices]
    table = rows(records)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "tuning.md").write_text(markdown(table), encoding="utf-8")
    (options.output / "tuning.svg").write_text(svg(table), encoding="utf-8")
    print(markdown(table), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
