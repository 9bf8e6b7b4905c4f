"""The evidence of a real run that unit tests alter, and how it was cut to a size for a repository.

    python tests/unit/evidence_sample.py RUN_FOLDER    makes data/evidence anew from a run of the main job

What is cut is what no check reads: most lines of the logs, the ends of long lines, the site's CA bundle. Sums are made
again after that, as they are after each alteration by somebody who knows of them.
"""

import hashlib
import re
import shutil
import sys
from pathlib import Path

SAMPLE = Path(__file__).parent / "data/evidence"
BASE = Path(__file__).parents[2] / "roles/scenario_a/files/xformers-devcontainer"
LONGEST = 300
# Of pip's output whole lines: what compiles and what links, and what ptxas told.
KEPT_OF_PIP = re.compile(r"^\+ |^\s*\[\d+/\d+\]| -shared |ptxas info|Successfully installed xformers")
KEPT = re.compile(
    r"=== | \+ |^\+ |Step \d+/|Scenario A|No NVIDIA GPU|Using c|Successfully installed|Looking in |"
    r"Requirement already satisfied|^\S+Z (?:\[\S+Z\] )?\s*\[\d+/\d+\] "
)


def seal(folder: Path) -> None:
    """Sum every file, as scenario_a.sh does at a run's end."""
    made = {"manifest.sha256", "record.json"}
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n"
        for name, path in sorted(paths.items())
        if name not in made
    ]
    (folder / "manifest.sha256").write_text("".join(lines))


def copy(target: Path) -> Path:
    """Copy the sample, with the scripts as they are now, so that it is a run of this version."""
    shutil.copytree(SAMPLE, target)
    for path in [path for path in BASE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]:
        laid_down = target / "files" / path.relative_to(BASE)
        laid_down.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, laid_down)
    seal(target)
    return target


def cut(text: str) -> str:
    """Keep the lines that a check reads, and what fits of each; of what was installed all."""
    kept = (line for line in text.splitlines() if KEPT.search(line))
    return "".join(f"{line if 'Successfully' in line else line[:LONGEST]}\n" for line in kept)


def main(run: Path) -> None:
    """Make the sample from a run's evidence."""
    shutil.rmtree(SAMPLE, ignore_errors=True)
    shutil.copytree(run, SAMPLE)
    for path in [path for path in BASE.rglob("*") if path.is_file()]:
        (SAMPLE / "files" / path.relative_to(BASE)).unlink(missing_ok=True)
    for name in ("record.json", "files/.devcontainer/site-ca.crt"):
        (SAMPLE / name).unlink(missing_ok=True)
    log, pip_log = SAMPLE / "scenario_a.log", SAMPLE / "container/pip.log"
    log.write_text(cut(log.read_text()))
    pip_log.write_text("".join(f"{line}\n" for line in pip_log.read_text().splitlines() if KEPT_OF_PIP.search(line)))
    for path in sorted(SAMPLE.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    seal(SAMPLE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
