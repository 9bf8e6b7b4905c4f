"""The workflow of docs/ci.md, each `run:` step of it run as it stands there.

What stands in, and for what: `sudo` only runs what it is given; under `bin/provisioner` is the real command line, but
that no playbook is played: `prepare` finds a host that went well, and `run` one whose record is already there. The
steps that are actions of GitHub's (`uses:`) are not run; that what they upload is there is checked.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAND_IN = """\
import json, os, sys
from pathlib import Path
from provisioner.ansible import job
from provisioner.__main__ import main
from provisioner.commands import prepare, run

records = iter(json.loads(Path(os.environ["STAND_IN_RECORDS"]).read_text()))

def play(playbook, target, watchers=(), extra_vars=None, *, measured=False):
    hosts = {name: job.Host(ok=9) for name in target.hosts}
    if not measured:
        return job.Job(Path("/nonexistent"), hosts=hosts)
    record = next(records)
    folder = target.state / "runs" / record["host"] / record["run_id"]
    folder.mkdir(parents=True)
    (folder / "run.json").touch()  # evidence, of which nothing is asked
    (folder / "record.json").write_text(json.dumps(record))
    hosts["localhost"].failed = int(record["outcome"] != "ok")
    return job.Job(Path("/nonexistent"), hosts=hosts, records=[record])

prepare.run_playbook = run.run_playbook = play
sys.exit(main())
"""


def workflow():
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/ci.md").read_text(encoding="utf-8"), re.DOTALL)
    return yaml.load(block, yaml.BaseLoader)  # noqa: S506 - texts only, so that `on` is a word, as it is to GitHub


class Runner:
    """Does what CI does with the steps, in a folder of its own."""

    def __init__(self, folder, records):
        self.folder, self.summary = folder, folder / "summary.md"
        (folder / "bin").mkdir()
        (folder / "records.json").write_text(json.dumps(records))
        (folder / "stand_in.py").write_text(STAND_IN)
        provisioner = f'#!/bin/sh\nexec "{sys.executable}" "{folder}/stand_in.py" "$@"\n'
        for name, text in (("bin/provisioner", provisioner), ("bin/sudo", '#!/bin/sh\nexec "$@"\n')):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)

    def play(self):
        """Give how each named step ended: its exit code, None where it was not run."""
        job = workflow()["jobs"]["measure"]
        environment = os.environ | job["env"]
        environment |= {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "STAND_IN_RECORDS": str(self.folder / "records.json"),
            "PROVISIONER_STATE_DIR": str(self.folder / "other-state"),
        }
        ended, well = {}, True
        for step in job["steps"]:
            if not (well or step.get("if") == "always()"):
                ended[step.get("name") or step["uses"]] = None
                continue
            if "uses" in step:
                if "upload" in step["uses"]:
                    self.uploaded = [name for name in step["with"]["path"].split() if (self.folder / name).is_file()]
                continue
            # The very call that GitHub makes of it.
            command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
            done = subprocess.run(
                command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
            )
            print(f"--- {step['name']}: {done.returncode}\n{done.stdout}{done.stderr}")
            ended[step["name"]] = done.returncode
            well = well and done.returncode == 0
        return list(ended.values())


@pytest.fixture
def records(record):
    """Three runs of this machine, on a GPU, and accepted; `slow` times longer than usual."""

    def make(slow=1.0, **changes):
        record["host"] = "localhost"
        record["machine"]["gpus"] = [{"name": "NVIDIA H200", "uuid": "u", "compute_capability": "9.0"}]
        record["machine"]["gpus"][0]["memory_bytes"] = 1
        record["audit"]["verdict"] = "accepted"
        made = []
        for number in range(3):
            factor = slow * (1 + number / 100)
            one = json.loads(json.dumps(record)) | {"run_id": f"run-{slow}-{number}"} | changes
            one["total_seconds"] = record["total_seconds"] * factor
            one["timings"] = {name: value and value * factor for name, value in record["timings"].items()}
            made.append(one)
        return made

    return make


@pytest.fixture
def runner(tmp_path):
    def make(records, baseline=None):
        runner = Runner(tmp_path, records)
        if baseline:
            (tmp_path / "ci").mkdir()
            (tmp_path / "ci/baseline.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in baseline))
        return runner

    return make


ALL = ["runs.jsonl", "report.html", "junit.xml"]


def test_all_is_well(runner, records):
    ci = runner(records(1.02), baseline=records())
    assert ci.play() == [0, 0, 0, 0, 0]
    assert ci.uploaded == ALL
    assert "| localhost | accepted |" in ci.summary.read_text()
    assert len(json.loads((ci.folder / "runs.json").read_text())["runs"]) == 3
    assert len((ci.folder / "runs.jsonl").read_text().splitlines()) == 3


def test_the_first_time_there_is_no_baseline(runner, records):
    assert runner(records()).play() == [0, 0, 0, 0, 0]


def test_slower_than_the_baseline_fails(runner, records):
    ci = runner(records(1.5), baseline=records())
    assert ci.play() == [0, 0, 0, 1, 0]
    assert ci.uploaded == ALL


def test_other_inputs_than_the_baselines_fail(runner, records, record):
    other = records(1.01, inputs={**record["inputs"], "torch": "2.99"})
    assert runner(other, baseline=records()).play() == [0, 0, 0, 2, 0]


def test_a_rejected_run_fails_and_is_reported(runner, records, record):
    check = {"name": "no_cached_layer", "outcome": "fail", "detail": "a layer came from the cache", "evidence": "log:1"}
    ci = runner(records(audit={"verdict": "rejected", "checks": [check]}), baseline=records())
    assert ci.play() == [0, 4, 0, None, 0]
    assert ci.uploaded == ALL
    assert "a layer came from the cache" in ci.summary.read_text()
    assert 'failures="3"' in (ci.folder / "junit.xml").read_text()


def test_a_failed_run_fails_and_is_reported(runner, records):
    failure = {"phase": "compile", "last_lines": ["nvcc: killed"], "cause": None}
    ci = runner(records(outcome="failed", failure=failure))
    assert ci.play() == [0, 1, 0, None, 0]
    assert "nvcc: killed" in ci.summary.read_text()


def test_a_runner_without_a_gpu_fails(runner, records, record):
    assert runner(records(machine={**record["machine"], "gpus": []})).play()[1] == 1


def test_the_workflow_is_one_that_github_takes():
    """As far as that can be told without GitHub: the keys that it knows, and actions named with a version."""
    document = workflow()
    assert set(document) <= {"name", "on", "permissions", "concurrency", "jobs"}
    for job in document["jobs"].values():
        assert set(job) <= {"runs-on", "timeout-minutes", "env", "steps"}
        for step in job["steps"]:
            assert set(step) <= {"name", "uses", "with", "run", "if"}
            assert ("uses" in step) != ("run" in step)
            assert "uses" not in step or re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"])
