"""The check that the record beside the evidence says what the evidence says, and what was judged of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provisioner.audit.finding import PASS, SKIP, Findings, failed, passed, skipped
from provisioner.audit.verdict import verdict
from provisioner.runs import figures
from provisioner.runs.record import Audit, Check, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from provisioner.runs.evidence import Evidence

__all__ = ["Judged", "record_is_true"]

TRUE = "each of its fields follows from the evidence"
ITSELF = Check(name="record_is_true", outcome=PASS, detail=TRUE, evidence="record.json")
OF_DATA = frozenset(
    {
        "base_is_vouched_for",
        "nothing_was_ready_in_the_base",
        "objects_were_linked",
        "source_is_known",
        "tools_are_of_packages",
        "wheels_are_those_of_the_bundle",
        "work_is_above_its_floor",
    }
)
"""What these say depends on what is known of sources, bases and wheels, which grows between versions."""
MAY_CHANGE = ("began on ", "made before ", "base not vouched for", "source not known")
"""How remarks begin that a later version need not make."""


@dataclass(frozen=True)
class Judged:
    """What a record is held against: the audit by today's rules, the first number of each check, what must be told of
    the run itself, and the number of the rules that its files came with."""

    audit: Audit
    since: Mapping[str, int]
    told: Iterable[str]
    least: int = 0


def record_is_true(evidence: Evidence, judged: Judged) -> Findings:
    """The record beside the evidence says what the evidence says, field by field, and what was `judged` as well.

    Its rules' number tells which fields and checks it has. What it was judged by other rules is not held against it,
    nor what later ones may have added, which cannot be looked at.
    """
    kept = evidence.json("record.json")
    if kept is None and not evidence.content("record.json").strip():
        yield passed(TRUE, "record.json")  # it will be made of the evidence
        return
    if kept is None or _has_a_name_twice(evidence.text("record.json")):
        yield failed("it is no record, or has a field twice", "record.json")
        return
    audit = Record.model_validate(kept).audit
    rules, now = audit.rules or 0, judged.audit.rules or 0
    record = Record(host=kept["host"], audit=Audit(verdict="incomplete", checks=[]), **figures.of(evidence))
    made = record.model_dump(mode="json") | {"audit": kept["audit"]}
    differing = [*_differences(kept, made, later=rules > now, same=rules == now)]
    differing += _checks_of_others(audit, {**judged.since, "record_is_true": 0}, now)
    if rules == now:
        differing += _judged_otherwise(audit, judged)
    if audit.verdict == "accepted" and rules < judged.least:
        differing.append(f"it was accepted by rules {rules}, and its files came with {judged.least}")
    if audit.verdict != verdict(audit.checks):
        differing.append(f"audit.verdict is {audit.verdict!r}, by its checks {verdict(audit.checks)!r}")
    for difference in differing:
        yield failed(f"the record is not the evidence's: {difference}", "record.json")
    if rules > now and not differing:
        yield skipped(f"the record was judged by rules {rules}, and these are {now}", "record.json")
        return
    yield passed(TRUE, "record.json")


def _differences(kept: Any, made: Any, where: str = "", *, later: bool, same: bool) -> Iterator[str]:
    """Yield where a kept value differs from the one that the evidence makes, and what only one of them has.

    A record of `later` rules may have more than is known here; one that is not of the `same` may have less.
    """
    if isinstance(kept, dict) and isinstance(made, dict):
        yield from _differing_fields(kept, made, where, later=later, same=same)
    elif isinstance(kept, list) and isinstance(made, list) and len(kept) == len(made):
        for at, (before, after) in enumerate(zip(kept, made, strict=True)):
            yield from _differences(before, after, f"{where}[{at}]", later=later, same=same)
    elif kept != made or isinstance(kept, bool) != isinstance(made, bool):
        yield f"{where} is {kept!r:.60}, by the evidence {made!r:.60}"


def _differing_fields(
    kept: dict[str, Any], made: dict[str, Any], where: str, *, later: bool, same: bool
) -> Iterator[str]:
    """Say the same of the fields of an object."""
    for key in made | kept if same else kept:
        place = f"{where}.{key}".lstrip(".")
        if key in kept and key in made:
            yield from _differences(kept[key], made[key], place, later=later, same=same)
        elif key in made or not later:
            yield f"{place} is {'missing' if key in made else 'no field of a record'}"


def _checks_of_others(audit: Audit, since: Mapping[str, int], now: int) -> Iterator[str]:
    """Yield which checks of its rules a record lacks, or has twice, and what is no check or field of the audit."""
    rules = audit.rules or 0
    names = [check.name for check in audit.checks]
    if not names:
        yield "it has no checks"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"check {name} is there more than once"
    for name in sorted(name for name, first in since.items() if rules and first <= rules and name not in names):
        yield f"check {name} is missing"
    if rules <= now:
        yield from _unknown_parts(audit, since)


def _unknown_parts(audit: Audit, since: Mapping[str, int]) -> Iterator[str]:
    """Yield what of an audit is a check or a field that no rules have."""
    for name in sorted({check.name for check in audit.checks} - since.keys()):
        yield f"there is no check {name}"
    parts = [audit, *audit.checks, *(place for check in audit.checks for place in check.others)]
    for field in sorted({name for part in parts for name in part.model_extra or ()}):
        yield f"audit has {field}, which is no field of it"


def _judged_otherwise(kept: Audit, judged: Judged) -> Iterator[str]:
    """Yield where the audit in the record differs from what the same rules give, or does not tell what they do.

    That files were superseded since, and what is known of sources and bases, may have come between.
    """
    now = {check.name: check for check in judged.audit.checks}
    for check in kept.checks:
        yield from _found_otherwise(check, now.get(check.name, ITSELF))
    if judged.audit.shipped_set and kept.shipped_set != judged.audit.shipped_set:
        yield f"shipped_set is {kept.shipped_set}, by the evidence {judged.audit.shipped_set}"
    for remark in judged.told:
        if remark not in kept.remarks:
            yield f"it does not tell: {remark}"
    for remark in kept.remarks:
        if remark not in judged.audit.remarks and not remark.startswith(MAY_CHANGE):
            yield f"nothing in the evidence says: {remark:.100}"


def _found_otherwise(check: Check, right: Check) -> Iterator[str]:
    """Yield where a check of the record has a wrong outcome, does not say the same, or was asked otherwise."""
    if right.outcome != check.outcome:
        yield f"check {check.name} is {check.outcome}, by the evidence {right.outcome}"
    elif right.outcome != SKIP and check.name not in OF_DATA and not _same(check, right):
        yield f"check {check.name} found {check.detail!r:.60}, by the evidence {right.detail!r:.60}"
    if right.asked != check.asked and {"yes", "made_before"} != {right.asked, check.asked}:
        yield f"whether check {check.name} was asked is {check.asked}, by the evidence {right.asked}"
    if check.asked == "made_before" and right.outcome != SKIP:
        yield f"check {check.name} was asked, and is said not to have been"


def _same(check: Check, right: Check) -> bool:
    found = [(one.detail, one.evidence, one.others) for one in (check, right)]
    return found[0] == found[1]


def _has_a_name_twice(text: str) -> bool:
    """Return whether an object of a JSON text has a name twice: some readers take the first, others the last."""
    twice = []

    def counted(pairs: list[tuple[str, Any]]) -> None:
        twice.append(len({name for name, _ in pairs}) != len(pairs))

    json.loads(text, object_pairs_hook=counted)
    return any(twice)
