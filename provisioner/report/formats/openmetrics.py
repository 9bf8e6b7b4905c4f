"""The newest run of each host as OpenMetrics text, which node_exporter's textfile collector reads too.

That collector speaks the older Prometheus format: so all metrics are gauges, whose lines are the same in both, and none
has a time of its own, which it would refuse. Units are base units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from provisioner.audit.verdict import SHOWN
from provisioner.comparison import comparable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TextIO

    from provisioner.report.model import Report, Sample

__all__ = ["write"]

Value = float | int | bool | None
Point = tuple[dict[str, str], Value]


class Metric(NamedTuple):
    """A metric, and how a run gives its points: labels, less that of the host, with a value each."""

    name: str
    help: str
    points: Callable[[Sample], Iterable[Point]]


def write(report: Report, stream: TextIO) -> None:
    """Write the text; what is not known of a host has no line."""
    lines = []
    for metric in METRICS:
        lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} gauge"]
        for sample in report.newest:
            for labels, value in metric.points(sample):
                if value is not None:
                    lines.append(f"{metric.name}{_labels({'host': sample.host, **labels})} {float(value)!r}")
    stream.write("\n".join([*lines, "# EOF", ""]))


def _lone(value: Callable[[Sample], Value]) -> Callable[[Sample], Iterable[Point]]:
    return lambda sample: [({}, value(sample))]


def _of_compile(name: str) -> Callable[[Sample], Iterable[Point]]:
    def value(sample: Sample) -> Value:
        figures: Mapping[str, Any] = sample.record["compile"]
        found: Value = figures.get(name)
        return found

    return _lone(value)


def _states(names: tuple[str, ...], current: Callable[[Sample], str]) -> Callable[[Sample], Iterable[Point]]:
    """Return a point for each state, 1 for the one that is so: then an alert need not know what was before."""
    return lambda sample: [({"state": name}, name == current(sample)) for name in names]


def _info(sample: Sample) -> Iterable[Point]:
    inputs = comparable.inputs(sample.record)
    record: Mapping[str, str | None] = {
        "run_id": sample.run_id,
        "scenario": inputs["scenario"],
        "runtime": inputs["runtime"],
        "profile": sample.record["profile"],
        "torch": inputs["torch"],
        "xformers_commit": inputs["xformers commit"],
        "arch_list": inputs["architecture list"],
    }
    return [({name: str(value or "") for name, value in record.items()}, 1)]


METRICS = (
    Metric("scenario_a_run_info", "The newest run of the host, and what it measured.", _info),
    Metric(
        "scenario_a_run_start_timestamp_seconds",
        "When the run started, in seconds since the epoch.",
        _lone(lambda sample: sample.started.timestamp()),
    ),
    Metric(
        "scenario_a_run_outcome",
        "How the run ended: 1 for the state that it is in.",
        _states(("ok", "failed", "interrupted"), lambda sample: sample.outcome),
    ),
    Metric(
        "scenario_a_audit_verdict",
        "What the audit said of the run: 1 for the state that it is in.",
        _states(SHOWN, lambda sample: sample.verdict),
    ),
    Metric(
        "scenario_a_audit_rules", "The number of the audit's rules that said it.", _lone(lambda sample: sample.rules)
    ),
    Metric("scenario_a_run_duration_seconds", "The run's own time.", _lone(lambda sample: sample.total)),
    Metric(
        "scenario_a_phase_duration_seconds",
        "The time of each phase.",
        lambda sample: [({"phase": name}, value) for name, value in sample.seconds.items()],
    ),
    Metric("scenario_a_compile_objects", "Objects that ninja built.", _of_compile("objects")),
    Metric("scenario_a_compile_jobs", "Compile jobs at a time.", _of_compile("max_jobs")),
    Metric(
        "scenario_a_compile_longest_object_seconds",
        "The time of the object that took longest.",
        _of_compile("longest_object_seconds"),
    ),
    Metric("scenario_a_compile_cpu_seconds", "CPU time of the compile.", _of_compile("cpu_seconds")),
    Metric(
        "scenario_a_compile_peak_memory_bytes", "Most memory held during the compile.", _of_compile("peak_memory_bytes")
    ),
)


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
