"""The sets of files that runs were made of, and the rules' number: a claim stays true."""

import json
from pathlib import Path

import pytest

from provisioner.audit import pin, shipped
from provisioner.audit.rules import HISTORY, NUMBER, RULES

ROOT = Path(__file__).parents[2]
HOW = "see CONTRIBUTING.md, 'To change a script or a rule'; `python -m provisioner.audit.pin` does most of it"


def test_the_files_as_they_are_are_a_known_set():
    assert shipped.role_files().digest in {one.digest for one in shipped.load()}, f"a script or template changed: {HOW}"


def test_the_rules_are_those_that_are_pinned():
    pinned = json.loads(pin.PINNED.read_text())
    now = pin.of_rules()
    changed = [name for name, since in now["since"].items() if pinned["since"].get(name) != since]
    assert not changed or now["number"] > pinned["number"], f"{changed} changed without a new number of rules: {HOW}"
    assert now == pinned, f"the audit's code changed: {HOW}"


def test_no_rule_that_was_asked_once_is_gone():
    pinned = json.loads(pin.PINNED.read_text())
    assert set(pinned["since"]) <= {rule.name for rule in RULES}, f"a rule that judged evidence is gone: {HOW}"


def test_every_rule_came_with_a_number_that_is_told():
    assert sorted(HISTORY) == list(range(1, NUMBER + 1))
    assert {rule.since for rule in RULES} <= set(HISTORY)


def test_every_rule_and_number_is_told_in_docs_and_every_rule_has_a_cheat():
    page = (ROOT / "docs/audit.md").read_text(encoding="utf-8")
    cheats = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests/unit").glob("test_audit_*.py")))
    names = {rule.name for rule in RULES}
    assert {name for name in names if f"`{name}`" not in page} == set()
    assert {number for number in HISTORY if f"\n| {number} |" not in page} == set()
    assert {name for name in names if name not in cheats} == set()


def test_what_a_rule_reads_is_evidence_that_the_files_of_today_make():
    (today,) = [one for one in shipped.load() if one.digest == shipped.role_files().digest]
    assert not {name for rule in RULES for name in rule.evidence - today.evidence}


def test_adding_a_set_changes_no_other(monkeypatch, tmp_path):
    known = shipped.load()
    for one in known:
        (tmp_path / f"{one.digest}.json").write_text(json.dumps(one.document()))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    new = shipped.role_files()
    monkeypatch.setattr(shipped, "SETS", tmp_path)
    monkeypatch.setattr(shipped, "role_files", lambda: made_of(new, "attention_test.py"))
    added = pin.add_set()
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path != added} == before
    assert shipped.read(added).status == shipped.UNRELEASED


def made_of(one, changed, **others):
    """A set that is like `one` but for the file `changed`."""
    files = {**one.files, changed: "0" * 64}
    digest = shipped.digest_of(files, one.variables)
    return shipped.ShippedSet(**{**vars(one), "files": files, "digest": digest, **others})


@pytest.mark.parametrize(
    ("alter", "what"),
    [
        (lambda document: document["files"].update({"attention_test.py": "0" * 64}), "another digest"),
        (lambda document: document["template"].append("RUN true"), "another template"),
    ],
)
def test_a_set_that_is_not_what_it_says_is_refused(tmp_path, alter, what):
    document = shipped.role_files().document()
    alter(document)
    path = tmp_path / "set.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=what):
        shipped.read(path)


def test_a_set_is_superseded_by_the_next_and_a_release_by_the_next_release():
    first, second, third = (
        made_of(shipped.role_files(), f"{day}", since=shipped.datetime(2026, 1, day, tzinfo=shipped.UTC), status=status)
        for day, status in ((1, "release 0.1.0"), (2, shipped.UNRELEASED), (3, "release 0.2.0"))
    )
    sets = (third, second, first)
    assert shipped.superseded_on(first, sets) == third.since.date()
    assert shipped.superseded_on(second, sets) == third.since.date()
    assert shipped.superseded_on(third, sets) is None
    assert shipped.superseded_on(first, (second, first)) is None
