"""Evidence of versions that called everything after Scenario A is read as before; so is that of any scenario."""

import json
import tarfile
from pathlib import Path

import evidence_sample
import pytest

from provisioner.audit.judge import judge
from provisioner.runs import figures
from provisioner.runs.evidence import EARLIER_FILES, LOG, SETTINGS, Evidence
from provisioner.runs.record import Record

ROOT = Path(__file__).parents[2]
KEPT = sorted(ROOT.glob("docs/results/h200-devcontainer/evidence-*.tar.xz"))


def record_of(archive):
    run_id = archive.name.removeprefix("evidence-").partition(".")[0]
    lines = [line for path in archive.parent.glob("*.jsonl") for line in path.read_text().splitlines()]
    return next(line for line in lines if json.loads(line)["run_id"] == run_id)


@pytest.fixture(params=KEPT, ids=lambda path: path.name)
def kept(request, tmp_path):
    """Evidence of an earlier version, in a folder, and its record beside it."""
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    (run,) = tmp_path.glob("*/run.json")
    (run.parent / "record.json").write_text(record_of(request.param))
    return run.parent


def told(check):
    return check.outcome, check.detail, check.evidence, check.others


def test_each_check_says_of_it_what_it_said_then(kept):
    evidence = Evidence(kept)
    assert LOG not in evidence.entries and evidence.log and evidence.settings["SCENARIO_RUNTIME"] == evidence.runtime
    then = Record.model_validate(json.loads((kept / "record.json").read_text())).audit
    now = judge(evidence)
    assert {one.name: told(one) for one in now.checks} == {one.name: told(one) for one in then.checks}
    assert now.verdict == then.verdict


def test_a_record_quotes_a_failed_run_of_then_word_by_word(tmp_path):
    folder = evidence_sample.copy(tmp_path / "run")
    for now, earlier in EARLIER_FILES.items():
        (folder / now).rename(folder / earlier)
    result = {"outcome": "failed", "exit_code": 1, "phase": "image_build", "cause": "SCENARIO_A_MOUNTS names no folder"}
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "events.jsonl").write_text('{"event": "begin", "phase": "run", "uptime": 1.0}\n')
    line = "+ docker build --env SCENARIO_A_EVIDENCE=/scenario-a-evidence"
    (folder / "scenario_a.log").write_text(f"2026-11-23T07:00:00.000Z {line}\n")
    evidence_sample.seal(folder)
    evidence = Evidence(folder)
    record = Record(host="h", audit=judge(evidence), **figures.of(evidence))
    assert record.failure.cause == result["cause"] and record.failure.last_lines == [line]
    (folder / "record.json").write_text(record.model_dump_json(by_alias=True))
    found = {check.name: check for check in judge(Evidence(folder)).checks}
    assert found["record_is_true"].outcome == "pass", found["record_is_true"]


@pytest.mark.parametrize("name", [LOG, SETTINGS])
def test_a_place_is_called_as_the_evidence_calls_it(tmp_path, name):
    folder = evidence_sample.copy(tmp_path / "run")
    assert Evidence(folder).called(f"{name}:12") == f"{name}:12"
    for now, earlier in EARLIER_FILES.items():
        (folder / now).rename(folder / earlier)
    evidence = Evidence(folder)
    assert evidence.called(f"{name}:12") == f"{EARLIER_FILES[name]}:12"
    assert evidence.content(name) == (folder / EARLIER_FILES[name]).read_bytes() != b""


def test_where_both_names_are_there_those_of_now_count(tmp_path):
    folder = evidence_sample.copy(tmp_path / "run")
    (folder / EARLIER_FILES[LOG]).write_text("another\n")
    evidence = Evidence(folder)
    assert evidence.text(LOG) == (folder / LOG).read_text()
    evidence_sample.seal(folder)
    assert judge(Evidence(folder)).verdict == "incomplete"


def test_variables_of_the_earlier_names_are_none_of_a_runs_of_now(tmp_path):
    folder = evidence_sample.copy(tmp_path / "run")
    path = folder / "container_inspect.json"
    path.write_text(path.read_text().replace("SCENARIO_EVIDENCE=", "SCENARIO_A_EVIDENCE="))
    evidence_sample.seal(folder)
    found = {check.name: check for check in judge(Evidence(folder)).checks if check.outcome == "fail"}
    assert found["container_is_as_configured"].detail == "the variable SCENARIO_A_EVIDENCE is set"


def test_the_files_of_a_scenario_are_called_after_it(tmp_path):
    folder = evidence_sample.copy(tmp_path / "run")
    assert Evidence(folder).called("Dockerfile.scenario-{scenario}:3") == "Dockerfile.scenario-a:3"
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(run | {"scenario": "b"}))
    assert Evidence(folder).called("Dockerfile.scenario-{scenario}") == "Dockerfile.scenario-b"


def test_no_check_tells_a_name_that_is_none_of_the_evidence(tmp_path):
    for folder in (evidence_sample.copy(tmp_path / "one"), evidence_sample.copy_with_gpu(tmp_path / "other")):
        assert "{scenario}" not in judge(Evidence(folder)).model_dump_json()
