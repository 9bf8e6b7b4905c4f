"""Checks of the edges of the compile: ninja's build file, its log, pip's output and the host's log tell the same."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from provisioner.audit import ninja_file
from provisioner.audit.checks.compile import STEP
from provisioner.audit.compilation import compiled_by, name_of, of_the_compile, unfinished
from provisioner.audit.finding import Findings, failed, passed
from provisioner.audit.known_sources import known
from provisioner.audit.names import LOG, PIP_LOG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provisioner.audit.compilation import Compilation
    from provisioner.runs.evidence import Evidence, NinjaCall, Step

__all__ = ["edges_fit_each_other", "every_edge_was_built_once", "log_saw_each_edge", "ptxas_told_of_its_work"]

# What a loaded host may take from one line of a script, or of ninja's, to the next, in seconds.
LATE = 10.0
GRAIN = 0.1
# No compiler starts, reads a file and writes an object within this, in seconds; nvcc starts eight programs for one.
QUICKEST, QUICKEST_CUDA = 0.005, 0.1
# nvcc is asked for ptxas' words, and for machine code; ptxas tells for which.
ASKED = re.compile(r"\s(?:--ptxas-options|-Xptxas)[= ]\S*-v\b")
CODE = re.compile(r"\bsm_\d+[af]?")
KERNEL = re.compile(r"Compiling entry function '([^'\n]*)'")
FOR = re.compile(r"Compiling entry function '[^'\n]*' for '(sm_\d+[af]?)'")
# A step of ninja in the log: its time, the Dev Container CLI's own where it adds one, and the command.
LOGGED = re.compile(r"^(\S+Z) (?:\[\S+Z\] )? *\[\d+/\d+\] (.*)$")


@of_the_compile(inside=False)
def every_edge_was_built_once(evidence: Evidence, compiled: Compilation) -> Findings:
    """Every edge of build.ninja is in ninja's log and in pip's output, by its own command, once; nothing else is."""
    where, log = compiled.named("build.ninja"), compiled.named("ninja_log")
    edges = ninja_file.parse(evidence.text(where))
    wanted = Counter(output for edge in edges for output in edge.outputs)
    built = {step.output for step in compiled.call.steps}
    for output in sorted(wanted.keys() - built):
        yield failed(f"{output} is not in ninja's log", log)
    for output in sorted(built - wanted.keys()):
        yield failed(f"{output} is in ninja's log, and nothing was to make it", log)
    for output in sorted(output for output, count in wanted.items() if count > 1):
        yield failed(f"{output} is to be made by two edges", where)
    told = STEP.findall(evidence.text(PIP_LOG))
    yield from _told_otherwise(compiled, told)
    if len(told) != len(edges):
        yield failed(f"pip's output has {len(told)} steps, and there are {len(edges)} edges", PIP_LOG)
    yield passed(f"{len(edges)} edges, each once, by its own command", where)


def _told_otherwise(compiled: Compilation, told: list[tuple[str, str, str]]) -> Findings:
    """Say which step of pip's output is not the one that its place in ninja's log has."""
    for number, (step, _, command) in enumerate(told, 1):
        if int(step) != number:
            yield failed(f"step {number} is told of as {step}", PIP_LOG)
        # ninja writes a line of its log right after it has told of the step.
        edge = compiled.edges[number - 1][0] if number <= len(compiled.edges) else None
        if edge is None or command.rstrip() != edge.command.rstrip():
            made = name_of(edge) if edge else "anything"
            yield failed(f"step {number} of pip's output is not the command that made {made}", PIP_LOG)


@of_the_compile(inside=False)
def log_saw_each_edge(evidence: Evidence, compiled: Compilation) -> Findings:
    """Each step came to the host's log, whose lines the host stamps, when ninja's log says that its edge ended."""
    seen = [found for found in map(LOGGED.match, evidence.log) if found]
    told = [command for _, _, command in STEP.findall(evidence.text(PIP_LOG))]
    if len(seen) != len(told):
        yield failed(f"the log has {len(seen)} steps, pip's output {len(told)}", LOG)
    for line, command, (edge, step) in zip(seen, told, compiled.edges, strict=False):
        ended = compiled.window[0] + step.ended
        if not evidence.within(datetime.fromisoformat(line[1]).timestamp(), (ended, ended), LATE):
            yield failed(f"{name_of(edge)} was told of at {line[1]}, and ended at {ended:.0f} s of uptime", LOG)
        if not command.startswith(line[2].rstrip()):
            yield failed(f"the log tells of another command than pip's output for {name_of(edge)}", LOG)
    yield passed(f"{len(seen)} steps, each as it ended", LOG)


def ptxas_told_of_its_work(evidence: Evidence) -> Findings:
    """Where the commands ask ptxas to tell of its work it does, for the architectures of each command and no other."""
    if compiled_by(evidence) is None:
        yield unfinished(evidence)
        return
    _, *parts = STEP.split(evidence.text(PIP_LOG))
    blocks = [(command, said) for command, said in zip(parts[2::4], parts[3::4], strict=True) if ASKED.search(command)]
    silent = [command for command, said in blocks if "ptxas info" not in said]
    if blocks and (len(silent) == len(blocks) or (silent and known(evidence))):
        yield failed(f"ptxas said nothing in {len(silent)} of {len(blocks)} steps", PIP_LOG)
    source, kernels = known(evidence), len(set(KERNEL.findall(evidence.text(PIP_LOG))))
    if source and kernels < source.kernels_floor:
        yield failed(f"ptxas told of {kernels} kernels of {source.name}", PIP_LOG)
    for command, said in blocks:
        for target in sorted(set(FOR.findall(said)) - set(CODE.findall(command))):
            yield failed(f"ptxas worked for {target}, which was not asked of it", PIP_LOG)
    yield passed(f"in {len(blocks) - len(silent)} of {len(blocks)} steps that asked", PIP_LOG)


@of_the_compile(inside=False)
def edges_fit_each_other(evidence: Evidence, compiled: Compilation) -> Findings:
    """Each edge's times fit the others': within ninja's, no more at once than jobs, none idle while others wait."""
    log, wall = compiled.named("ninja_log"), compiled.wall
    status = evidence.mapping(compiled.named("call.json")).get("status")
    if status != 0:
        yield failed(f"ninja ended with {status}", compiled.named("call.json"))
    ends = sorted([0.0, *(step.ended for _, step in compiled.edges)])
    yield from _at_another_time(evidence, compiled, ends)
    if ends[-1] < wall - max(LATE, wall / 10):
        yield failed(f"ninja ran {wall:.0f} s, and its last edge ended after {ends[-1]:.0f} s", log)
    if [0.0, *(step.ended for _, step in compiled.edges)] != ends:
        yield failed("ninja's log is not in the order of ends", log)
    jobs, most = _jobs(evidence, compiled.call), _at_once([step for _, step in compiled.edges])
    if jobs and most > jobs:
        yield failed(f"{most} edges ran at once, with {jobs} jobs", log)
    for name in _waited(compiled, jobs or 0):
        yield failed(f"{name} waited while fewer than {jobs} ran", log)
    yield passed(f"{len(compiled.edges)} edges in {wall:.0f} s, {most} at once", log)


def _at_another_time(evidence: Evidence, compiled: Compilation, ends: list[float]) -> Findings:
    """Say which edge was too quick, not within ninja's time, not written as it ran, or began when no other had ended.

    `ends` are the times at which edges ended, in order, and that of ninja's beginning.
    """
    log, began = compiled.named("ninja_log"), compiled.window[0]
    for edge, step in compiled.edges:
        if step.seconds < (QUICKEST_CUDA if edge.is_cuda else QUICKEST):
            yield failed(f"{name_of(edge)} was made in {step.seconds:.3f} s", log)
        if step.ended > compiled.wall + GRAIN:
            yield failed(f"{name_of(edge)} was made after ninja had ended", log)
        if not evidence.within(step.modified, (began + step.started, began + step.ended), LATE):
            yield failed(f"{name_of(edge)} was not written when its edge ran", log)
        before = bisect_right(ends, step.started) - 1
        if before < 0 or step.started - ends[before] > LATE:
            yield failed(f"{name_of(edge)} began when no other edge had ended", log)


def _jobs(evidence: Evidence, call: NinjaCall) -> int | None:
    told = str(evidence.run.get("max_jobs"))
    return call.jobs if call.jobs is not None else int(told) if told.isdecimal() else None


def _waited(compiled: Compilation, jobs: int) -> Iterator[str]:
    """Yield the edges that began late though there was a job for them, where none needs what another makes."""
    made = {output for edge, _ in compiled.edges for output in edge.outputs}
    if made & {path for edge, _ in compiled.edges for path in edge.inputs} or "-l" in compiled.call.arguments:
        return
    begins = sorted(step.started for _, step in compiled.edges)
    ends = sorted(step.ended for _, step in compiled.edges)
    for edge, step in compiled.edges:
        # Those that have begun, less those that ended so long before that another could have begun.
        busy = bisect_right(begins, step.started) - bisect_left(ends, step.started - LATE)
        if step.started > LATE and busy < jobs:
            yield name_of(edge)


def _at_once(steps: list[Step]) -> int:
    """Return how many ran at the same time at the most; one that begins when another ends is none more."""
    most = running = 0
    for _, change in sorted(event for step in steps for event in ((step.started, 1), (step.ended, -1))):
        running += change
        most = max(most, running)
    return most
