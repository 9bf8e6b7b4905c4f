"""Checks of the evidence itself: that the run came to its end, and that all is there as it was written."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from provisioner.audit.finding import Findings, failed, passed, skipped
from provisioner.audit.names import EVENTS, LOG
from provisioner.runs import figures
from provisioner.runs.phases import PHASES

if TYPE_CHECKING:
    from provisioner.runs.evidence import Evidence

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z( |$)")
# A line of the log: its time, the Dev Container CLI's own where it adds one, and a command's echo or a phase's heading.
ECHO = re.compile(r"^\S+ (?:\[\S+\] )?\+ ")
HEADING = re.compile(r"^\S+ (?:\[\S+\] )?=== (\w+) ===$")
SUM = re.compile(r"[0-9a-f]{64}  \S.*")
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
