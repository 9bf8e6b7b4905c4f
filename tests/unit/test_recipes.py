"""CONTRIBUTING.md's recipes, tried: one line or one file in a copy of the package, and all that follows from it."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import evidence_sample
import pytest

from provisioner.runs.phases import PHASES

PACKAGE = Path(__file__).parents[2] / "provisioner"
RECORD = """
import sys
from pathlib import Path
from provisioner.store import collect
collect.of_evidence(Path(sys.argv[1]), "h1")
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, to change; the collection beside it is the checkout's."""
    copied = shutil.copytree(PACKAGE, tmp_path / "copy/provisioner", ignore=shutil.ignore_patterns("__pycache__"))
    (copied.parent / "ansible_collections").symlink_to(PACKAGE.parent / "ansible_collections")
    return copied


@pytest.fixture
def python(package: Path) -> Callable[..., str]:
    """Run a Python that has the copy: `python(*arguments)` gives what it prints."""

    def run(*arguments: object) -> str:
        command = [sys.executable, *map(str, arguments)]
        # Python looks for packages where it is started.
        done = subprocess.run(command, cwd=package.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def add_line(path: Path, after: str, line: str) -> None:
    text = path.read_text()
    assert text.count(after) == 1
    path.write_text(text.replace(after, f"{after}{line}"))


def test_a_new_phase_is_one_line(package, python, state):
    beside = '    TimedPhase("clone", Colour("#009e73"), within="container_up"),\n'
    add_line(package / "runs/phases.py", beside, beside.replace("clone", "warm_up").replace("#009e73", "#123456"))
    folder = evidence_sample.copy(state / "runs/h1/20261123T090807Z")
    path = folder / "container/events.jsonl"
    lines = path.read_text().splitlines()
    # In the moment between the end of clone, the second line, and the begin of compile.
    new = [
        re.sub('"(begin|end)","phase":"\\w+"', f'"{event}","phase":"warm_up"', line)
        for event, line in zip(("begin", "end"), lines[1:3], strict=True)
    ]
    path.write_text("\n".join([*lines[:2], *new, *lines[2:]]) + "\n")
    evidence_sample.seal(folder)

    python("-c", RECORD, folder)
    record = json.loads((folder / "record.json").read_text())
    clone = PHASES.index("clone") + 1
    assert [phase["name"] for phase in record["phases"]] == [*PHASES[:clone], "warm_up", *PHASES[clone:]]
    assert record["timings"]["warm_up"] == 0.1
    inside = [record["timings"][name] for name in ("clone", "warm_up", "compile", "pre_commit")]
    assert record["timings"]["container_up"] == pytest.approx(28976.17 - 28878.00 - sum(inside), abs=0.05)

    provisioner = ("-m", "provisioner")
    header = python(*provisioner, "facts", "--state-dir", state).splitlines()[0].split()
    assert header[header.index("clone") + 1] == "warm_up"
    assert "warm_up" in python(*provisioner, "completion", "bash")
    page = state / "report.html"
    python(*provisioner, "report", "--html", page, "--state-dir", state)
    assert re.search(r'class="(swatch )?phase-warm_up"', page.read_text())
    assert "--warm_up: #123456" in page.read_text()


def test_a_new_format_is_one_file_and_one_line(package, python, state, record):
    """One that `facts -o` prints, and one that `report` writes to a file."""
    folder = state / "runs/h1/20261123T090807Z"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(record))
    registry = package / "report/formats/__init__.py"
    add_line(registry, '    Format("csv", UNREAD, FACTS),\n', '    Format("count", ANSWER, FACTS),\n')
    (registry.parent / "count.py").write_text("def write(value, stream):\n    stream.write(f'{len(value)}\\n')\n")
    line = '    Format("names", MODEL, REPORT, "the name of each host"),\n'
    add_line(registry, '    Format("html", MODEL, REPORT, "one HTML page, which opens offline"),\n', line)
    (registry.parent / "names.py").write_text(
        "def write(report, stream):\n    stream.writelines(f'{name}\\n' for name in report.by_host)\n"
    )

    provisioner = ("-m", "provisioner")
    assert python(*provisioner, "facts", "-o", "count", "-q", "runs", "--state-dir", state) == "1\n"
    assert python(*provisioner, "facts", "-o", "count", "--state-dir", state) == "2\n"
    assert "{table,json,yaml,csv,count}" in python(*provisioner, "facts", "--help")
    path = state / "names.txt"
    python(*provisioner, "report", "--names", path, "--state-dir", state)
    assert path.read_text() == f"{record['host']}\n"
    assert "--names FILE" in python(*provisioner, "report", "--help")
    assert "the name of each host" in python(*provisioner, "man").lower()
    completed = python(*provisioner, "completion", "bash")
    assert "--names" in completed and re.search(r"facts.*\bcount\b", completed)
