"""Records: all checks are there, the verdict is made from them, and nothing is in them that is none of a record's."""

import evidence_sample
import pytest
from test_audit_cheats import edit_json

from provisioner.audit.judge import judge
from provisioner.audit.rules import NUMBER, RULES
from provisioner.runs.evidence import Evidence
from provisioner.store import collect


@pytest.fixture
def folder(tmp_path):
    made = evidence_sample.copy_with_gpu(tmp_path / "run")
    collect.of_evidence(made, "somehost")
    return made


def looked_at(folder):
    (check,) = [check for check in judge(Evidence(folder)).checks if check.name == "record_is_true"]
    return check.outcome, [check.detail, *(place.detail for place in check.others)]


def altered(folder, change):
    edit_json(folder / "record.json", change)
    return looked_at(folder)


def the(name, record):
    (check,) = [check for check in record["audit"]["checks"] if check["name"] == name]
    return check


def without(name):
    def change(record):
        record["audit"]["checks"] = [check for check in record["audit"]["checks"] if check["name"] != name]

    return change


def checks(change):
    return lambda record: change(record["audit"]["checks"])


CHEATS = {
    "a check is left out": (without("compiled_once"), "check compiled_once is missing"),
    "a check of the newest rules is left out": (without("nothing_is_missing"), "check nothing_is_missing is missing"),
    "the check of the record is left out": (without("record_is_true"), "check record_is_true is missing"),
    "a check twice": (checks(lambda made: made.append(made[0])), "check run_went_well is there more than once"),
    "a check of one's own": (
        checks(lambda made: made.append(made[0] | {"name": "certified"})),
        "there is no check certified",
    ),
    "no check at all": (lambda record: record["audit"].update(checks=[]), "it has no checks"),
    "a check that is said not to apply": (
        lambda record: the("compiled_once", record).update(asked="not_applicable"),
        "whether check compiled_once was asked is not_applicable, by the evidence yes",
    ),
    "a field of one's own": (lambda record: record.update(certified=True), "certified is no field of a record"),
    "a phase of one's own": (lambda record: record["timings"].update(warm_up=None), "timings.warm_up is no field"),
    "a field of one's own in a phase": (
        lambda record: record["phases"][1].update(note="quick"),
        "phases[1].note is no",
    ),
    "a field of one's own in the audit": (
        lambda record: record["audit"].update(by="me"),
        "audit has by, which is no field",
    ),
    "a field of one's own in a check": (
        checks(lambda made: made[3].update(by="me")),
        "audit has by, which is no field",
    ),
    "a field that was taken away": (lambda record: record.pop("retries"), "retries is missing"),
    "an acceptance by rules that did not know its files": (
        lambda record: record["audit"].update(rules=1),
        "it was accepted by rules 1, and its files came with 2",
    ),
    "another set of files": (lambda record: record["audit"].update(shipped_set="0" * 64), "shipped_set is 000"),
    "a remark of one's own": (
        lambda record: record["audit"].update(remarks=["certified"]),
        "nothing in the evidence says: certified",
    ),
    "what a check found, in other words": (
        lambda record: the("attention_test_passed", record).update(detail="on NVIDIA B200"),
        "check attention_test_passed found 'on NVIDIA B200'",
    ),
    "a check that is said not to have been asked": (
        lambda record: the("compiled_once", record).update(asked="made_before"),
        "check compiled_once was asked, and is said not to have been",
    ),
    "true, where a number is": (lambda record: record["compile"].update(count=True), "compile.count is True"),
    "a verdict of one's own": (
        lambda record: record["audit"].update(verdict="incomplete"),
        "audit.verdict is 'incomplete'",
    ),
}


@pytest.mark.parametrize("name", CHEATS)
def test_a_record_that_is_not_made_of_its_checks_is_noticed(folder, name):
    change, said = CHEATS[name]
    outcome, told = altered(folder, change)
    assert outcome == "fail"
    assert any(said in one for one in told), told


def test_a_record_that_does_not_say_that_it_is_unchallenged_is_noticed(folder):
    (folder / "record.json").unlink()
    edit_json(folder / "run.json", lambda run: run.update(unchallenged="yes"))
    evidence_sample.seal(folder)
    record = collect.of_evidence(folder, "somehost")
    assert (record.unchallenged, len(record.audit.remarks)) == (True, 1)
    assert looked_at(folder)[0] == "pass"
    outcome, told = altered(folder, lambda record: record["audit"].update(remarks=[]))
    assert outcome == "fail" and "it does not tell: unchallenged" in told[0]


def test_the_record_that_is_made_is_true(folder):
    assert looked_at(folder) == ("pass", ["each of its fields follows from the evidence"])


@pytest.mark.parametrize("rules", [1, None])
def test_a_record_of_earlier_rules_has_their_checks_and_fields(folder, rules):
    first = {rule.name for rule in RULES if rule.since == 1} | {"record_is_true"}

    def earlier(record):
        record.pop("unchallenged")
        record["audit"].update(rules=rules, checks=[one for one in record["audit"]["checks"] if one["name"] in first])
        # Who judged by them did not know the files that ran here.
        the("files_are_as_shipped", record).update(outcome="fail")
        record["audit"].update(verdict="rejected")

    assert altered(folder, earlier)[0] == "pass"
    assert altered(folder, without("compiled_once"))[0] == ("fail" if rules else "pass")
    assert altered(folder, lambda record: record["audit"].update(verdict="accepted"))[0] == "fail"
    assert altered(folder, lambda record: record.update(certified=True))[0] == "fail"


def test_a_record_of_later_rules_is_read_and_what_is_not_known_here_is_left_alone(folder):
    """It may have fields and checks that came later; what is known here is looked at all the same."""

    def of_later(record):
        record["audit"]["rules"] = NUMBER + 1
        record.update(weather="fine")
        record["audit"]["checks"].append(record["audit"]["checks"][0] | {"name": "weather_is_fine"})

    outcome, told = altered(folder, of_later)
    assert (outcome, told) == ("skip", [f"the record was judged by rules {NUMBER + 1}, and these are {NUMBER}"])
    assert altered(folder, lambda record: record["timings"].update(compile=1.0))[0] == "fail"


@pytest.mark.parametrize(
    "text", ["[]", "certified", '{"outcome": "ok", "outcome": "failed"}'], ids=["a list", "no JSON", "a field twice"]
)
def test_what_is_no_record_is_no_record_that_is_missing(folder, text):
    (folder / "record.json").write_text(text)
    assert looked_at(folder)[0] == "fail"
