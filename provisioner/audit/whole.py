"""Checks of the evidence itself: that it is all there, as it was written, and that the record is what it says."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from provisioner import figures
from provisioner.audit.finding import Findings, failed, passed, skipped
from provisioner.audit.names import EVENTS, LOG
from provisioner.audit.verdict import verdict
from provisioner.record import PHASES, Audit, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provisioner.evidence import Evidence

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z( |$)")
# A line of the log: its time, the Dev Container CLI's own where it adds one, and a command's echo or a phase's heading.
ECHO = re.compile(r"^\S+ (?:\[\S+\] )?\+ ")
HEADING = re.compile(r"^\S+ (?:\[\S+\] )?=== (\w+) ===$")
SIGNATURES = tuple(f"{figures.MANIFEST}.{kind}.sig" for kind in ("ed25519", "ecdsa", "rsa"))
"""The manifest's signatures by the host's SSH keys; what they are worth is not for the audit to say."""
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
    sums = _sums(evidence.text(figures.MANIFEST))
    if not sums and evidence.outcome == "ok":
        yield failed("there is no manifest, and a run that ends by itself writes one", figures.MANIFEST)
        return
    if not sums:
        yield skipped("the run ended before it could write its manifest", figures.MANIFEST)
        return
    here = evidence.entries
    for name in sorted(sums.keys() & here.keys()):
        if not here[name]:
            yield failed(f"{name} is no regular file", name)
        elif hashlib.sha256(evidence.content(name)).hexdigest() != sums[name]:
            yield failed(f"{name} was edited", name)
    for name in sorted(sums.keys() - here.keys()):
        yield failed(f"{name} was removed", figures.MANIFEST)
    for name in sorted(here.keys() - sums.keys() - DERIVED):
        yield failed(f"{name} was added", name)
    yield passed(f"{len(sums)} files have the sums that the host gave them", figures.MANIFEST)


def record_is_true(evidence: Evidence, judged: Audit) -> Findings:
    """The record beside the evidence says what the evidence says, field by field, and what was `judged` as well.

    A field or check that the record has not got is one that a later version added. What it was judged by other rules
    than `judged` is not held against it.
    """
    kept = evidence.json("record.json")
    if kept is not None:
        record = Record(host=kept["host"], audit=Audit(verdict="incomplete", checks=[]), **figures.of(evidence))
        made = record.model_dump(mode="json") | {"audit": kept["audit"]}
        differing = [*_differences(kept, made), *_judged_otherwise(Audit.model_validate(kept["audit"]), judged)]
        for difference in differing:
            yield failed(f"the record is not the evidence's: {difference}", "record.json")
    yield passed("each of its fields follows from the evidence", "record.json")


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


def _sums(manifest: str) -> dict[str, str]:
    """The sums of a file that sha256sum wrote, by name."""
    pairs = (line.split("  ", 1) for line in manifest.splitlines() if "  " in line)
    return {name: value for value, name in pairs}


def _differences(kept: Any, made: Any, where: str = "") -> Iterator[str]:
    """Say where a value that was kept differs from the one that the evidence makes."""
    if isinstance(kept, dict) and isinstance(made, dict):
        for key in kept:
            yield from _differences(kept[key], made.get(key), f"{where}.{key}".lstrip("."))
    elif isinstance(kept, list) and isinstance(made, list) and len(kept) == len(made):
        for at, (before, after) in enumerate(zip(kept, made, strict=True)):
            yield from _differences(before, after, f"{where}[{at}]")
    elif kept != made:
        yield f"{where} is {kept!r:.60}, by the evidence {made!r:.60}"


def _judged_otherwise(kept: Audit, judged: Audit) -> Iterator[str]:
    """Say where the audit in the record has another outcome than the same rules give, or a verdict that is not its."""
    now = {check.name: check.outcome for check in judged.checks if kept.rules == judged.rules}
    for check in kept.checks:
        if now.get(check.name, check.outcome) != check.outcome:
            yield f"check {check.name} is {check.outcome}, by the evidence {now[check.name]}"
    if kept.verdict != verdict(kept.checks):
        yield f"audit.verdict is {kept.verdict!r}, by its checks {verdict(kept.checks)!r}"
