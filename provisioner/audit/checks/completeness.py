"""Checks that all evidence is there that a run leaves, and that its scripts stayed as they were until its end."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from provisioner.audit import shipped
from provisioner.audit.checks import laid_down
from provisioner.audit.checks.consistency import sums
from provisioner.audit.finding import Findings, failed, passed, skipped
from provisioner.audit.names import LOG, NATIVE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provisioner.runs.evidence import Evidence

__all__ = ["OF_CONTAINERS", "OF_NATIVE", "nothing_is_missing", "scripts_stayed_as_they_were", "untold"]

OF_NATIVE = frozenset({"native_checks.json"})
OF_CONTAINERS = frozenset(
    name
    for name in shipped.EVIDENCE
    if re.match(r"(images?|base|container|docker|devcontainer)_|(build|up)\.json|host_gpus", name)
)
"""What only a run in a container leaves."""
OF_GPUS = frozenset({"container_gpus.txt", "host_gpus.txt"})
"""Where the host has GPUs."""
OF_TEST = frozenset({"attention_test.log", "container/attention.jsonl"})
MAY_BE_EMPTY = frozenset(
    {"images_before.jsonl", "images_at_build.jsonl", "base_image_before.json", "base_image_cuda.txt", "gpus.txt"}
)
"""Where a host has no image yet, a base no nvcc, a machine no GPU."""
OF_WHEELS = frozenset({"wheels.txt", "bundle.json"})
"""Where pip had a folder to install from; wheels_are_those_of_the_bundle asks for them."""
OUTPUTS = "container/ninja/outputs"
"""One in the folder of each call that built something."""
OF_CALL = ("arguments", "build.ninja", "call.json", "cpu_seconds", "environment", "ninja_log", "samples", "tools")
# What scenario_a.sh says where a command that gives evidence failed: then the file is as empty as that left it.
GAVE_NOTHING = re.compile(r"^\S+ evidence: .* gave nothing: ")


def scripts_stayed_as_they_were(evidence: Evidence) -> Findings:
    """When the run had ended the scripts had the sums that they began with, on the host and as seen from inside."""
    began = {
        name.removeprefix("files/"): hashlib.sha256(evidence.content(name)).hexdigest()
        for name in evidence.entries
        if name.startswith("files/")
    }
    site_ca = sums(evidence.text("site_ca.sha256"))
    ends = {name: sums(evidence.text(name)) for name in ("scripts_after.sha256", "scripts_inside.sha256")}
    if evidence.outcome != "ok" or not all(ends.values()):
        yield skipped("the host did not come to sum its scripts again", min(ends, key=lambda name: len(ends[name])))
        return
    for where, end in ends.items():
        differing = {name for name in began if end.get(name) != began[name]}
        differing |= {name for name in site_ca if end.get(name, site_ca[name]) != site_ca[name]}
        added = {name for name in end.keys() - began.keys() - laid_down.own(evidence) if "__pycache__" not in name}
        for name in sorted(differing | added):
            yield failed(f"{name} was another file at the end", where)
    yield passed(f"{len(began)} files", "scripts_after.sha256")


def nothing_is_missing(evidence: Evidence) -> Findings:
    """Every file is there that a run of this runtime and outcome writes, and has something in it."""
    if evidence.outcome != "ok":
        yield skipped("the run did not get to its end", "result.json")
        return
    wanted = _wanted(evidence)
    missing, empty = _not_there(evidence, wanted - OF_WHEELS - {OUTPUTS})
    for name in missing:
        yield failed(f"there is no {name}, and such a run writes it", "run.json")
    excused = [number for number, line in enumerate(evidence.log, 1) if GAVE_NOTHING.match(line)]
    if not missing and empty and excused:
        yield skipped(f"the host could not tell what {empty[0]} would", f"{LOG}:{excused[0]}")
        return
    for name in empty:
        yield failed("it is empty", name)
    yield passed(f"{len(wanted)} kinds of evidence", "run.json")


def _wanted(evidence: Evidence) -> set[str]:
    """Return the evidence that a run leaves of this runtime, of these files, on a host with such GPUs."""
    made_of = laid_down.made_of(evidence, shipped.load())
    wanted = set(made_of.evidence if made_of else shipped.EVIDENCE)
    wanted -= OF_CONTAINERS if evidence.runtime == NATIVE else OF_NATIVE
    if not evidence.ended("attention_test"):
        wanted -= OF_TEST
    if not evidence.mapping("machine.json").get("gpus"):
        wanted -= OF_GPUS
    of_call = (*OF_CALL, "outputs") if OUTPUTS in wanted else OF_CALL
    return wanted | {f"{call.folder}/{name}" for call in evidence.builds for name in of_call}


def untold(evidence: Evidence) -> frozenset[str]:
    """Return the files without content that the host could not write.

    The log says so where a command that gives evidence failed. A run that was cut off before it summed its evidence,
    by a power cut say, came to write only some of it.
    """
    if evidence.outcome != "ok" and not sums(evidence.text("manifest.sha256")):
        names = set(shipped.EVIDENCE)
    elif any(map(GAVE_NOTHING.match, evidence.log)):
        names = {name for name, is_file in evidence.entries.items() if is_file}
    else:
        return frozenset()
    return frozenset(name for name in names - MAY_BE_EMPTY if not _has_content(evidence, name))


def _has_content(evidence: Evidence, name: str) -> bool:
    """Return whether a file has anything in it; a folder has."""
    name = evidence.called(name)
    if evidence.entries.get(name):
        return bool(evidence.content(name).strip())
    return any(entry.startswith(f"{name}/") for entry in evidence.entries)


def _not_there(evidence: Evidence, wanted: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return which of these are not there, and which have nothing in them."""
    missing, empty = [], []
    for name in sorted(wanted):
        if _has_content(evidence, name):
            continue
        if not evidence.entries.get(evidence.called(name)):
            missing.append(name)
        elif name not in MAY_BE_EMPTY:
            empty.append(name)
    return missing, empty
