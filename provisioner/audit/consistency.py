"""Checks of the evidence itself: that it is all there, as it was written, and that the record is what it says."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provisioner.audit.finding import PASS, SKIP, Findings, failed, passed, skipped
from provisioner.audit.names import EVENTS, LOG
from provisioner.audit.verdict import verdict
from provisioner.runs import figures
from provisioner.runs.record import PHASES, Audit, Check, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from provisioner.runs.evidence import Evidence

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z( |$)")
# A line of the log: its time, the Dev Container CLI's own where it adds one, and a command's echo or a phase's heading.
ECHO = re.compile(r"^\S+ (?:\[\S+\] )?\+ ")
HEADING = re.compile(r"^\S+ (?:\[\S+\] )?=== (\w+) ===$")
SUM = re.compile(r"[0-9a-f]{64}  \S.*")
SIGNATURES = tuple(f"{figures.MANIFEST}.{kind}.sig" for kind in ("ed25519", "ecdsa", "rsa"))
"""The manifest's signatures by the host's SSH keys; what they are worth is not for the audit to say."""
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
# Made from the evidence, so not of it.
DERIVED = {figures.MANIFEST, "record.json", "record.json.part", *SIGNATURES}


def run_went_well(evidence: Evidence) -> Findings:
    """The script ended by itself with every phase done."""
    if evidence.outcome == "ok":
        yield passed("every phase was done", "result.json")
        return
    phase = (evidence.json("result.json") or {}).get("phase") or "no phase"
    word = "was interrupted" if evidence.outcome == "interrupted" else evidence.outcome
    yield skipped(f"the run {word} in {phase}", "result.json")


def evidence_is_whole(evidence: Evidence) -> Findings:
    """Every file is the one that the host summed at the run's end; none was edited, added or removed."""
    made = sums(evidence.text(figures.MANIFEST))
    if not made and evidence.outcome == "ok":
        yield failed("there is no manifest, and a run that ends by itself writes one", figures.MANIFEST)
        return
    if not made:
        yield skipped("the run ended before it could write its manifest", figures.MANIFEST)
        return
    lines = evidence.text(figures.MANIFEST).splitlines()
    if len(lines) != len(made) or not all(map(SUM.fullmatch, lines)):
        yield failed("it has lines that sha256sum did not write, or a name twice", figures.MANIFEST)
    here = evidence.entries
    for name in sorted(made.keys() & here.keys()):
        if not here[name]:
            yield failed(f"{name} is no regular file", name)
        elif hashlib.sha256(evidence.content(name)).hexdigest() != made[name]:
            yield failed(f"{name} was edited", name)
    for name in sorted(made.keys() - here.keys()):
        yield failed(f"{name} was removed", figures.MANIFEST)
    for name in sorted(here.keys() - made.keys() - DERIVED):
        yield failed(f"{name} was added", name)
    yield passed(f"{len(made)} files have the sums that the host gave them", figures.MANIFEST)


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


def log_is_timestamped(evidence: Evidence) -> Findings:
    """Every line of the log carries its time, and each phase that ran echoed its commands before they ran."""
    if not evidence.log:
        yield skipped("there is no log", LOG)
        return
    echoed: dict[str, int] = {}
    phase = ""
    # Where a host went down, the log's end did with it: half a line, or a few.
    cut_off = evidence.outcome == "interrupted"
    lines = evidence.log[:-1] if cut_off else evidence.log
    for number, line in enumerate(lines, 1):
        if not TIMESTAMP.match(line):
            yield failed("a line carries no time", f"{LOG}:{number}")
        heading = HEADING.match(line)
        phase = heading[1] if heading else phase
        if heading or ECHO.match(line):
            echoed[phase] = echoed.get(phase, 0) + (not heading)
    for name in PHASES:
        if evidence.ended(name) and not echoed.get(name) and not cut_off:
            what = "echoed no command" if name in echoed else "is not in the log"
            yield failed(f"phase {name} {what}", LOG if name in echoed else EVENTS)
    yield passed(f"{len(evidence.log)} lines, {sum(echoed.values())} commands echoed", LOG)


def sums(manifest: str) -> dict[str, str]:
    """Return the sums of a file that sha256sum wrote, by name."""
    pairs = (line.split("  ", 1) for line in manifest.splitlines() if "  " in line)
    return {name: value for value, name in pairs}


def _differences(kept: Any, made: Any, where: str = "", *, later: bool, same: bool) -> Iterator[str]:
    """Say where a value that was kept differs from the one that the evidence makes, and what one has and the other not.

    A record of `later` rules may have more than is known here; one that is not of the `same` may have less.
    """
    if isinstance(kept, dict) and isinstance(made, dict):
        for key in kept.keys() | (made.keys() if same else set()):
            place = f"{where}.{key}".lstrip(".")
            if key in kept and key in made:
                yield from _differences(kept[key], made[key], place, later=later, same=same)
            elif key in made or not later:
                yield f"{place} is {'missing' if key in made else 'no field of a record'}"
    elif isinstance(kept, list) and isinstance(made, list) and len(kept) == len(made):
        for at, (before, after) in enumerate(zip(kept, made, strict=True)):
            yield from _differences(before, after, f"{where}[{at}]", later=later, same=same)
    elif kept != made or isinstance(kept, bool) != isinstance(made, bool):
        yield f"{where} is {kept!r:.60}, by the evidence {made!r:.60}"


def _checks_of_others(audit: Audit, since: Mapping[str, int], now: int) -> Iterator[str]:
    """Say which checks of its rules a record has not got, or has twice, and what is no check or field of the audit."""
    rules = audit.rules or 0
    names = [check.name for check in audit.checks]
    if not names:
        yield "it has no checks"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"check {name} is there more than once"
    for name in sorted(name for name, first in since.items() if rules and first <= rules and name not in names):
        yield f"check {name} is missing"
    if rules > now:
        return
    for name in sorted(set(names) - since.keys()):
        yield f"there is no check {name}"
    parts = [audit, *audit.checks, *(place for check in audit.checks for place in check.others)]
    for field in sorted({name for part in parts for name in part.model_extra or ()}):
        yield f"audit has {field}, which is no field of it"


def _same(check: Check, right: Check) -> bool:
    found = [(one.detail, one.evidence, one.others) for one in (check, right)]
    return found[0] == found[1]


def _has_a_name_twice(text: str) -> bool:
    """Tell whether an object of a JSON text has a name twice, of which one reader takes the first, another the last."""
    twice = []

    def counted(pairs: list[tuple[str, Any]]) -> None:
        twice.append(len({name for name, _ in pairs}) != len(pairs))

    json.loads(text, object_pairs_hook=counted)
    return any(twice)


def _judged_otherwise(kept: Audit, judged: Judged) -> Iterator[str]:
    """Say where the audit in the record is another than the same rules give, or does not tell what they do.

    That files were superseded since, and what is known of sources and bases, may have come between.
    """
    now = {check.name: check for check in judged.audit.checks}
    for check in kept.checks:
        right = now.get(check.name, ITSELF)
        if right.outcome != check.outcome:
            yield f"check {check.name} is {check.outcome}, by the evidence {right.outcome}"
        elif right.outcome != SKIP and check.name not in OF_DATA and not _same(check, right):
            yield f"check {check.name} found {check.detail!r:.60}, by the evidence {right.detail!r:.60}"
        if right.asked != check.asked and {"yes", "made_before"} != {right.asked, check.asked}:
            yield f"whether check {check.name} was asked is {check.asked}, by the evidence {right.asked}"
        if check.asked == "made_before" and right.outcome != SKIP:
            yield f"check {check.name} was asked, and is said not to have been"
    if judged.audit.shipped_set and kept.shipped_set != judged.audit.shipped_set:
        yield f"shipped_set is {kept.shipped_set}, by the evidence {judged.audit.shipped_set}"
    for remark in judged.told:
        if remark not in kept.remarks:
            yield f"it does not tell: {remark}"
    for remark in kept.remarks:
        if remark not in judged.audit.remarks and not remark.startswith(MAY_CHANGE):
            yield f"nothing in the evidence says: {remark:.100}"
