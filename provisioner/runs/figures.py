"""What a run's evidence says of it, less the verdict: pure functions of the evidence."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, TypeVar

from provisioner.runs import first_error, ledger, retries
from provisioner.runs.evidence import NUMBER
from provisioner.runs.phases import PHASES, TABLE, within
from provisioner.runs.record import Compile, Failure, Inputs, Machine, Phase
from provisioner.text.display import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from provisioner.runs.evidence import Evidence
    from provisioner.runs.record import Object

__all__ = ["MANIFEST", "of"]

Figure = TypeVar("Figure", int, float)

MANIFEST = "manifest.sha256"
COMMANDS = "files/.devcontainer/commands.sh"
"""What tells in the log that something is tried again; runs of before did not have it."""

COMPILE_LOG = "container/pip.log"
LONGEST_LINE = 500
# How many lines of the log a failure shows.
LAST_LINES = 8
# Lines that are no cause: the Dev Container CLI's after a command has failed, and docker's progress for each layer.
NOISE = re.compile(
    r"at .*[:(]|Error: Command failed|\{\"outcome\"|(\[\S+\] )?postCreateCommand from"
    r"|[0-9a-f]{12}: (Retrying in|Pulling|Waiting|Download|Verifying|Pull)"
)


def of(evidence: Evidence) -> dict[str, Any]:
    """Return the record's fields but `host` and `audit`. Raise ValueError where the folder holds no run."""
    run = evidence.run
    outcome = evidence.outcome
    phases, total = timeline(evidence)
    timings = {phase.name: phase.seconds for phase in phases}
    machine = Machine.model_validate(evidence.json("machine.json") or {})
    manifest = evidence.text(MANIFEST)
    return {
        "run_id": run["run_id"],
        "scenario": evidence.scenario,
        "profile": run.get("profile") or None,
        "runtime": evidence.runtime,
        "started_at": run["started_at"],
        "unchallenged": evidence.unchallenged,
        "outcome": outcome,
        "failure": None if outcome == "ok" else failure(evidence, phases),
        "total_seconds": total,
        "phases": phases,
        "timings": timings,
        "retries": retries.of_log(evidence.log) if COMMANDS in evidence.entries else None,
        "compile": compile_figures(evidence, timings["compile"], machine.cores),
        "inputs": inputs(evidence),
        "machine": machine,
        "evidence_sha256": hashlib.sha256(manifest.encode()).hexdigest() if manifest else None,
    }


def timeline(evidence: Evidence) -> tuple[list[Phase], float | None]:
    """Return every phase in order, and the run's own seconds (None where it did not start or did not end)."""
    begun: dict[str, float] = {}
    ended: dict[str, float] = {}
    failed = set()
    for event in evidence.events:
        (begun if event["event"] == "begin" else ended)[event["phase"]] = float(event["uptime"])
        if event["event"] == "fail":
            failed.add(event["phase"])
    # A phase fails with what runs within it; that is the phase to look at.
    failed -= {phase.within for phase in TABLE if phase.name in failed}
    start = begun.get("run")
    if start is None:
        return [Phase(name=name, started=None, seconds=None, outcome="skipped") for name in PHASES], None

    phases = [_phase(name, start, begun.get(name), ended.get(name), failed=name in failed) for name in PHASES]
    measured = {phase.name: phase.seconds or 0 for phase in phases}
    for phase in phases:
        if phase.seconds is not None:
            phase.seconds = round(phase.seconds - sum(measured[name] for name in within(phase.name)), 2)
    return phases, round(ended["run"] - start, 2) if "run" in ended else None


def _phase(name: str, start: float, begun: float | None, ended: float | None, *, failed: bool) -> Phase:
    """Return a phase by when the run's start, its own begin and its own end were; it was skipped without a begin."""
    if begun is None:
        return Phase(name=name, started=None, seconds=None, outcome="skipped")
    seconds = None if ended is None else ended - begun
    # Begun and never ended: the run was interrupted in it.
    outcome = "failed" if failed or seconds is None else "ok"
    return Phase(name=name, started=round(begun - start, 2), seconds=seconds, outcome=outcome)


def failure(evidence: Evidence, phases: list[Phase]) -> Failure:
    """Return where the run stopped and what the log said there last."""
    phase = next((phase.name for phase in phases if phase.outcome == "failed"), None)
    lines = [line.partition(" ")[2].strip() for line in evidence.log]
    end = next((at for at, line in enumerate(lines) if line == "=== evidence ==="), len(lines))
    begin = max((at for at, line in enumerate(lines[:end]) if retries.HEADING.search(line)), default=0)
    error = first_error.of_lines(evidence.text(COMPILE_LOG).splitlines()) if phase == "compile" else None
    error = error or first_error.of_lines(lines[begin:end])
    return Failure(
        phase=phase,
        cause=evidence.mapping("result.json").get("cause"),
        first_error=printable(error, LONGEST_LINE) if error else None,
        last_lines=[printable(line) for line in lines[:end] if line and not NOISE.match(line)][-LAST_LINES:],
    )


def compile_figures(evidence: Evidence, seconds: float | None, cores: int | None) -> Compile:
    """Return what ninja's own logs tell of the compile; `seconds` is the phase's, `cores` the machine's."""
    built = evidence.builds
    known = _told(call.cpu_seconds for call in built)
    cpu = round(sum(known), 3) if known else None
    objects = _objects(evidence)
    wall = round(sum(max(step.ended for step in call.steps) for call in built), 3) if built else None
    jobs = next((call.jobs for call in built if call.jobs), None) or _number(evidence.run.get("max_jobs"))
    bound = ledger.bound(objects, cpu, cores)
    return Compile(
        count=len(built),
        objects=len(objects) if built else None,
        seconds=seconds,
        max_jobs=_number(evidence.run.get("max_jobs")),
        arch_list=evidence.run.get("arch_list"),
        longest_object_seconds=max((item.seconds for item in objects), default=None),
        cpu_seconds=cpu,
        peak_memory_bytes=max(_told(call.peak_memory_bytes for call in built), default=None),
        ninja_seconds=wall,
        ledger=objects,
        critical_path=[item.name for item in ledger.critical_path(objects)],
        parallel_efficiency=ledger.efficiency(cpu, wall, jobs),
        bound_seconds=bound,
        wall_over_bound=round(wall / bound, 3) if wall and bound else None,
    )


def _objects(evidence: Evidence) -> list[Object]:
    """Return what was built, with times since the run's start."""
    start = evidence.begun("run") or 0.0
    return [item for call in evidence.builds for item in ledger.objects(call, (call.window or (start,))[0] - start)]


def _told(figures: Iterable[Figure | None]) -> list[Figure]:
    """Return the figures that are told, of those that may not be."""
    return [figure for figure in figures if figure is not None]


def inputs(evidence: Evidence) -> Inputs:
    """Return what was measured."""
    run = evidence.run
    image, was_there = _base_image(evidence)
    packages = {package["name"]: package["version"] for package in evidence.json("packages.json") or []}
    username = run.get("username") or "alexchesser"
    return Inputs(
        base_image=run.get("base_image") or None,
        base_image_digest=digest(image, run.get("base_image") or ""),
        base_image_present=was_there,
        torch=packages.get("torch"),
        xformers_url=run.get("xformers_url") or f"https://github.com/{username}/xformers.git",
        xformers_ref=run.get("xformers_ref") or None,
        xformers_commit=evidence.text("commit.txt").strip() or None,
        xformers_tree=evidence.text("tree.txt").strip() or None,
        arch_list=run.get("arch_list"),
        max_jobs=_number(run.get("max_jobs")),
        nvcc_threads=_number(run.get("nvcc_threads")),
        input_hash=run.get("input_hash") or None,
        versions=(evidence.json("environment.json") or {}).get("versions") or {},
    )


def _base_image(evidence: Evidence) -> tuple[dict[str, Any], bool | None]:
    """Return the base image as the engine has it, {} where there is none; and whether it was there before the run."""
    before = evidence.json("base_image_before.json")
    image = (evidence.json("base_image.json") or before or [{}])[0]
    return image, None if before is None else bool(before)


def digest(image: Mapping[str, Any], name: str) -> str | None:
    """Return an image's digest in the registry that `name` is of, else in any; its own id where it was made here."""
    digests = image.get("RepoDigests") or []
    repository = re.sub(r"[:@][^/]*$", "", name)
    return next((one for one in digests if one.startswith(f"{repository}@")), next(iter(digests), image.get("Id")))


def _number(text: Any) -> int | None:
    return int(text) if NUMBER.fullmatch(str(text)) else None
