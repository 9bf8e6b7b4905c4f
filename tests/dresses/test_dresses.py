"""The first two laws, on hosts as sites have them; docs/lab.md says what a dress is, wardrobe.py what is done."""

import re

import pytest
from differences import gained, lost
from wardrobe import Worn


def test_the_plan_tells_the_truth(worn: Worn) -> None:
    """`plan` is empty if and only if `prepare` then changes nothing, both times."""
    _, first_plan, first_prepare, second_plan, second_prepare = worn.steps
    looks = (
        (first_plan, first_prepare, worn.before, worn.between),
        (second_plan, second_prepare, worn.between, worn.after),
    )
    for plan, prepare, before, after in looks:
        empty = not plan.failures and plan.document.get("changes") == []
        nothing = not prepare.failures and prepare.document.get("changed") == 0
        if not plan.failures:
            assert empty == nothing, f"an empty plan: {empty}; nothing changed: {nothing}\n{worn}"
        if empty:
            _require_nothing(lost(before, after) + gained(before, after), worn)


def test_it_is_ready_or_refused_as_expected(worn: Worn) -> None:
    doctor, first_plan, first_prepare, second_plan, second_prepare = worn.steps
    if worn.dress.expect.prepare == "ready":
        assert not [step for step in worn.steps if step.failures], f"refused\n{worn}"
        assert second_plan.document["changes"] == [], f"not ready after `prepare`\n{worn}"
        assert second_prepare.document["changed"] == 0, f"changed again\n{worn}"
        return
    for step in (first_plan, first_prepare, second_plan, second_prepare):
        assert len(step.failures) == 1, f"not one line of refusal\n{worn}"
    told = [finding for finding in doctor.document["findings"] if finding["outcome"] == "fail"]
    assert told, f"doctor found nothing\n{worn}"
    assert first_prepare.document["changed"] == second_prepare.document["changed"] == 0, f"changed something\n{worn}"
    _require_nothing(lost(worn.before, worn.after) + gained(worn.before, worn.after), worn)


def test_what_is_so_is_said(worn: Worn) -> None:
    says = worn.dress.expect.says
    if not says:
        pytest.skip("the dress expects no words")
    doctor, first_plan, *_ = worn.steps
    refused = worn.dress.expect.prepare == "refused"
    planned = first_plan.failures if refused else [*first_plan.notes, *first_plan.lines]
    assert re.search(says, "\n".join(planned)), f"plan does not say {says!r}\n{worn}"
    found = [f"{finding['detail']}; {finding['remedy']}" for finding in doctor.document["findings"]]
    assert re.search(says, "\n".join([*found, *doctor.notes])), f"doctor does not say {says!r}\n{worn}"


def test_the_site_has_all_that_it_had(worn: Worn) -> None:
    _require_nothing(lost(worn.before, worn.after), worn)


def _require_nothing(found: list[str], worn: Worn) -> None:
    assert not found, "\n".join([f"{len(found)} differences on the host:", *found[:40], str(worn)])
