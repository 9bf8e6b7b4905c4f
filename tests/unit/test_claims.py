"""A claim stays true: evidence that is kept here has the verdict that was told of it, and new rules excuse nobody."""

import json
import tarfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import evidence_sample
import pytest

from provisioner.audit import shipped
from provisioner.audit.finding import failed, passed
from provisioner.audit.judge import judge
from provisioner.audit.rules import RULES, Rule
from provisioner.audit.verdict import sentence
from provisioner.runs.evidence import Evidence

ROOT = Path(__file__).parents[2]
KEPT = sorted(ROOT.glob("docs/results/**/evidence-*.tar.*"))


def test_there_is_evidence_to_judge():
    assert KEPT


def record_of(run_id, folder):
    """The record that lies beside the evidence, in a file of its own or as a line of several."""
    texts = [path.read_text() for path in folder.glob("record-*.json")]
    texts += [line for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    (record,) = [one for one in map(json.loads, texts) if one["run_id"] == run_id]
    return record


@pytest.mark.parametrize("archive", KEPT, ids=lambda path: path.name)
def test_evidence_that_is_kept_has_the_verdict_that_was_told_of_it(archive, tmp_path):
    """Where this fails, a set of shipped files or a rule that made it is gone, or a new rule asks what it could not."""
    with tarfile.open(archive) as kept:
        kept.extractall(tmp_path, filter="data")
    (run,) = tmp_path.glob("*/run.json")
    judged = judge(Evidence(run.parent))
    run_id = archive.name.removeprefix("evidence-").partition(".")[0]
    told = record_of(run_id, archive.parent)["audit"]
    assert judged.verdict == told["verdict"], [check for check in judged.checks if check.outcome == "fail"]
    assert judged.shipped_set
    asked = {check["name"] for check in told["checks"]}
    assert asked <= {check.name for check in judged.checks}, "a rule that was asked of it is gone"


def test_the_sample_of_the_tests_is_judged_as_ever(tmp_path):
    judged = judge(Evidence(evidence_sample.copy(tmp_path / "run")))
    assert judged.verdict == "incomplete"
    assert [check.name for check in judged.checks if check.outcome == "skip"] == [
        "attention_test_passed",
        "container_had_the_gpu",
        "attention_was_computed_for_this_run",
    ]
    assert judged.remarks == []


# ---- rules and sets that come later ----------------------------------------------------------------------------------


def base_is_vouched_for(evidence):
    """The base is known: a rule of the future, which reads what today's files do not write."""
    if evidence.text("base_sums.jsonl"):
        yield passed("all of it", "base_sums.jsonl")
    else:
        yield failed("nothing vouches for it", "base_sums.jsonl")


LATER = Rule(base_is_vouched_for, since=99, evidence=frozenset({"base_sums.jsonl"}))


@pytest.fixture
def evidence(tmp_path):
    return Evidence(evidence_sample.copy(tmp_path / "run"))


def today():
    (one,) = [one for one in shipped.load() if one.digest == shipped.role_files().digest]
    return one


def following(evidence, days):
    """The set of today and one that came so many days after the run began and makes what the later rule reads."""
    now = replace(today(), since=evidence.started - timedelta(days=30))
    files = {**now.files, "benchmarking/new": "0" * 64}
    later = replace(
        now,
        since=evidence.started + timedelta(days=days),
        files=files,
        digest=shipped.digest_of(files, now.variables),
        evidence=now.evidence | {"base_sums.jsonl"},
    )
    return later, now


def judged(evidence, days):
    result = judge(evidence, (*RULES, LATER), following(evidence, days))
    return result, {check.name: check for check in result.checks}["base_is_vouched_for"]


def test_what_a_runs_files_could_not_make_is_told_and_not_held_against_it(evidence):
    result, check = judged(evidence, days=3)
    assert (check.outcome, check.asked) == ("skip", "made_before")
    assert result.verdict == judge(evidence).verdict
    assert sentence(result.model_dump()) == "incomplete; made before the audit asked for: base_is_vouched_for"


def test_files_that_were_superseded_when_the_run_began_are_no_way_around_a_rule(evidence):
    result, check = judged(evidence, days=-3)
    assert (check.outcome, check.asked) == ("skip", "yes")
    assert result.remarks[0].startswith(f"began on {evidence.started:%Y-%m-%d} with files that were superseded on ")
    assert len(result.remarks) == 1


def test_files_are_not_superseded_on_the_very_day(evidence):
    assert judged(evidence, days=0)[0].remarks == ["made before the audit asked for: base_is_vouched_for"]


def test_a_rule_asks_the_files_that_make_what_it_reads(evidence):
    now = replace(today(), evidence=today().evidence | {"base_sums.jsonl"})
    result = judge(evidence, (*RULES, LATER), (now,))
    assert result.verdict == "rejected"
    assert {check.name for check in result.checks if check.outcome == "fail"} == {"base_is_vouched_for"}


def test_a_rule_of_another_scenario_does_not_apply(evidence):
    result = judge(evidence, (replace(LATER, scenarios=frozenset({"b"})),))
    assert result.checks[0].detail == "does not apply to scenario a" and result.checks[0].asked == "not_applicable"


# ---- a check tells everything ----------------------------------------------------------------------------------------


def test_a_check_tells_all_that_it_finds_what_was_edited_first(evidence):
    (evidence.folder / "added").write_text("")
    (evidence.folder / "commit.txt").unlink()
    (evidence.folder / "machine.json").write_text("{}")
    check = {check.name: check for check in judge(evidence).checks}["evidence_is_whole"]
    told = [check.detail, *(place.detail for place in check.others)]
    assert told == ["machine.json was edited", "commit.txt was removed", "added was added"]


def many(_):
    """There are many things."""
    yield from (failed(f"thing {number}", "somewhere") for number in range(100))
    yield passed("not reached in earnest", "somewhere")


def test_forged_evidence_does_not_make_a_record_of_any_size(evidence):
    (check,) = judge(evidence, (Rule(many),)).checks[:1]
    assert check.detail == "thing 0" and len(check.others) == 21
    assert check.others[-1].detail == "and 79 more"


def breaks(_):
    """It finds something, and then evidence of no shape."""
    yield failed("something", "somewhere")
    raise KeyError("x")


def test_what_was_found_before_the_evidence_broke_is_told(evidence):
    (check,) = judge(evidence, (Rule(breaks),)).checks[:1]
    assert (check.outcome, check.detail, check.others) == ("fail", "something", [])


def test_sets_that_differ_in_their_template_are_told_apart_by_the_dockerfile(evidence):
    now = today()
    files = {**now.files, shipped.TEMPLATE: "0" * 64}
    other = replace(
        now,
        since=now.since + timedelta(days=1),
        files=files,
        digest=shipped.digest_of(files, now.variables),
        template=now.template + "RUN true\n",
    )
    assert judge(evidence, sets=(other, now)).shipped_set == now.digest
