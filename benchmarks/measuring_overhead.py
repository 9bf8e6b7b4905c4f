#!/usr/bin/env python3
"""What measuring costs a compile: the ninja that stands before the real one, with its samples, against ninja alone.

    benchmarks/measuring_overhead.py [PAIRS] [UNITS]

Compiles UNITS (4) generated C++ units with the real ninja and g++, two at a time, PAIRS (5) times with and without the
wrapper, taking turns at which goes first. Prints the ratio of wall times, pair by pair and their median; and the CPU
time that the wrapper and its samples took for themselves over what ninja and the compilers took, which is exact: the
wrapper's own accounts, with no second compile to compare to.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from provisioner.runs.evidence import Evidence

WRAPPER = Path(__file__).parents[1] / "roles/scenario/files/xformers-devcontainer/.devcontainer/bin/ninja"
# Standard library templates, of which a compiler makes a few seconds' work.
UNIT = """#include <algorithm>
#include <map>
#include <random>
#include <regex>
#include <string>
template <int N> int work(std::string text) {{
  std::map<std::string, std::regex> known{{{{text, std::regex(text + std::to_string(N))}}}};
  return std::count_if(known.begin(), known.end(), [&](auto &pair) {{ return std::regex_match(text, pair.second); }});
}}
int unit{number}(std::string text) {{ return work<{number}>(text){calls}; }}
"""


def write(folder: Path, units: int) -> None:
    rules = "rule cxx\n  command = g++ -O2 -std=c++17 -c $in -o $out\n"
    for number in range(units):
        calls = "".join(f" + work<{1000 * (number + 1) + extra}>(text)" for extra in range(40))
        (folder / f"{number}.cc").write_text(UNIT.format(number=number, calls=calls))
        rules += f"build {number}.o: cxx {number}.cc\n"
    (folder / "build.ninja").write_text(rules)


def build(folder: Path, ninja: str, environment: dict[str, str]) -> tuple[float, float]:
    """Build from scratch; return wall and CPU seconds of all that it took."""
    for made in (*folder.glob("*.o"), *folder.glob(".ninja_*")):
        made.unlink()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    subprocess.run([ninja, "-j", "2"], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    pairs, units = (int(value) for value in [*sys.argv[1:], *("5", "4")[len(sys.argv) - 1 :]])
    real = shutil.which("ninja")
    if not real or not shutil.which("g++"):
        print("measuring_overhead: needs ninja and g++: apt-get install ninja-build g++", file=sys.stderr)
        return 2
    ratios, shares = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, units)
        # The wrapper's folder is first on PATH, as it is while xformers compiles.
        environment = os.environ | {"PATH": f"{WRAPPER.parent}:{os.environ['PATH']}"}
        build(folder, real, environment)  # the compiler and its headers are in memory from here on
        for pair in range(pairs):
            times = {}
            for measured in (True, False) if pair % 2 else (False, True):
                evidence = folder / f"evidence{pair}" / "container"
                evidence.mkdir(parents=True, exist_ok=True)
                given = environment | {"SCENARIO_EVIDENCE": str(evidence)}
                times[measured], cpu = build(folder, str(WRAPPER) if measured else real, given)
                if measured:
                    (call,) = Evidence(evidence.parent).ninja_calls
                    shares.append((cpu - call.cpu_seconds) / call.cpu_seconds)
            ratios.append(times[True] / times[False])
            print(f"pair {pair + 1}: {times[False]:.2f} s alone, {times[True]:.2f} s measured, ratio {ratios[-1]:.4f}")
    print(f"wall, measured over alone: median {statistics.median(ratios):.4f} of {pairs} pairs")
    print(f"CPU, measuring over compiling: median {statistics.median(shares):.4f}, highest {max(shares):.4f}")
    return 0 if statistics.median(shares) < 0.01 else 1


if __name__ == "__main__":
    sys.exit(main())
