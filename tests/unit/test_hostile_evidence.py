"""`provisioner audit DIR` of a folder that somebody made to harm: no hang, no crash, nothing read outside of it."""

import json
import os
import shutil
from pathlib import Path

import pytest

from provisioner import upstream
from provisioner.text import bounds

SAMPLE = Path(__file__).parent / "data" / "evidence"
(NINJA,) = (path.parent.relative_to(SAMPLE).as_posix() for path in SAMPLE.glob("container/ninja/*/ninja_log"))


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(SAMPLE, tmp_path / "run"))


def filled(name, text):
    def change(folder):
        (folder / name).write_text(text)

    return change


def changed(name, **values):
    def change(folder):
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def pipe(name):
    def change(folder):
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


def link(name, target):
    def change(folder):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return change


def large(name, size):
    def change(folder):
        with (folder / name).open("wb") as file:
            file.truncate(size)

    return change


def many(folder):
    for number in range(bounds.FILES + 1):
        (folder / f"{number}").touch()


def deep(folder):
    (folder / ("d/" * 40)).mkdir(parents=True)


LONG = 300_000
"""Characters of a line: an expression that takes the square of it takes minutes."""
REFUSED = {
    "run.json is a pipe": pipe("run.json"),
    "run.json is a device": link("run.json", "/dev/zero"),
    "run.json is nested": filled("run.json", "[" * 100_000),
    "run.json is a list": filled("run.json", "[]"),
    "a run id that is a path": changed("run.json", run_id="../../x"),
    "a run id of a megabyte": changed("run.json", run_id="x" * 10**6),
    "more files than evidence has": many,
    "deeper than evidence is": deep,
    "larger than evidence is": large("run.log", bounds.EVIDENCE + 1),
}
JUDGED = {
    "a log that is a pipe": pipe("run.log"),
    "a Dockerfile that is a link": link("files/.devcontainer/Dockerfile.scenario-a", "/etc/passwd"),
    "a folder that is a link": lambda folder: (shutil.rmtree(folder / NINJA), link(NINJA, "/etc")(folder)),
    "a link to itself": link("commit.txt", "commit.txt"),
    "a file that is too large": large("container/pip.log", bounds.FILE + 1),
    "JSON that is too large": large("packages.json", bounds.JSON_FILE + 1),
    "JSON that is nested": filled("packages.json", "[" * 100_000),
    "JSON of other types": lambda folder: [
        filled(path.name, "[1]")(folder) for path in folder.glob("*.json") if path.name != "run.json"
    ],
    "a number too large": filled("events.jsonl", '{"event":"begin","phase":"run","uptime":1e999}\n' + "9" * 400),
    "a time too large": filled(f"{NINJA}/call.json", '{"began": 1e300, "ended": "inf"}'),
    "ninja's numbers too large": filled(f"{NINJA}/ninja_log", f"{'9' * 400}\t{'9' * 5000}\t1\tx.o\th\n"),
    "text that is none": filled("commit.txt", "\\ud800"),
    "JSON with half a character": filled("machine.json", '{"os": "\\ud800"}'),
    "inputs of other types": filled("files/benchmarking/inputs.json", '{"python_packages": 1, "base_image": [1]}'),
    "architectures without end": changed("run.json", arch_list="1.0;" * 10**6),
    "a log of plus signs": filled("run.log", "+ pip install " * (LONG // 14)),
    "a log of builds": filled("run.log", "x === image_build ===\n + " + "devcontainer" * (LONG // 12)),
    "a log of installs": filled("run.log", "Successfully installed " * (LONG // 23)),
    "pip's words": filled("container/pip.log", "xformers" * (LONG // 8)),
    "pip's wheels": filled("container/pip.log", "Processing " + "xformers.wh" * (LONG // 11)),
    "pip's empty lines": filled("container/pip.log", "\n" * LONG),
    "mounts of a Dockerfile": filled("files/.devcontainer/Dockerfile.scenario-a", "RUN " + "--mount=" * (LONG // 8)),
    "an image's name": filled("docker_events.jsonl", json.dumps({"Action": "pull", "Actor": {"ID": ":" * LONG}})),
    "outputs in each other": filled(
        f"{NINJA}/ninja_log", "".join(f"0\t0\t1\t{'a/' * 500}{n}.o\th\n" for n in range(5000))
    ),
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
def test_what_is_no_evidence_is_refused_in_a_line(cli, folder, change):
    change(folder)
    code, out, err = cli("audit", folder)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert "fault in provisioner" not in err and len(err) < 2000


@pytest.mark.parametrize("change", JUDGED.values(), ids=JUDGED)
def test_evidence_of_any_content_is_judged(cli, folder, change):
    change(folder)
    code, out, err = cli("audit", folder, "--json")
    assert code == 4, err
    assert "root:" not in out
    assert json.loads(out)["verdict"] == "rejected"
    assert cli("audit", folder)[0] == 4


@pytest.mark.parametrize(
    "line",
    [
        "(time git clone " * 30_000,
        "(time pip install -e " * 30_000,
        "(time " + "git clone http://" * 30_000,
        "(time TORCH_CUDA_ARCH_LIST=" + "1 python " * 30_000,
        "Start: Run: docker build " * 30_000,
        f"real {'9' * 5000}m1.1s",
        f"Total elapsed seconds: {'9' * 400}",
    ],
)
def test_a_log_of_the_shell_benchmark_may_be_anybodys(cli, tmp_path, line):
    head = "--- Scenario Runner ---\nScenario: x/scenario_a.sh\nStart: 2025-08-12T08:44:13Z\n"
    (tmp_path / "scenario_a.log").write_text(head + line + "\n")
    code, _, err = cli("audit", f"{tmp_path}/")
    assert code in {0, 4} and "fault" not in err, err
    (tmp_path / "scenario_a.log").unlink()
    (tmp_path / "scenario_a.log").symlink_to("/dev/zero")
    assert cli("audit", f"{tmp_path}/")[0] == 2


def test_a_log_of_commands_without_end_is_none():
    text = "--- Scenario Runner ---\nScenario: x/scenario_a.sh\nStart: 2025-08-12T08:44:13Z\n" + "(time true)\n" * 2000
    with pytest.raises(upstream.NotALogError, match="more than 1000 commands"):
        upstream.record_of(text, "h")
