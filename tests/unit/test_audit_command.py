"""`provisioner audit`, on a folder that was never in the store and on a run that is."""

import json
import shutil

import evidence_sample
import pytest

from provisioner.store import collect

RUN_ID = json.loads((evidence_sample.SAMPLE / "run.json").read_text())["run_id"]


@pytest.fixture
def folder(tmp_path):
    return evidence_sample.copy(tmp_path / "sent-by-somebody")


def test_a_folder_is_judged_check_by_check_the_deciding_ones_first(cli, folder):
    code, out, err = cli("audit", folder)
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == f"{RUN_ID}: incomplete"
    assert lines[2].split()[:2] == ["skip", "attention_test_passed"]
    told = [line.split()[0] for line in lines[2:]]
    assert told == sorted(told, reverse=True) and set(told) == {"skip", "pass"} and len(lines) > 20
    assert str(folder) in err


def test_a_rejected_run_is_4_and_its_reason_comes_first(cli, folder):
    (folder / "commit.txt").write_text("0" * 40)
    code, out, _ = cli("audit", folder)
    assert code == 4
    first = out.splitlines()[2]
    assert first.startswith("fail") and "commit.txt was edited" in first and first.endswith("commit.txt")


def test_json_is_the_audit_of_the_record(cli, folder, state):
    kept = state / "runs/somehost" / RUN_ID
    kept.parent.mkdir(parents=True)
    shutil.move(folder, kept)
    record = collect.of_evidence(kept, "somehost")
    code, out, _ = cli("audit", RUN_ID[:-4], "--json")
    assert code == 0
    assert json.loads(out) == record.audit.model_dump(mode="json") | {"signatures": json.loads(out)["signatures"]}


@pytest.mark.parametrize("name", [".", "no/such/folder"])
def test_a_folder_without_a_run_is_one_line_and_2(cli, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    code, out, err = cli("audit", f"./{name}")
    assert (code, out) == (2, "") and err.count("\n") == 1 and "holds no run" in err


def test_a_run_that_nobody_knows_is_2(cli):
    assert cli("audit", "20991231")[0] == 2
