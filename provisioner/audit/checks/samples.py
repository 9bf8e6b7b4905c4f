"""Checks of the samples that were taken, one a second, while ninja ran: what was at work, with how much memory."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from provisioner.audit.checks.compile import PARTS
from provisioner.audit.checks.edges import GRAIN, LATE
from provisioner.audit.compilation import name_of, of_the_compile
from provisioner.audit.finding import Findings, failed, passed
from provisioner.audit.known_sources import known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provisioner.audit.compilation import Compilation
    from provisioner.audit.ninja_file import Edge
    from provisioner.runs.evidence import Evidence, MemorySample, Step

__all__ = ["long_edges_were_sampled", "samples_cover_the_compile"]

# The samples are taken a second apart, or later, never sooner. Honest ones on a host that was five times too busy were
# 1.1 s apart, 1.8 s at most; what may be lost of them leaves room for a host that swaps.
SOONEST, SLOWEST = 0.9, 3.0
HOLE, HOLES = 10.0, 0.2
# The kernel's unit of memory, on any machine a multiple of it.
PAGE = 4096
# An edge of more than so many intervals shows that a compiler, or of CUDA nvcc's own parts, worked on it.
LONG, LONG_CUDA, MANY = 2, 5, 30
# Those that work long enough to be seen in any compile of some length.
OF_CUDA = frozenset(["cudafe++", "cicc"])
CUDA_PARTS = frozenset(["cudafe++", "cicc", "ptxas", "fatbinary", "nvlink", "clang", "clang++"])


@of_the_compile(inside=False)
def samples_cover_the_compile(evidence: Evidence, compiled: Compilation) -> Findings:
    """The samples cover ninja's whole time, in order, as a sampler takes them, with memory as compilers need it."""
    where, samples = compiled.named("samples"), compiled.call.samples
    times = [sample.uptime for sample in samples]
    gaps = [after - before for before, after in pairwise(times)]
    memory = [sample.memory_bytes for sample in samples if sample.memory_bytes is not None]
    yield from _not_covered(compiled, times, gaps)
    yield from _memory_of_no_compilers(evidence, memory, where)
    if len(gaps) > MANY and len({round(gap, 2) for gap in gaps}) == 1:
        yield failed("all are as far apart as no sampler takes them", where)
    source = known(evidence)
    if memory and source and max(memory) < source.memory_floor:
        yield failed(f"compilers of {source.name} held {max(memory)} bytes at the most", where)
    if any(sample.at_work & PARTS and sample.memory_bytes == 0 for sample in samples):
        yield failed("a compiler was at work without memory", where)
    yield passed(f"{len(samples)} samples in {compiled.wall:.0f} s", where)


def _not_covered(compiled: Compilation, times: list[float], gaps: list[float]) -> Findings:
    """Say where samples were taken outside of ninja's time, too soon after each other, or not often enough."""
    where, (began, ended), wall = compiled.named("samples"), compiled.window, compiled.wall
    if times and not began - LATE <= times[0] <= times[-1] <= ended + LATE:
        yield failed("some were not taken while ninja ran", where)
    if any(gap < SOONEST for gap in gaps):
        yield failed("some are closer than a second", where)
    if len(times) < wall / SLOWEST - 1:
        yield failed(f"{len(times)} samples of {wall:.0f} s", where)
    lost = sum(gap for gap in [times[0] - began, *gaps, ended - times[-1]] if gap > HOLE) if times else 0.0
    if lost > max(LATE, HOLES * wall):
        yield failed(f"nothing was sampled for {lost:.0f} s of {wall:.0f} s", where)


def _memory_of_no_compilers(evidence: Evidence, memory: list[int], where: str) -> Findings:
    """Say where the memory of the samples is more than the machine's, always the same, or of no pages."""
    sizes = len(set(memory))
    total = evidence.mapping("machine.json").get("memory_bytes")
    if memory and isinstance(total, int) and max(memory) > total:
        yield failed(f"compilers held {max(memory)} bytes of a machine's {total}", where)
    if len(memory) > MANY and sizes < len(memory) / 2:
        yield failed(f"compilers held {sizes} sizes in {len(memory)} samples", where)
    elif len(memory) > LONG_CUDA and sizes == 1:
        yield failed(f"compilers held {memory[0]} bytes in every sample", where)
    if any(held % PAGE for held in memory):
        yield failed("memory was held in less than pages", where)


class Seen(NamedTuple):
    """What the samples show of an edge: how many were taken while it ran, the longest wait for one, who was at work."""

    samples: Sequence[MemorySample]
    interval: float
    parts: frozenset[str]


@of_the_compile(inside=False)
def long_edges_were_sampled(evidence: Evidence, compiled: Compilation) -> Findings:
    """Every edge longer than two sampling intervals is among the samples, at work as its compiler works."""
    where, samples = compiled.named("samples"), compiled.call.samples
    times = [compiled.window[0], *(sample.uptime for sample in samples), compiled.window[1]]
    longest = 0
    for edge, step in compiled.edges:
        seen = _seen(samples, times, compiled.window[0] + step.started, compiled.window[0] + step.ended)
        longest += step.seconds > LONG * seen.interval
        problem = _not_at_work(edge, step, seen)
        if problem:
            yield failed(problem, where)
    parts_seen = {sample.at_work for sample in samples}
    if len(samples) > MANY and len(parts_seen) == 1 and any(edge.is_cuda for edge, _ in compiled.edges):
        yield failed(f"the same was at work in all {len(samples)} samples", where)
    unseen = OF_CUDA - frozenset[str]().union(*parts_seen)
    if len(samples) > MANY and known(evidence) and unseen:
        yield failed(f"{min(unseen)} was never at work in {len(samples)} samples", where)
    yield passed(f"{longest} edges were long enough, and each was seen", where)


def _seen(samples: Sequence[MemorySample], times: list[float], began: float, ended: float) -> Seen:
    """Return what was seen of an edge; `times` are those of ninja's beginning, of the samples and of its end."""
    # A loaded host takes its samples later: the longest that one was waited for while this edge ran.
    first, last = bisect_left(times, began - GRAIN), bisect_right(times, ended + GRAIN)
    interval = max([1.0, *(b - a for a, b in pairwise(times[max(first - 1, 0) : last + 1]))])
    # `times` has one more than `samples` at its begin, and one at its end.
    seen = samples[max(first - 1, 0) : max(last - 1, 0)]
    return Seen(seen, interval, frozenset[str]().union(*(sample.at_work for sample in seen)))


def _not_at_work(edge: Edge, step: Step, seen: Seen) -> str:
    """Return which part of a compiler should have been seen at work on an edge and was not; '' where all is well."""
    # A single sample may have come while one part had ended and the next had not begun.
    if step.seconds > LONG * seen.interval and len(seen.samples) != 1 and not seen.parts & PARTS:
        return f"no compiler was at work on {name_of(edge)} in {step.seconds:.0f} s"
    if step.seconds <= LONG_CUDA * seen.interval:
        return ""
    if edge.is_cuda and not seen.parts & CUDA_PARTS:
        return f"nothing of nvcc was at work on {name_of(edge)} in {step.seconds:.0f} s"
    if sum(bool(one.at_work & PARTS) for one in seen.samples) < len(seen.samples) / 2:
        return f"no compiler was at work on {name_of(edge)} for most of {step.seconds:.0f} s"
    return ""
