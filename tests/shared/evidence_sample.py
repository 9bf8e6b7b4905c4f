"""The evidence of a real run that unit tests alter, and how it was cut to a size for a repository.

    python tests/shared/evidence_sample.py RUN_FOLDER    makes it anew from a run of the main job

What is cut is what no check reads: most lines of the logs, the ends of long lines, the site's CA bundle. Sums are made
again after that, as they are after each alteration by somebody who knows of them.
"""

import hashlib
import json
import re
import shutil
import struct
import sys
from functools import cache
from pathlib import Path

SAMPLE = Path(__file__).parents[1] / "unit/data/evidence"
BASE = Path(__file__).parents[2] / "roles/scenario/files/xformers-devcontainer"
LONGEST = 300
# Of pip's output whole lines: what compiles and what links, and what ptxas told.
KEPT_OF_PIP = re.compile(r"^\+ |^\s*\[\d+/\d+\]| -shared |ptxas info|Successfully installed xformers")
GPU = {
    "name": "NVIDIA H200",
    "uuid": "GPU-6565b41e-e0f8-5a0a-af51-5bbc76776aa1",
    "compute_capability": "9.0",
    "memory_bytes": 1,
}
KEPT = re.compile(
    r"=== | \+ |^\+ |Step \d+/|Scenario A|No NVIDIA GPU|Using c|Successfully installed|Looking in |"
    r"Requirement already satisfied|^\S+Z (?:\[\S+Z\] )?\s*\[\d+/\d+\] "
)


def seal(folder: Path) -> None:
    """Sum what was laid down, and then every file, as scenario_a.sh does at a run's end."""
    scripts = sorted((path.relative_to(folder / "files").as_posix(), path) for path in folder.glob("files/**/*"))
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n" for name, path in scripts if path.is_file()]
    for name in ("scripts_after.sha256", "scripts_inside.sha256"):
        if (folder / name).exists():
            (folder / name).write_text("".join(sums))
    seal_as_it_is(folder)


def seal_as_it_is(folder: Path) -> None:
    """Sum every file, and leave what was summed before."""
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


@cache
def computed(challenge: str) -> tuple[str, str]:
    """What the attention test tells of its cases, and the rows that it keeps, of a kernel that rounds its results."""
    from provisioner.audit import attention_rows as right  # noqa: PLC0415 - making a sample needs no package

    cases, kept = [], []
    for case, (shape, dtype) in enumerate(right.CASES):
        rows = [(place, [rounded(value, dtype) for value in row], row) for place, row in right.rows(challenge, case)]
        error = max(abs(one - other) for _, row, exact in rows for one, other in zip(row, exact, strict=True))
        tolerance = right.ALLOWED_ROUNDOFFS * right.ROUNDOFF[dtype] * max(abs(x) for _, _, row in rows for x in row)
        result = {"passed": True, "max_abs_error": error, "tolerance": tolerance}
        cases.append({"shape": list(shape), "dtype": dtype, **result})
        places = [{"place": list(place), "output": row} for place, row, _ in rows]
        kept.append(json.dumps({"case": case, "challenge": challenge, "rows": places}))
    worst = max(cases, key=lambda case: case["max_abs_error"] / case["tolerance"])
    return json.dumps({**worst, "cases": cases}), "".join(f"{line}\n" for line in kept)


def rounded(value: float, dtype: str) -> float:
    """Give a number as a dtype has it; cut off for bfloat16, which is as good here."""
    packed = struct.pack("<e" if dtype == "float16" else "<f", value)
    if dtype == "bfloat16":
        packed = bytes(2) + packed[2:]
    return struct.unpack("<e" if dtype == "float16" else "<f", packed)[0]


def give_gpu(folder: Path, event: str = "end", printed: str = "", **told: object) -> None:
    """Make the evidence that of a host with a GPU, whose attention test `told` this besides, or else `printed` that.

    The sample's host has none. What is made up here is what the test and its GPU would have left there, and only that.
    """

    def changed(name: str, change: object) -> None:
        value = json.loads((folder / name).read_text())
        change(value)
        (folder / name).write_text(json.dumps(value))

    container = json.loads((folder / "container_inspect.json").read_text())[0]
    environment = json.loads((folder / "environment.json").read_text())
    challenge = json.loads((folder / "run.json").read_text())["challenge"]
    cases, rows = computed(challenge)
    of_host = {"host": container["Config"]["Hostname"], "device": GPU["name"], "challenge": challenge}
    of_host["extension"] = environment["extensions"][0]["path"]
    printed = printed or json.dumps(json.loads(cases) | of_host | told)
    (folder / "attention_test.log").write_text(f"+ test\n{printed}\n")
    (folder / "container/attention.jsonl").write_text(rows)
    listed = f"GPU 0: {GPU['name']} (UUID: {GPU['uuid']})\n"
    for name, end in (("gpus.txt", ""), ("host_gpus.txt", ""), ("container_gpus.txt", "exit code 0\n")):
        (folder / name).write_text(listed + end)
    changed("machine.json", lambda machine: machine.update(gpus=[GPU]))
    asked = {"Driver": "", "Count": -1, "DeviceIDs": None, "Capabilities": [["gpu"]], "Options": {}}
    changed("container_inspect.json", lambda made: made[0]["HostConfig"].update(DeviceRequests=[asked]))
    events, log = folder / "events.jsonl", folder / "run.log"
    events.write_text(re.sub(r'(.*)"skip"(.*"attention_test".*)', rf'\1"begin"\2\n\1"{event}"\2', events.read_text()))
    echo = f"devcontainer exec --workspace-folder x python3 attention_test.py --challenge {challenge}"
    lines = [" === attention_test ===", f" + {echo}", f" {printed}"]
    found = re.compile(r"^(\S+) No NVIDIA GPU.*$", re.MULTILINE)
    log.write_text(found.sub(lambda line: "\n".join(line[1] + text for text in lines), log.read_text()))


def copy_with_gpu(target: Path) -> Path:
    """Copy the sample, as the evidence of a host with a GPU."""
    copy(target)
    give_gpu(target)
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
    log, pip_log = SAMPLE / "run.log", SAMPLE / "container/pip.log"
    log.write_text(cut(log.read_text()))
    pip_log.write_text("".join(f"{line}\n" for line in pip_log.read_text().splitlines() if KEPT_OF_PIP.search(line)))
    for path in sorted(SAMPLE.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    seal(SAMPLE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
