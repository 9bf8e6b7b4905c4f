"""The report as one HTML page that opens offline: no request leaves it, and it is whole without JavaScript.

The templates lay things out; what has to be computed for them, places in a chart in percent, is here.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from provisioner.comparison import comparable
from provisioner.runs import phases
from provisioner.text.display import duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TextIO

    from provisioner.report.model import Report, Sample, Spread
    from provisioner.runs.record_data import RecordData

__all__ = ["write"]

TEMPLATES = Path(__file__).parent / "templates"
RECENT = 60
"""So many runs of a host are drawn in its history, the newest ones."""
FEW = 12
"""So many hosts, or failures, have their details unfolded."""
MANY = 150
"""Of more runs than so many their number is drawn, not each by itself."""
LABELLED = 14.0
"""A part of a bar carries its name where it is at least so many percent of the width."""


def write(report: Report, stream: TextIO) -> None:
    """Write the page."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,  # host names and lines of logs are anybody's
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"known_phases": phases.TABLE}
    environment.filters |= {"duration": duration, "gibibytes": _gibibytes, "percent": _percent}
    style, script = (
        Markup((TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704 - our own files
        for name in ("report.css", "report.js")
    )
    page = environment.get_template("report.html").render(
        report=report,
        style=style,
        script=script,
        script_sum=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        bars=bars(report),
        histories=histories(report),
        alone=[name for name, samples in report.by_host.items() if len(samples) == 1],
        boxes=[box(spread, report.groups[0].spreads) for spread in report.groups[0].spreads] if report.groups else [],
        labelled=LABELLED,
        few=FEW,
        many=MANY,
    )
    stream.write(page)


class Segment(NamedTuple):
    """A phase of a bar: seconds, and percent of the chart's width."""

    phase: str
    seconds: float
    width: float


class Bar(NamedTuple):
    """The newest run of a host, phase by phase."""

    sample: Sample
    segments: list[Segment]


def bars(report: Report) -> list[Bar]:
    """Return a bar for each host, all to one scale."""
    longest = max((sum(sample.seconds.values()) for sample in report.newest), default=0) or 1.0
    return [
        Bar(sample, [Segment(name, value, 100 * value / longest) for name, value in sample.seconds.items()])
        for sample in report.newest
    ]


class Dot(NamedTuple):
    """A run in a history, in percent from the left and from the top; `top` is None where it has no total."""

    sample: Sample
    left: float
    top: float | None


class Mark(NamedTuple):
    """Where something changed between two runs, in percent from the left."""

    number: int
    left: float
    sample: Sample
    changes: list[comparable.Difference]


class HostHistory(NamedTuple):
    """A host's runs in time order, evenly spaced: `ceiling` is the seconds at the chart's top, its bottom is 0."""

    host: str
    dots: list[Dot]
    total: str
    compile: str
    ceiling: float
    marks: list[Mark]
    left_out: int
    trend: float | None
    """The newest total over the median of those before it that may be compared with it, less 1."""


def histories(report: Report) -> list[HostHistory]:
    """Return the history of each host that has one; of many hosts, those first that changed most."""
    found = [history(samples) for samples in report.by_host.values() if len(samples) > 1]
    return found if len(found) <= FEW else sorted(found, key=lambda item: -abs(item.trend or 0))


def history(samples: Sequence[Sample]) -> HostHistory:
    """Return the history of one host's runs, oldest first."""
    shown = samples[-RECENT:]
    ceiling = max((sample.total or 0 for sample in shown), default=0) or 1.0
    step = 100 / len(shown)

    def top(seconds: float | None) -> float | None:
        return None if seconds is None else 100 - 100 * seconds / ceiling

    lefts = [step * (number + 0.5) for number in range(len(shown))]
    marks: list[Mark] = []
    for number in range(1, len(shown)):
        changes = _changes(shown[number - 1].record, shown[number].record)
        if changes:
            marks.append(Mark(len(marks) + 1, step * number, shown[number], changes))
    return HostHistory(
        host=shown[0].host,
        dots=[Dot(sample, left, top(sample.total)) for left, sample in zip(lefts, shown, strict=True)],
        total=_line(zip(lefts, (top(s.total) if s.counts else None for s in shown), strict=True)),
        compile=_line(zip(lefts, (top(s.seconds.get("compile")) if s.counts else None for s in shown), strict=True)),
        ceiling=ceiling,
        marks=marks,
        left_out=len(samples) - len(shown),
        trend=_trend(samples),
    )


def _changes(before: RecordData, after: RecordData) -> list[comparable.Difference]:
    """Return what changed from one run to the next; the input hash is named where it alone tells that something did."""
    found = [*comparable.differences([before], [after]), *comparable.remarks([before], [after])]
    hashes = [record["inputs"].get("input_hash") for record in (before, after)]
    if not found and hashes[0] != hashes[1]:
        found.append(comparable.Difference("input hash", (hashes[0],), (hashes[1],)))
    return found


def _trend(samples: Sequence[Sample]) -> float | None:
    newest = samples[-1]
    alike = comparable.known(newest.record)
    before = sorted(
        sample.total
        for sample in samples[:-1]
        if sample.counts and sample.total and not comparable.contradictions(alike, comparable.known(sample.record))
    )
    if not before or not newest.counts or not newest.total:
        return None
    middle = (before[(len(before) - 1) // 2] + before[len(before) // 2]) / 2
    return newest.total / middle - 1


def _line(points: Iterable[tuple[float, float | None]]) -> str:
    """Return an SVG path through the points; where a run has none, the line is broken."""
    path, pen = [], "M"
    for left, top in points:
        if top is None:
            pen = "M"
            continue
        path.append(f"{pen}{left:.2f} {top:.2f}")
        pen = "L"
    return "".join(path)


class Box(NamedTuple):
    """The distribution of a phase: places in percent of the width, where all boxes of a chart begin at 0."""

    spread: Spread
    low: float
    first: float
    middle: float
    third: float
    high: float
    dots: str
    """An SVG path with a dot for each run; where there are many, a stroke as long as there are runs at its place."""


def box(spread: Spread, among: Sequence[Spread]) -> Box:
    """Return the box of a phase, to the scale of all of them."""
    longest = max(other.values[-1] for other in among) or 1.0
    places = [100 * value / longest for value in spread.values]
    first, third = (100 * value / longest for value in spread.quartiles)
    draw = _dots if len(places) <= MANY else _strokes
    return Box(spread, places[0], first, 100 * spread.median / longest, third, places[-1], draw(places))


def _dots(places: list[float]) -> str:
    """Return the dots, in a few rows, since at equal places they would hide one another; one for each spot."""
    return "".join(dict.fromkeys(f"M{place:.1f} {20 + 12 * (row % 6)}h0" for row, place in enumerate(places)))


def _strokes(places: list[float]) -> str:
    """Return a stroke at each half percent of the width, up and down from the middle."""
    counts = Counter(round(2 * place) for place in places)
    tallest = max(counts.values())
    return "".join(
        f"M{place / 2:.1f} {50 - 45 * count / tallest:.1f}v{90 * count / tallest:.1f}"
        for place, count in counts.items()
    )


def _gibibytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 2**30:.0f} GiB"


def _percent(value: float) -> str:
    """Return a place in a chart: short, since a page has many of them."""
    return f"{value:.2f}".rstrip("0").rstrip(".") + "%"
