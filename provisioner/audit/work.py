"""Checks of the compile's work: what can be made to fit, all of it at once, only by doing it.

ninja's build file, its log, pip's output, the samples, the CPU time, the extension and the host's own readings tell the
same compile, each from another side.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from datetime import datetime
from functools import wraps
from itertools import islice, pairwise
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from provisioner.audit import ninja_file
from provisioner.audit.compile import AFTER, PARTS, STEP
from provisioner.audit.finding import Finding, Findings, failed, passed, skipped
from provisioner.audit.known_sources import architectures, asked_inside, built_facts, known, nvcc_release
from provisioner.audit.names import LOG, PIP_LOG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from provisioner.audit.ninja_file import Edge
    from provisioner.runs.evidence import Evidence, NinjaCall, Step

    OfCompile = Callable[[Evidence, "Compile"], Findings]

BEFORE, BEHIND = "cpu_before.json", "cpu_after.json"
BUILT = "built.json"
SUMS = "container/extension_sums.txt"
LISTED = "container/extension_elf.txt"

# What a loaded host may take from one line of a script, or of ninja's, to the next, in seconds.
LATE = 10.0
GRAIN = 0.1
# What the host takes at the most, after a run, until it reads what was computed.
LOOKING = 600.0
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
# No compiler starts, reads a file and writes an object within this, in seconds; nvcc starts eight programs for one.
QUICKEST, QUICKEST_CUDA = 0.005, 0.1
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
# Of two edges that begin within so many seconds either may come first.
TURN = 2.0
# An object has so many bytes at least; an extension so much of its objects: what several have is linked once.
SMALLEST, SMALLEST_CODE, LINKED = 400, 100, 0.1
# nvcc is asked for ptxas' words, and for machine code; ptxas tells for which.
ASKED = re.compile(r"\s(?:--ptxas-options|-Xptxas)[= ]\S*-v\b")
CODE = re.compile(r"\bsm_\d+[af]?")
KERNEL = re.compile(r"Compiling entry function '([^'\n]*)'")
FOR = re.compile(r"Compiling entry function '[^'\n]*' for '(sm_\d+[af]?)'")
# What nvcc puts before the name of a source for its own files, by which the symbols tell of it.
TEMPORARY = re.compile(r"^tmpxft_[0-9a-f]+_[0-9a-f]+-\d+_")
# A step of ninja in the log: its time, the Dev Container CLI's own where it adds one, and the command.
LOGGED = re.compile(r"^(\S+Z) (?:\[\S+Z\] )? *\[\d+/\d+\] (.*)$")


class Compile(NamedTuple):
    """The call of ninja that compiled, and each edge of its build file with the step of its log, in the log's order."""

    call: NinjaCall
    edges: list[tuple[Edge, Step]]
    window: tuple[float, float]
    """When ninja began and ended, in uptime."""

    @property
    def wall(self) -> float:
        """How long ninja ran."""
        return self.window[1] - self.window[0]

    def named(self, name: str) -> str:
        """Return the path in the evidence of one of the call's files."""
        return f"{self.call.folder}/{name}"


def compiled_by(evidence: Evidence) -> Compile | None:
    """Return what compiled; None where no compile was finished, or the run did not write all of its evidence."""
    call = evidence.builds[-1] if evidence.builds else None
    if call is None or call.window is None or not evidence.ended("compile") or evidence.outcome != "ok":
        return None
    steps = {step.output: step for step in call.steps}
    edges = ninja_file.parse(evidence.text(f"{call.folder}/build.ninja"))
    built = [(edge, steps[edge.outputs[0]]) for edge in edges if edge.outputs[0] in steps]
    order = {output: number for number, output in enumerate(steps)}
    return Compile(call, sorted(built, key=lambda pair: order[pair[0].outputs[0]]), call.window)


def unfinished(evidence: Evidence) -> Finding:
    """Return what is found where nothing compiled: a run that went well has compiled."""
    if not asked_inside(evidence):
        return skipped("what was compiled could not be asked for", "environment.json")
    found = failed if evidence.outcome == "ok" else skipped
    return found("the compile was not finished", "container/events.jsonl")


def of_the_compile(*, inside: bool) -> Callable[[OfCompile], Callable[[Evidence], Findings]]:
    """Make a check of what compiled one of the evidence; where nothing did, it finds that.

    `inside` says that it needs what was asked in the container, or the environment, at the end.
    """

    def asked(check: OfCompile) -> Callable[[Evidence], Findings]:
        @wraps(check)
        def of_evidence(evidence: Evidence) -> Findings:
            compiled = compiled_by(evidence)
            if compiled is None or (inside and not asked_inside(evidence)):
                yield unfinished(evidence)
            else:
                yield from check(evidence, compiled)

        return of_evidence

    return asked


def name_of(edge: Edge) -> str:
    """Return what an edge is called when it is told of: the name of the file that it makes."""
    return PurePosixPath(edge.outputs[0]).name


@of_the_compile(inside=False)
def every_edge_was_built_once(evidence: Evidence, compiled: Compile) -> Findings:
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
    for number, (step, _, command) in enumerate(told, 1):
        if int(step) != number:
            yield failed(f"step {number} is told of as {step}", PIP_LOG)
        # ninja writes a line of its log right after it has told of the step.
        edge = compiled.edges[number - 1][0] if number <= len(compiled.edges) else None
        if edge is None or command.rstrip() != edge.command.rstrip():
            made = name_of(edge) if edge else "anything"
            yield failed(f"step {number} of pip's output is not the command that made {made}", PIP_LOG)
    if len(told) != len(edges):
        yield failed(f"pip's output has {len(told)} steps, and there are {len(edges)} edges", PIP_LOG)
    yield passed(f"{len(edges)} edges, each once, by its own command", where)


@of_the_compile(inside=False)
def log_saw_each_edge(evidence: Evidence, compiled: Compile) -> Findings:
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
def edges_fit_each_other(evidence: Evidence, compiled: Compile) -> Findings:
    """Each edge's times fit the others': within ninja's, no more at once than jobs, none idle while others wait."""
    log, began, wall = compiled.named("ninja_log"), compiled.window[0], compiled.wall
    status = evidence.mapping(compiled.named("call.json")).get("status")
    if status != 0:
        yield failed(f"ninja ended with {status}", compiled.named("call.json"))
    ends = sorted([0.0, *(step.ended for _, step in compiled.edges)])
    for edge, step in compiled.edges:
        if step.seconds < (QUICKEST_CUDA if edge.is_cuda else QUICKEST):
            yield failed(f"{name_of(edge)} was made in {step.seconds:.3f} s", log)
        if step.ended > wall + GRAIN:
            yield failed(f"{name_of(edge)} was made after ninja had ended", log)
        if not evidence.within(step.modified, (began + step.started, began + step.ended), LATE):
            yield failed(f"{name_of(edge)} was not written when its edge ran", log)
        before = bisect_right(ends, step.started) - 1
        if before < 0 or step.started - ends[before] > LATE:
            yield failed(f"{name_of(edge)} began when no other edge had ended", log)
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


def _jobs(evidence: Evidence, call: NinjaCall) -> int | None:
    told = str(evidence.run.get("max_jobs"))
    return call.jobs if call.jobs is not None else int(told) if told.isdecimal() else None


def _waited(compiled: Compile, jobs: int) -> Iterator[str]:
    """Give the edges that began late though there was a job for them, where none needs what another makes."""
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


@of_the_compile(inside=False)
def samples_cover_the_compile(evidence: Evidence, compiled: Compile) -> Findings:
    """The samples cover ninja's whole time, in order, as a sampler takes them, with memory as compilers need it."""
    where, (began, ended), samples = compiled.named("samples"), compiled.window, compiled.call.samples
    times = [sample.uptime for sample in samples]
    gaps = [after - before for before, after in pairwise(times)]
    if times and not began - LATE <= times[0] <= times[-1] <= ended + LATE:
        yield failed("some were not taken while ninja ran", where)
    if any(gap < SOONEST for gap in gaps):
        yield failed("some are closer than a second", where)
    if len(samples) < compiled.wall / SLOWEST - 1:
        yield failed(f"{len(samples)} samples of {compiled.wall:.0f} s", where)
    lost = sum(gap for gap in [times[0] - began, *gaps, ended - times[-1]] if gap > HOLE) if times else 0.0
    if lost > max(LATE, HOLES * compiled.wall):
        yield failed(f"nothing was sampled for {lost:.0f} s of {compiled.wall:.0f} s", where)
    memory = [sample.memory_bytes for sample in samples if sample.memory_bytes is not None]
    total = evidence.mapping("machine.json").get("memory_bytes")
    if memory and isinstance(total, int) and max(memory) > total:
        yield failed(f"compilers held {max(memory)} bytes of a machine's {total}", where)
    if len(memory) > MANY and len(set(memory)) < len(memory) / 2:
        yield failed(f"compilers held {len(set(memory))} sizes in {len(memory)} samples", where)
    elif len(memory) > LONG_CUDA and len(set(memory)) == 1:
        yield failed(f"compilers held {memory[0]} bytes in every sample", where)
    if any(held % PAGE for held in memory):
        yield failed("memory was held in less than pages", where)
    if len(gaps) > MANY and len({round(gap, 2) for gap in gaps}) == 1:
        yield failed("all are as far apart as no sampler takes them", where)
    source = known(evidence)
    if memory and source and max(memory) < source.memory_floor:
        yield failed(f"compilers of {source.name} held {max(memory)} bytes at the most", where)
    if any(sample.at_work & PARTS and sample.memory_bytes == 0 for sample in samples):
        yield failed("a compiler was at work without memory", where)
    yield passed(f"{len(samples)} samples in {compiled.wall:.0f} s", where)


@of_the_compile(inside=False)
def long_edges_were_sampled(evidence: Evidence, compiled: Compile) -> Findings:
    """Every edge longer than two sampling intervals is among the samples, at work as its compiler works."""
    where, samples = compiled.named("samples"), compiled.call.samples
    times = [compiled.window[0], *(sample.uptime for sample in samples), compiled.window[1]]
    longest = 0
    for edge, step in compiled.edges:
        began, ended = compiled.window[0] + step.started, compiled.window[0] + step.ended
        # A loaded host takes its samples later: the longest that one was waited for while this edge ran.
        first, last = bisect_left(times, began - GRAIN), bisect_right(times, ended + GRAIN)
        interval = max([1.0, *(b - a for a, b in pairwise(times[max(first - 1, 0) : last + 1]))])
        # `times` has one more than `samples` at its begin, and one at its end.
        seen = samples[max(first - 1, 0) : max(last - 1, 0)]
        parts = frozenset[str]().union(*(sample.at_work for sample in seen))
        longest += step.seconds > LONG * interval
        # A single sample may have come while one part had ended and the next had not begun.
        if step.seconds > LONG * interval and len(seen) != 1 and not parts & PARTS:
            yield failed(f"no compiler was at work on {name_of(edge)} in {step.seconds:.0f} s", where)
        elif step.seconds > LONG_CUDA * interval and edge.is_cuda and not parts & CUDA_PARTS:
            yield failed(f"nothing of nvcc was at work on {name_of(edge)} in {step.seconds:.0f} s", where)
        elif step.seconds > LONG_CUDA * interval and sum(bool(one.at_work & PARTS) for one in seen) < len(seen) / 2:
            yield failed(f"no compiler was at work on {name_of(edge)} for most of {step.seconds:.0f} s", where)
    parts_seen = {sample.at_work for sample in samples}
    if len(samples) > MANY and len(parts_seen) == 1 and any(edge.is_cuda for edge, _ in compiled.edges):
        yield failed(f"the same was at work in all {len(samples)} samples", where)
    unseen = OF_CUDA - frozenset[str]().union(*parts_seen)
    if len(samples) > MANY and known(evidence) and unseen:
        yield failed(f"{min(unseen)} was never at work in {len(samples)} samples", where)
    yield passed(f"{longest} edges were long enough, and each was seen", where)


@of_the_compile(inside=False)
def cpu_seconds_fit(evidence: Evidence, compiled: Compile) -> Findings:
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
def host_saw_the_work(evidence: Evidence, compiled: Compile) -> Findings:
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
def work_is_above_its_floor(evidence: Evidence, compiled: Compile) -> Findings:
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


@of_the_compile(inside=True)
def objects_were_linked(evidence: Evidence, compiled: Compile) -> Findings:
    """Each object was left by its edge, and linked into the extension in use, which has the GPU code of each."""
    where = compiled.named("outputs")
    left = {row[0]: row for row in (line.split("\t") for line in evidence.text(where).splitlines()) if len(row) == 3}
    # Version 5 notes when the output was written, later ones when its edge began.
    noted = evidence.text(compiled.named("ninja_log")).startswith(ninja_file.LOG_BEFORE_1_12)
    for edge, step in compiled.edges:
        began = compiled.window[0]
        for output in edge.outputs:
            _, size, modified = left.get(output, (output, "0", "0"))
            if int(size) < SMALLEST:
                yield failed(f"{name_of(edge)} has {size} bytes", where)
            elif not evidence.within(float(modified), (began + step.started, began + step.ended), LATE):
                yield failed(f"{name_of(edge)} was written when its edge did not run", where)
            elif noted and abs(float(modified) - step.modified) > GRAIN:
                yield failed(f"{name_of(edge)} was written again after its edge", where)
    extension = _in_use(evidence)
    if not extension:
        yield _not_seen(evidence)
        return
    objects = sum(int(row[1]) for row in left.values())
    if extension["size"] < LINKED * objects:
        yield failed(f"the extension has {extension['size']} bytes, its objects {objects}", BUILT)
    cuda = [edge for edge, _ in compiled.edges if edge.is_cuda]
    relocatable = any(re.search(r"\s-(?:rdc|dc|dlto)\b", edge.command) for edge in cuda)
    code = sum(of.get("bytes", 0) for of in _gpu_code(evidence, extension).values())
    if code > objects and not relocatable:
        yield failed(f"the extension has {code} bytes of GPU code, its objects {objects} in all", BUILT)
    yield from _not_linked(evidence, compiled, extension)
    yield from _out_of_turn(compiled, extension)
    pieces = sum(of["elf"] + of["ptx"] for of in _gpu_code(evidence, extension).values())
    # Relocatable device code of all objects is linked to one piece.
    if pieces < (1 if relocatable else len(cuda)):
        yield failed(f"the extension has {pieces} pieces of GPU code, of {len(cuda)} objects", BUILT)
    yield passed(f"{len(compiled.edges)} objects, {objects} bytes, and {pieces} pieces of GPU code", BUILT)


def _not_seen(evidence: Evidence) -> Finding:
    if not evidence.text(AFTER).strip():
        return skipped("what is inside could not be told", AFTER)  # nothing_is_missing asks why
    return failed("xformers._C is not an extension that the host saw", BUILT)


def _out_of_turn(compiled: Compile, extension: dict[str, Any]) -> Iterator[Finding]:
    """Say which edges began in another order than nvcc's processes did, whose numbers the symbols have.

    Numbers go up, and begin again once they are as high as they can be.
    """
    numbers = {
        _stem(TEMPORARY.sub("", name)): name.split("_")[1]
        for name in extension.get("sources") or []
        if TEMPORARY.match(name)
    }
    begun = sorted(
        (step.started, edge) for edge, step in compiled.edges if edge.inputs and _stem(edge.inputs[0]) in numbers
    )
    descents, last = 0, (0.0, -1)
    for started, edge in begun:
        number = int(numbers[_stem(edge.inputs[0])], 16)
        if number > last[1] or started - last[0] > TURN:
            descents += number < last[1]
            last = (started, number)
    if descents > 1:
        yield failed("the edges did not begin in the order of their processes", compiled.named("ninja_log"))


def _in_use(evidence: Evidence) -> dict[str, Any]:
    """Return what the host saw of the extension in use; empty where there is none, or several."""
    used = [one["path"] for one in evidence.mapping(AFTER).get("extensions") or [] if one["in_use"]]
    seen = [one for one in built_facts(evidence).get("extensions") or [] if len(used) == 1]
    found = [one for one in seen if used[0].endswith(f"/xformers/{one['path']}")]
    return found[0] if len(found) == 1 else {}


def _gpu_code(evidence: Evidence, extension: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Return how many pieces there are by architecture: as the host read them, or cuobjdump where it could not."""
    return _listed(evidence.text(LISTED)) if extension.get("broken") else extension.get("gpu_code") or {}


def _listed(text: str) -> dict[str, dict[str, int]]:
    """Return the same of what cuobjdump listed; empty where there is none, or it failed."""
    found: dict[str, dict[str, int]] = {}
    for architecture, kind in re.findall(r"\.(sm_\d+)[af]?\.(cubin|ptx)$", text, re.MULTILINE):
        found.setdefault(architecture, {"elf": 0, "ptx": 0})["elf" if kind == "cubin" else "ptx"] += 1
    return found


def _not_linked(evidence: Evidence, compiled: Compile, extension: dict[str, Any]) -> Iterator[Finding]:
    """Say which object neither the linker's command nor the extension's own symbols tell of.

    For sources that are known both must: their setup prints the command, and nothing strips the symbols.
    """
    name = PurePosixPath(str(extension["path"])).name
    found = (words for words in links(evidence.text(PIP_LOG)) if PurePosixPath(linked_file(words)).name == name)
    linked = [set(words) for words in islice(found, MANY)]
    symbols = {_stem(TEMPORARY.sub("", symbol)) for symbol in extension.get("sources") or []}
    for edge, _ in compiled.edges:
        by_command = any(set(edge.outputs) <= words for words in linked)
        by_symbol = _stem(edge.inputs[0] if edge.inputs else edge.outputs[0]) in symbols
        if not by_command and (linked or not by_symbol):
            yield failed(f"{name_of(edge)} is not in the command that linked {name}", PIP_LOG)
        elif not by_symbol and symbols and known(evidence):
            yield failed(f"{name} has no symbols of {name_of(edge)}", BUILT)
    if not known(evidence):
        return
    if not linked:
        yield failed(f"no command linked {name}", PIP_LOG)
    stems = {_stem(path) for edge, _ in compiled.edges for path in edge.inputs}
    for symbol in extension.get("sources") or []:
        if symbol.endswith(".cpp") and _stem(TEMPORARY.sub("", symbol)) not in stems:
            yield failed(f"{name} has symbols of {symbol:.60}, which was not compiled", BUILT)


def _stem(path: str) -> str:
    return PurePosixPath(path).name.partition(".")[0]


def links(log: str) -> Iterator[list[str]]:
    """Give the words of each command that linked a shared object."""
    for line in log.splitlines():
        words = line.split() if " -shared " in line else []
        if "-o" in words[:-1]:
            yield words


def linked_file(words: list[str]) -> str:
    """Return the file that such a command made."""
    return words[words.index("-o") + 1]


@of_the_compile(inside=True)
def extension_is_for_its_architectures(evidence: Evidence, compiled: Compile) -> Findings:
    """The extension in use is the one that was compiled, by its sums, with GPU code for what was asked for."""
    extension = _in_use(evidence)
    if not extension:
        yield _not_seen(evidence)
        return
    name = PurePosixPath(extension["path"]).name
    sums = [line.split(None, 1) for line in evidence.text(SUMS).splitlines()]
    right_after = [value for value, path in sums if path.endswith(f"/xformers/{extension['path']}")]
    at_the_end = [one["sha256"] for one in evidence.mapping(AFTER).get("extensions") or [] if one["in_use"]]
    for value, when in ((right_after, SUMS), (at_the_end, AFTER)):
        if value != [extension["sha256"]]:
            yield failed(f"{name} has another sum there than the host saw", when)
    yield from _of_another_size(evidence, extension)
    code, listed = _gpu_code(evidence, extension), evidence.text(LISTED)
    for number, ptx in architectures(evidence):
        of = code.get(f"sm_{number.replace('.', '')}", {})
        if not of.get("elf"):
            yield failed(f"{name} has no machine code for {number}", BUILT)
        if ptx and not of.get("ptx"):
            yield failed(f"{name} has no PTX for {number}", BUILT)
    if not listed.strip():
        yield failed("there is no list of its GPU code, nor why", LISTED)
    stems = {_stem(path) for edge, _ in compiled.edges if edge.is_cuda for path in edge.inputs}
    names = {_stem(TEMPORARY.sub("", row)) for row in re.findall(r"^ELF file +\d+: (\S+)\.sm_", listed, re.MULTILINE)}
    if names & stems and names - stems:  # an older cuobjdump numbers them
        yield failed(f"cuobjdump tells of {min(names - stems):.60}, which was not compiled", LISTED)
    told = {name: (of["elf"], of["ptx"]) for name, of in _listed(listed).items()}
    seen = {name: (of["elf"], of["ptx"]) for name, of in code.items()}
    if told and told != seen:
        yield failed(f"cuobjdump tells of {told} (machine code, PTX), the host saw {seen}", LISTED)
    pieces = ", ".join(f"{of['elf']} for {architecture}" for architecture, of in sorted(code.items()))
    yield passed(f"{name} has {pieces}", BUILT)


def _of_another_size(evidence: Evidence, extension: dict[str, Any]) -> Iterator[Finding]:
    """Say where the extension's size is told otherwise, and where it does not hold what it is told to hold."""
    name = PurePosixPath(extension["path"]).name
    there = evidence.mapping(AFTER).get("extensions") or []
    seen = built_facts(evidence)["extensions"]
    if sorted(one["sha256"] for one in there) != sorted(one["sha256"] for one in seen):
        yield failed(f"the host saw {len(seen)} extensions, and {len(there)} are there", BUILT)
    size = max(one["size"] for one in there if one["in_use"])
    if size != extension["size"]:
        yield failed(f"{name} has {size} bytes, and {extension['size']} for the host", AFTER)
    if extension.get("broken"):
        return
    sections = extension["sections"]
    code = sum(of["bytes"] for of in extension["gpu_code"].values())
    if sum(sections.values()) > size or code > sections[".nv_fatbin"]:
        yield failed(f"{name} of {size} bytes has no room for its sections {sections} with {code} of GPU code", BUILT)
    if any(of["elf"] * SMALLEST_CODE > of["bytes"] for of in extension["gpu_code"].values()):
        yield failed(f"its GPU code has {code} bytes", BUILT)
    source = known(evidence)
    if source and sum(sections.values()) < source.extension_floor:
        yield failed(f"{name} of {source.name} has {sum(sections.values())} bytes of code", BUILT)
