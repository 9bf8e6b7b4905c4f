"""The first two laws, on hosts as sites have them; docs/lab.md says what a dress is, wardrobe.py what is done."""

import re

import pytest
from differences import gained, lost
from wardrobe import Worn


def test_the_plan_tells_the_truth(worn: Worn) -> None:
    """`plan` is empty if and only if `prepare` then changes nothing, both times."""
    _, first_plan, first_prepare, second_plan, second_prepare = worn.steps
    pairs = (
        ("first", first_plan, first_prepare, worn.before, worn.between),
        ("second", second_plan, second_prepare, worn.between, worn.after),
    )
    for which, plan, prepare, before, after in pairs:
        if plan.failures:
            continue  # what is refused is another test's
        empty = plan.document.get("changes") == []
        nothing = not prepare.failures and prepare.document.get("changed") == 0
        _require(empty == nothing, f"the {which} plan is empty: {empty}; nothing changed then: {nothing}", worn)
        if empty:
            _require_none(lost(before, after) + gained(before, after), worn)


def test_it_is_ready_or_refused_as_expected(worn: Worn) -> None:
    doctor, first_plan, first_prepare, second_plan, second_prepare = worn.steps
    if worn.dress.expect.prepare == "ready":
        _require(not any(step.failures for step in worn.steps), "it is not ready", worn)
        _require(second_plan.document["changes"] == [], "there is more to do after `prepare`", worn)
        _require(second_prepare.document["changed"] == 0, "the second `prepare` changed something", worn)
        return
    for step in (first_plan, first_prepare, second_plan, second_prepare):
        _require(len(step.failures) == 1, f"{len(step.failures)} lines of refusal by `{step.command}`, not one", worn)
    told = [finding for finding in doctor.document["findings"] if finding["outcome"] == "fail"]
    _require(bool(told), "doctor finds nothing wrong", worn)
    for step in (first_prepare, second_prepare):
        _require(step.document["changed"] == 0, "a refused host was changed", worn)
    _require_none(lost(worn.before, worn.after) + gained(worn.before, worn.after), worn)


def test_what_is_so_is_said(worn: Worn) -> None:
    says = worn.dress.expect.says
    if not says:
        pytest.skip("the dress expects no words")
    doctor, first_plan, *_ = worn.steps
    refused = worn.dress.expect.prepare == "refused"
    planned = first_plan.failures if refused else [*first_plan.notes, *first_plan.lines]
    _require(any(re.search(says, line) for line in planned), f"plan does not say {says!r}", worn)
    found = [f"{finding['detail']}; {finding['remedy']}" for finding in doctor.document["findings"]]
    _require(any(re.search(says, line) for line in [*found, *doctor.notes]), f"doctor does not say {says!r}", worn)


def test_the_site_has_all_that_it_had(worn: Worn) -> None:
    _require_none(lost(worn.before, worn.after), worn)


def _require(so: bool, problem: str, worn: Worn) -> None:
    if not so:
        pytest.fail(f"{problem}\n{worn}", pytrace=False)


def _require_none(found: list[str], worn: Worn) -> None:
    _require(not found, "\n  ".join([f"{len(found)} differences on the host:", *found[:40]]), worn)
