"""What a report tells, worked out from records and free of any format.

A run counts as a measurement where it went well and the audit did not reject it; everything else is shown and named,
but no median is taken of it. Medians are only taken over runs that may be compared.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from provisioner.audit.verdict import SHOWN, UNVERIFIED, asked, shown
from provisioner.comparison import comparable
from provisioner.runs.phases import PHASES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from provisioner.runs.record_data import CheckData, RecordData
    from provisioner.store import Run

__all__ = [
    "CheckResult",
    "CompileTimeline",
    "DrawnObject",
    "Group",
    "MachineKind",
    "Report",
    "Sample",
    "Spread",
    "build",
]

MACHINE = ("cpu_model", "cores", "memory_bytes", "os", "kernel", "docker", "driver")
"""What a report tells of a machine, besides its GPUs."""


@dataclass(frozen=True, eq=False)  # each is itself, whatever its record says
class Sample:
    """One run, as a report needs it; times in seconds."""

    record: RecordData
    started: datetime

    @property
    def host(self) -> str:
        """The inventory's name of the host."""
        return str(self.record["host"])

    @property
    def run_id(self) -> str:
        """The run's name."""
        return str(self.record["run_id"])

    @property
    def outcome(self) -> str:
        """How the run ended: ok, failed or interrupted."""
        return str(self.record["outcome"])

    @property
    def verdict(self) -> str:
        """What the audit said of it; `unverified` where it came without evidence."""
        return str(shown(self.record))

    @property
    def rules(self) -> int | None:
        """The number of the audit's rules that said it; None from before they had one."""
        number = self.record["audit"].get("rules")
        return number if isinstance(number, int) else None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What must be told beside the verdict."""
        return tuple(self.record["audit"].get("remarks") or ())

    @property
    def checks(self) -> list[CheckData]:
        """The checks of the audit that count for this run."""
        return [check for check in self.record["audit"]["checks"] if asked(check)]

    @property
    def total(self) -> float | None:
        """The run's own seconds; None where it did not come to its end."""
        seconds = self.record["total_seconds"]
        return None if seconds is None else float(seconds)

    @cached_property
    def seconds(self) -> dict[str, float]:
        """Seconds of each phase that was timed, in their order."""
        timed = {phase["name"]: phase["seconds"] for phase in self.record["phases"]}
        return {name: float(seconds) for name in _in_order(timed) if (seconds := timed[name]) is not None}

    @property
    def counts(self) -> bool:
        """Whether this is a measurement."""
        return self.outcome == "ok" and self.verdict != "rejected" and self.total is not None

    @property
    def _failure(self) -> Mapping[str, Any]:
        return self.record.get("failure") or {}

    @property
    def failed_in(self) -> str:
        """The phase in which a run stopped that is not ok; '' where none is known."""
        return str(self._failure.get("phase") or "")

    @property
    def cause(self) -> str:
        """Why a run is not ok, as its host worked it out; '' where it could not."""
        return str(self._failure.get("cause") or "")

    @property
    def first_error(self) -> str:
        """The first error that the failed phase's log tells of; '' where it tells of none."""
        return str(self._failure.get("first_error") or "")

    @property
    def why(self) -> str:
        """Why a run is not ok, in one line, as far as can be told."""
        return self.cause or self.first_error or "; ".join(self.last_lines[-2:]) or "nothing is known of why"

    @property
    def last_lines(self) -> list[str]:
        """The last lines of the log of a run that is not ok."""
        return list(self._failure.get("last_lines") or [])


@dataclass(frozen=True)
class Spread:
    """How the times of one phase are distributed over comparable runs; in seconds."""

    name: str
    values: tuple[float, ...]
    """Sorted."""

    @property
    def median(self) -> float:
        """The middle value."""
        return median(self.values)

    @cached_property
    def quartiles(self) -> tuple[float, float]:
        """First and third quartile; of a lone value, the value itself."""
        if len(self.values) < 2:
            return self.values[0], self.values[0]
        first, _, third = quantiles(self.values, n=4, method="inclusive")
        return first, third


@dataclass(frozen=True)
class Group:
    """Runs that may be compared with one another."""

    name: str
    """A letter, or letters where there are many groups."""
    inputs: Mapping[str, Any]
    """What its runs measured, by the words of `comparable`."""
    differences: tuple[comparable.Difference, ...]
    """In what it differs from the report's first group."""
    samples: tuple[Sample, ...]

    @cached_property
    def measurements(self) -> tuple[Sample, ...]:
        """Those of its runs that count."""
        return tuple(sample for sample in self.samples if sample.counts)

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        """The hosts it has runs of, by name."""
        return tuple(sorted({sample.host for sample in self.samples}))

    @cached_property
    def spreads(self) -> tuple[Spread, ...]:
        """The distribution of the total and of each phase, over its measurements."""
        names = _in_order({name for sample in self.measurements for name in sample.seconds})
        columns = {"total": [sample.total for sample in self.measurements if sample.total is not None]}
        columns |= {name: [s.seconds[name] for s in self.measurements if name in s.seconds] for name in names}
        return tuple(Spread(name, tuple(sorted(values))) for name, values in columns.items() if values)

    def median(self, name: str) -> float | None:
        """Return the median seconds of a phase, or of `total`; None where nothing was measured."""
        return next((spread.median for spread in self.spreads if spread.name == name), None)


@dataclass(frozen=True)
class CheckResult:
    """What one check of the audit found, and on which runs it found just that."""

    check: str
    outcome: str
    detail: str
    samples: tuple[Sample, ...]

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts concerned, by name."""
        return tuple(sorted({sample.host for sample in self.samples}))


@dataclass(frozen=True)
class MachineKind:
    """Hosts that are alike in all that a report tells of a machine, by their newest run."""

    facts: Mapping[str, Any]
    """All of MACHINE; None is unknown."""
    gpus: Mapping[str, int]
    """How many there are of each name."""
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class DrawnObject:
    """One object of a compile: `start` and `seconds` in seconds, from the first object's start; `lane` from 0."""

    name: str
    start: float
    seconds: float
    lane: int
    decisive: bool
    """Whether it is on the critical path: of those that decided when the compile ended."""


@dataclass(frozen=True)
class CompileTimeline:
    """When each object of a run's compile was built, in as many lanes as were ever busy at once."""

    sample: Sample
    objects: tuple[DrawnObject, ...]

    @property
    def seconds(self) -> float:
        """From the first object's start to the last one's end."""
        return max(item.start + item.seconds for item in self.objects)

    @property
    def lanes(self) -> int:
        """How many objects were built at once, at most."""
        return max(item.lane for item in self.objects) + 1

    @property
    def over_bound(self) -> float | None:
        """How many times what no schedule could beat it took; None where the record does not tell."""
        over = self.sample.record["compile"].get("wall_over_bound")
        return None if over is None else float(over)

    @property
    def longest(self) -> tuple[DrawnObject, ...]:
        """The five that took longest, longest first."""
        return tuple(sorted(self.objects, key=lambda item: -item.seconds)[:5])


@dataclass(frozen=True)
class Report:
    """All that a report tells; `samples` come newest first."""

    samples: tuple[Sample, ...]
    made: datetime
    groups: tuple[Group, ...] = field(default=())
    """Runs by what they may be compared with; the one with most measurements is first."""

    @cached_property
    def by_host(self) -> dict[str, tuple[Sample, ...]]:
        """Each host's runs, oldest first; hosts by name."""
        found: dict[str, list[Sample]] = {}
        for sample in reversed(self.samples):
            found.setdefault(sample.host, []).append(sample)
        return {name: tuple(found[name]) for name in sorted(found)}

    @cached_property
    def newest(self) -> tuple[Sample, ...]:
        """The newest run of each host; hosts by name."""
        return tuple(samples[-1] for samples in self.by_host.values())

    @cached_property
    def group_of(self) -> dict[Sample, str]:
        """The name of each run's group."""
        return {sample: group.name for group in self.groups for sample in group.samples}

    @cached_property
    def phases(self) -> tuple[str, ...]:
        """The phases that were timed in any run, in their order."""
        return tuple(_in_order({name for sample in self.samples for name in sample.seconds}))

    @cached_property
    def verdicts(self) -> dict[str, int]:
        """How many runs have each verdict, and how many none that can be repeated; the three verdicts are there."""
        found = Counter(sample.verdict for sample in self.samples)
        return {name: found[name] for name in SHOWN if found[name] or name != UNVERIFIED}

    @cached_property
    def unfinished(self) -> tuple[Sample, ...]:
        """The runs that failed or were interrupted."""
        return tuple(sample for sample in self.samples if sample.outcome != "ok")

    @cached_property
    def checks(self) -> dict[str, dict[str, int]]:
        """For each check of the audit, how many runs passed it, failed it, and could not be checked."""
        found: dict[str, dict[str, int]] = {}
        for sample in self.samples:
            for check in sample.checks:
                found.setdefault(check["name"], {"pass": 0, "fail": 0, "skip": 0})[check["outcome"]] += 1
        return found

    @cached_property
    def findings(self) -> tuple[CheckResult, ...]:
        """What was not passed: failures first, then by how many runs it concerns."""
        found: dict[tuple[str, str, str], list[Sample]] = {}
        for sample in self.samples:
            for check in sample.checks:
                if check["outcome"] != "pass":
                    found.setdefault((check["name"], check["outcome"], check["detail"]), []).append(sample)
        made = [CheckResult(*key, tuple(samples)) for key, samples in found.items()]
        return tuple(sorted(made, key=lambda finding: (finding.outcome != "fail", -len(finding.samples))))

    @cached_property
    def remarks(self) -> dict[str, tuple[Sample, ...]]:
        """What must be told beside the verdicts, with the runs of which it is true."""
        found: dict[str, list[Sample]] = {}
        for sample in self.samples:
            for remark in sample.remarks:
                found.setdefault(remark, []).append(sample)
        return {remark: tuple(samples) for remark, samples in found.items()}

    @cached_property
    def machines(self) -> tuple[MachineKind, ...]:
        """The machines, alike ones together; most hosts first."""
        alike: dict[tuple[Any, ...], list[str]] = {}
        for sample in self.newest:
            machine = sample.record["machine"]
            gpus = Counter(str(gpu.get("name") or "unknown") for gpu in machine.get("gpus") or [])
            key = (*((name, machine.get(name)) for name in MACHINE), ("gpus", tuple(sorted(gpus.items()))))
            alike.setdefault(key, []).append(sample.host)
        kinds = [(dict(key), hosts) for key, hosts in sorted(alike.items(), key=lambda item: -len(item[1]))]
        return tuple(MachineKind(facts, dict(facts.pop("gpus")), tuple(hosts)) for facts, hosts in kinds)

    @cached_property
    def timelines(self) -> tuple[CompileTimeline, ...]:
        """The compile of each host's newest run that has a ledger of its objects."""
        made = (_timeline(sample) for sample in self.newest)
        return tuple(timeline for timeline in made if timeline)


def build(runs: Iterable[Run], made: datetime | None = None) -> Report:
    """Return the report of `runs`, which come newest first; `made` is when (default: now)."""
    samples = tuple(Sample(run.record, run.started.astimezone(UTC)) for run in runs)
    return Report(samples, made or datetime.now(UTC), _groups(samples))


def _groups(samples: Sequence[Sample]) -> tuple[Group, ...]:
    alike: dict[tuple[tuple[str, Any], ...], list[Sample]] = {}
    for sample in samples:
        alike.setdefault(tuple(comparable.known(sample.record).items()), []).append(sample)
    # Runs that know less of their inputs join the first group that they do not contradict.
    kinds: list[tuple[dict[str, Any], list[Sample]]] = []
    for key, members in sorted(alike.items(), key=lambda item: _measurements(item[1])):
        told = dict(key)
        for inputs, others in kinds:
            if not comparable.contradictions(inputs, told):
                inputs.update(told)
                others.extend(members)
                break
        else:
            kinds.append((told, list(members)))
    # sorted() is stable: of groups with as many measurements the one with the newest run stays first.
    ranked = sorted(kinds, key=lambda kind: _measurements(kind[1]))
    return tuple(
        Group(
            name=_letters(number),
            inputs=comparable.inputs(members[0].record) | inputs,
            differences=tuple(comparable.contradictions(ranked[0][0], inputs)),
            samples=tuple(sorted(members, key=samples.index)),
        )
        for number, (inputs, members) in enumerate(ranked)
    )


def _measurements(samples: Iterable[Sample]) -> int:
    """Return the key to sort by: most measurements first."""
    return -sum(sample.counts for sample in samples)


def _letters(number: int) -> str:
    """Return the letters of a number: 0 is A, 25 is Z, 26 is AA."""
    before, letter = divmod(number, 26)
    return (_letters(before - 1) if before else "") + chr(ord("A") + letter)


def _in_order(names: Iterable[str]) -> list[str]:
    """Return the phases as they follow on one another; those that are not ours come last."""
    return sorted(names, key=lambda name: (PHASES.index(name) if name in PHASES else len(PHASES), name))


def _timeline(sample: Sample) -> CompileTimeline | None:
    """Return the timeline. Lanes are filled greedily: an object goes where the one before it has ended."""
    ledger = sample.record["compile"].get("ledger") or []
    decisive = set(sample.record["compile"].get("critical_path") or [])
    built = sorted((float(item["start"]), float(item["end"]), str(item["name"])) for item in ledger)
    if not built:
        return None
    first = built[0][0]
    free: list[float] = []  # when each lane is free again
    objects = []
    for start, end, name in built:
        lane = next((lane for lane, until in enumerate(free) if until <= start), len(free))
        free[lane : lane + 1] = [end]
        objects.append(DrawnObject(name, start - first, end - start, lane, name in decisive))
    return CompileTimeline(sample, tuple(objects))
