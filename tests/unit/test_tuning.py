"""benchmarks/tuning.py: its table and picture, from records that are made up."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

FILE = Path(__file__).parents[2] / "benchmarks/tuning.py"
spec = importlib.util.spec_from_file_location("tuning", FILE)
tuning = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tuning)


def made_up(record, jobs, seconds, threads=None, arch_list="9.0"):
    compiled = {**record["compile"], "max_jobs": jobs, "bound_seconds": 36.5, "critical_path": ["a<b>.o"]}
    return {
        **record,
        "timings": {**record["timings"], "compile": seconds},
        "compile": compiled,
        "inputs": {**record["inputs"], "nvcc_threads": threads, "arch_list": arch_list},
    }


def test_the_fastest_comes_first_and_what_was_not_finished_not_at_all(record):
    table = tuning.rows(
        [
            made_up(record, 1, 122.9),
            made_up(record, 16, 51.2, 2),
            made_up(record, 4, 51.2 * 1.1),
            made_up(record, 8, None),
        ]
    )
    assert [(row["jobs"], row["threads"]) for row in table] == [(16, 2), (4, None), (1, None)]
    assert [round(row["of the best"], 2) for row in table] == [1.0, 1.1, 2.4]
    lines = tuning.markdown(table).splitlines()
    assert len(lines) == 5 and len({line.count("|") for line in lines}) == 1
    assert "| 9.0 | 16 | 2 | 51.20 | 1.00 |" in lines[2]


def test_compiles_for_other_architectures_are_held_against_their_own_best(record):
    table = tuning.rows(
        [
            made_up(record, 16, 75.0, arch_list="8.0;9.0"),
            made_up(record, 4, 55.0),
            made_up(record, 16, 50.0),
            made_up(record, 16, 60.0, 2, arch_list="8.0;9.0"),
        ]
    )
    assert [(row["for"], round(row["of the best"], 2)) for row in table] == [
        ("8.0;9.0", 1.0),
        ("8.0;9.0", 1.25),
        ("9.0", 1.0),
        ("9.0", 1.1),
    ]


def test_the_picture_has_a_bar_and_its_bound_for_each(record):
    drawn = tuning.svg(tuning.rows([made_up(record, 1, 100.0), made_up(record, 4, 50.0)]))
    picture = ElementTree.fromstring(drawn)  # noqa: S314 - our own
    widths = [float(bar.get("width")) for bar in picture.iter("{http://www.w3.org/2000/svg}rect") if bar.get("x")]
    assert widths == [240.0, 175.2, 480.0, 175.2]


def test_it_reads_what_provisioner_prints(record, tmp_path):
    (tmp_path / "facts.json").write_text(json.dumps({"hosts": {}, "runs": [made_up(record, 4, 50.0)]}))
    command = [sys.executable, FILE, "--records", tmp_path / "facts.json", "--output", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (tmp_path / "out/tuning.md").read_text() == done.stdout
    assert (tmp_path / "out/tuning.svg").read_text().startswith("<svg")
