"""Checks of the compile's CPU time: what ninja tells, what the host's kernel counted, what it costs at the least."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provisioner.audit.checks.compile import AFTER
from provisioner.audit.checks.edges import LATE
from provisioner.audit.compilation import of_the_compile
from provisioner.audit.finding import Findings, failed, passed, skipped
from provisioner.audit.known_sources import architectures, known, nvcc_release

if TYPE_CHECKING:
    from provisioner.audit.compilation import Compilation
    from provisioner.runs.evidence import Evidence

__all__ = ["cpu_seconds_fit", "host_saw_the_work", "work_is_above_its_floor"]

BEFORE, BEHIND = "cpu_before.json", "cpu_after.json"
# What the host takes at the most, after a run, until it reads what was computed.
LOOKING = 600.0
# Of edges' seconds so much at least was computed: honest compiles had 0.09 on a host that was five times too busy, and
# 0.04 on one that was seven times, where each object was small.
COMPUTED = 0.002
# The general floor, for sources that are not known: CPU seconds of an object, and of each MB of the extension. A kernel
# of one line took nvcc 13.0 on an EPYC 0.8 s, and xformers 11 s a MB; a fifth and a thirtieth of that.
FLOOR, FLOOR_CUDA, FLOOR_MB = 0.02, 0.15, 0.3
# The kernel's accounts of the same work differ: those of processes and of control groups are exact, that of the machine
# is made tick by tick, and a virtual machine that is not let run misses ticks.
ACCOUNTS, TICKS = 0.8, 0.5
FORKS = 2


@of_the_compile(inside=False)
def cpu_seconds_fit(evidence: Evidence, compiled: Compilation) -> Findings:
    """The CPU seconds are no more than the machine has, and no less than its edges' times and ptxas' own tell."""
    where, cpu = compiled.named("cpu_seconds"), compiled.call.cpu_seconds
    if cpu is None:
        yield failed("the CPU seconds are not told", where)
        return
    cores = _processors(evidence)
    if cores and cpu > 1.05 * compiled.wall * cores + 1:
        yield failed(f"{cpu:.0f} CPU seconds in {compiled.wall:.0f} s of {cores} cores", where)
    edges = sum(step.seconds for _, step in compiled.edges)
    of_user, of_system = map(float, evidence.text(where).split())
    if of_user < of_system and known(evidence):
        yield failed(f"{of_system:.1f} CPU seconds were the kernel's, and {of_user:.1f} the compilers'", where)
    if cpu < COMPUTED * edges:
        yield failed(f"{cpu:.1f} CPU seconds for edges of {edges:.0f} s", where)
    yield passed(f"{cpu:.0f} CPU seconds in {compiled.wall:.0f} s", where)


@of_the_compile(inside=False)
def host_saw_the_work(evidence: Evidence, compiled: Compilation) -> Findings:
    """The host's kernel counted the work, for the machine and for the container: no less than ninja says, no more."""
    before, after = evidence.mapping(BEFORE), evidence.mapping(BEHIND)
    cpu = compiled.call.cpu_seconds or 0.0
    if not before.get("uptime", LATE * 1e9) <= compiled.window[0] <= compiled.window[1] <= after.get("uptime", 0.0):
        yield failed("it was not read before and after the compile", BEHIND)
        return
    run = evidence.window("run") or compiled.window
    if before["uptime"] < run[0] - LATE or after["uptime"] > run[1] + LOOKING:
        yield failed("it was not read when the run began, and when it had ended", BEFORE)
    machine = after["machine_seconds"] - before["machine_seconds"]
    cores, seconds = _processors(evidence), after["uptime"] - before["uptime"]
    if machine < TICKS * cpu - 1:
        yield failed(f"the machine worked {machine:.1f} s, and ninja tells of {cpu:.1f} CPU seconds", BEHIND)
    if cores and machine > 1.1 * seconds * cores + 1:
        yield failed(f"the machine worked {machine:.0f} s in {seconds:.0f} s of {cores} cores", BEHIND)
    if after["forks"] - before["forks"] < FORKS * len(compiled.edges):
        yield failed(f"{after['forks'] - before['forks']} processes for {len(compiled.edges)} edges", BEHIND)
    group = after.get("group_seconds")
    if group is not None:
        group -= before.get("group_seconds") or 0.0
        if group < ACCOUNTS * cpu - 1:
            yield failed(f"its control group used {group:.1f} s, and ninja tells of {cpu:.1f} CPU seconds", BEHIND)
        if group > machine / TICKS + 1:
            yield failed(f"its control group used {group:.1f} s, and the machine worked {machine:.1f} s", BEHIND)
    what = "is not told" if group is None else f"used {group:.0f} s"
    yield passed(f"the machine worked {machine:.0f} s, of which the run's control group {what}", BEHIND)


def _processors(evidence: Evidence) -> int:
    """Return how many processors the compile may have had, 0 where that is not told.

    Those that the run itself may use are no bound for a container, which the engine starts.
    """
    machine = evidence.mapping("machine.json")
    own, physical = machine.get("cores"), machine.get("physical_cores")
    if not isinstance(own, int) or not isinstance(physical, int):
        return 0
    return max(own, 2 * physical)


@of_the_compile(inside=True)
def work_is_above_its_floor(evidence: Evidence, compiled: Compilation) -> Findings:
    """The compile cost no less CPU time than its source, compiler and architectures cost on the fastest machines."""
    if not evidence.text(AFTER).strip():
        yield skipped("what is inside could not be told", AFTER)  # nothing_is_missing asks why
        return
    where, cpu = compiled.named("cpu_seconds"), compiled.call.cpu_seconds or 0.0
    source, nvcc = known(evidence), nvcc_release(evidence)
    size = max([extension["size"] for extension in evidence.mapping(AFTER).get("extensions") or []], default=0)
    wanted = [name for name, _ in architectures(evidence)]
    general = sum(FLOOR_CUDA * len(wanted or [""]) if edge.is_cuda else FLOOR for edge, _ in compiled.edges)
    floor, of = general + FLOOR_MB * size / 1e6, f"{len(compiled.edges)} objects, {size / 1e6:.1f} MB"
    if source:
        floor = max([floor, *(source.cpu_floor(nvcc, name) for name in wanted)])
        of = f"{source.name} for {', '.join(wanted)} by nvcc {nvcc}"
        if size < source.extension_floor:
            yield failed(f"the extension of {source.name} has {size} bytes", AFTER)
    if cpu < floor:
        yield failed(f"{cpu:.1f} CPU seconds, and none costs less than {floor:.1f} ({of})", where)
    yield passed(f"{cpu:.0f} CPU seconds, above {floor:.1f} ({of})", where)
