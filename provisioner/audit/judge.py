"""From a run's evidence to the verdict: each rule asked, what it found told."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from provisioner.audit import shipped
from provisioner.audit.checks import base, completeness, laid_down, record, source_known, times
from provisioner.audit.finding import FAIL, PASS, SKIP, Finding, Findings, failed
from provisioner.audit.rules import NUMBER, RULES, Rule
from provisioner.audit.verdict import verdict
from provisioner.runs.evidence import MISSHAPEN
from provisioner.runs.record import Audit, Check, Place
from provisioner.text.display import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import date
    from typing import Literal

    from provisioner.audit.shipped import ShippedSet
    from provisioner.runs.evidence import Evidence

__all__ = ["judge"]

# Of what a check finds so many are told, so that forged evidence does not make a record of any size.
MOST_TOLD = 20
MOST_FOUND = 1000
WEIGHT = (FAIL, SKIP, PASS)


def judge(evidence: Evidence, rules: Iterable[Rule] = RULES, sets: Iterable[ShippedSet] | None = None) -> Audit:
    """Return the verdict on a run and every check; last of them whether the record beside the evidence is true.

    A check that does not apply to the run, or that asks for what its files did not make yet, was not asked and counts
    for nothing; the latter are told in a remark. Raise ValueError where the folder holds no run, or more than evidence.
    """
    if not evidence.entries:  # larger than evidence is, it is refused
        raise ValueError(f"{evidence.folder} holds no run: it is empty")
    rules = tuple(rules)
    sets = shipped.load() if sets is None else tuple(sets)
    try:
        made_of = laid_down.made_of(evidence, sets)
    except MISSHAPEN:  # a rule finds it again, and tells
        made_of = None
    ended = shipped.superseded_on(made_of, sets) if made_of else None
    late = ended is not None and evidence.started.date() > ended
    untold = frozenset[str]()
    with suppress(*MISSHAPEN):  # a rule finds it again, and tells
        untold = completeness.untold(evidence)
    checks = [_check(rule, evidence, made_of, untold, late=late) for rule in rules]
    told = [*_of_base(evidence), *_told(evidence)]
    remarks = [*_remarks(evidence, checks, ended if late else None), *told]
    digest = made_of.digest if made_of else None
    judged = Audit(verdict=verdict(checks), checks=checks, rules=NUMBER, shipped_set=digest, remarks=remarks)
    since = {rule.name: rule.since for rule in rules}
    # Who judged by earlier rules did not know these files.
    least = max(
        (rule.since for rule in rules if rule.evidence and made_of and rule.evidence <= made_of.evidence), default=0
    )
    about = record.Judged(judged, since, told, least)
    checks = [*checks, _of("record_is_true", _found(record.record_is_true, evidence, about))]
    return judged.model_copy(update={"checks": checks, "verdict": verdict(checks)})


def _check(rule: Rule, evidence: Evidence, made_of: ShippedSet | None, untold: frozenset[str], *, late: bool) -> Check:
    foreign = rule.foreign_to(evidence)
    if foreign:
        return _of(rule.name, [Finding(SKIP, f"does not apply to {foreign}", "run.json")], "not_applicable")
    unmade = sorted(rule.evidence - made_of.evidence) if made_of else []
    if unmade:
        # Files that were superseded when the run began are no way around what is asked since.
        what = f"the files that ran did not make {unmade[0]} yet"
        return _of(rule.name, [Finding(SKIP, what, "files")], "yes" if late else "made_before")
    lacking = sorted((rule.evidence | rule.reads) & untold)
    if lacking:
        name = evidence.called(lacking[0])
        return _of(rule.name, [Finding(SKIP, f"the host could not tell what {name} would", name)])
    return _of(rule.name, _found(rule.check, evidence))


def _remarks(evidence: Evidence, checks: list[Check], superseded: date | None) -> list[str]:
    """Return what must be told beside the verdict, what matters most first."""
    remarks = []
    if superseded:
        remarks.append(f"began on {evidence.started:%Y-%m-%d} with files that were superseded on {superseded}")
    before = [check.name for check in checks if check.asked == "made_before"]
    if before:
        remarks.append(f"made before the audit asked for: {', '.join(before)}")
    return remarks


def _of_base(evidence: Evidence) -> list[str]:
    """Return what must be told of where it came from; what is known of that only ever grows."""
    remarks: list[str] = []
    for told in (base.remarks, source_known.remarks):
        with suppress(*MISSHAPEN):  # a rule finds it again, and tells
            remarks += told(evidence)
    return remarks


def _told(evidence: Evidence) -> list[str]:
    """Return what must be told of a run by its evidence alone."""
    try:
        told = [f"the clock of its host was set by {seconds:+.0f} s meanwhile" for _, seconds in evidence.clock_set()]
    except MISSHAPEN:  # a rule finds it again, and tells
        told = []
    with suppress(*MISSHAPEN):
        told += times.other_day(evidence)
    if evidence.unchallenged:
        told.insert(0, "unchallenged: its host chose the numbers of the attention test itself")
    return told[:MOST_TOLD]


def _of(name: str, findings: list[Finding], asked: Literal["yes", "not_applicable", "made_before"] = "yes") -> Check:
    """Return the check of these findings: its outcome is that of the gravest, and those alone are told."""
    outcome = min((finding.outcome for finding in findings), key=WEIGHT.index)
    grave = [finding for finding in findings if finding.outcome == outcome]
    others = [Place(detail=finding.detail, evidence=finding.evidence) for finding in grave[1 : MOST_TOLD + 1]]
    if len(grave) > MOST_TOLD + 1:
        others.append(Place(detail=f"and {len(grave) - MOST_TOLD - 1} more", evidence=grave[-1].evidence))
    first = grave[0]
    return Check(name=name, outcome=outcome, detail=first.detail, evidence=first.evidence, asked=asked, others=others)


def _found(check: Callable[..., Findings], evidence: Evidence, *about: Any) -> list[Finding]:
    """Make a check; evidence of another shape than a run writes is no reason to stop, and one to fail."""
    found: list[Finding] = []
    try:
        for finding in islice(check(evidence, *about), MOST_FOUND):
            found.append(finding._replace(evidence=evidence.called(finding.evidence)))
    except MISSHAPEN as error:
        if not any(finding.outcome == FAIL for finding in found):
            what = f"the evidence is not of the shape that a run writes: {type(error).__name__} {printable(error)}"
            found.append(failed(what, "run.json"))
    return found
