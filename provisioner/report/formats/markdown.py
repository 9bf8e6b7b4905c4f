"""The report as Markdown, short enough for a pull request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from provisioner.text.display import counted, duration, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TextIO

    from provisioner.report.model import Report, Sample

__all__ = ["write"]

SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~@&$])")
"""What Markdown, or a forge that renders it, may take for more than itself."""


def write(report: Report, stream: TextIO) -> None:
    """Write the Markdown: the newest run of each host, what was not passed, and what cannot be compared."""
    if not report.samples:
        stream.write("## Scenario A\n\nNo runs.\n")
        return
    parts = [_headline(report), _table(report), *_unfinished(report), *_findings(report), *_groups(report)]
    stream.write("\n\n".join(parts) + "\n")


def _headline(report: Report) -> str:
    verdicts = ", ".join(f"{count} {name}" for name, count in report.verdicts.items() if count)
    line = f"{counted(len(report.newest), 'host')}, {counted(len(report.samples), 'run')}: {verdicts}"
    group = report.groups[0]
    total, compiled = group.median("total"), group.median("compile")
    if total is not None and compiled is not None:
        over = counted(len(group.measurements), "comparable run")
        line += f". Median of {over}: total {duration(total)}, compile {duration(compiled)}"
    return f"## Scenario A\n\n{line}."


def _table(report: Report) -> str:
    header = ["host", "verdict", "rules", "total", *report.phases]
    rows = [[_escape(s.host), _verdict(s), _rules(s), _time(s.total), *_times(s, report.phases)] for s in report.newest]
    ruler = ["---", "---", *["---:"] * (len(header) - 2)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [[_escape(name) for name in header], ruler, *rows])


def _verdict(sample: Sample) -> str:
    return sample.verdict if sample.outcome == "ok" else f"**{sample.outcome}**, {sample.verdict}"


def _rules(sample: Sample) -> str:
    return "-" if sample.rules is None else str(sample.rules)


def _times(sample: Sample, phases: Iterable[str]) -> list[str]:
    return [_time(sample.seconds.get(name)) for name in phases]


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else duration(seconds)


def _unfinished(report: Report) -> Iterable[str]:
    failed = [sample for sample in report.newest if sample.outcome != "ok"]
    if failed:
        yield "### Not finished"
    for sample in failed:
        where = f" in {_escape(sample.failed_in)}" if sample.failed_in else ""
        yield f"- {_escape(sample.host)}: {sample.outcome}{where}: {_escape(sample.why)}"


def _findings(report: Report) -> Iterable[str]:
    if report.remarks:
        yield "### To be told beside the verdicts"
        yield "\n".join(
            f"- {_escape(remark)} ({counted(len(samples), 'run')})" for remark, samples in report.remarks.items()
        )
    if report.findings:
        yield "### What the audit did not pass"
        yield "\n".join(
            f"- {'**failed**' if finding.outcome == 'fail' else 'not checked'}: {_escape(finding.check)}:"
            f" {_escape(finding.detail)} ({_some(finding.hosts)})"
            for finding in report.findings
        )


def _groups(report: Report) -> Iterable[str]:
    if len(report.groups) < 2:
        return
    yield "### Not comparable with the rest"
    yield "\n".join(
        f"- {counted(len(group.samples), 'run')} ({_some(group.hosts)}): "
        + "; ".join(_escape(str(difference)) for difference in group.differences)
        for group in report.groups[1:]
    )


def _some(names: Sequence[str], most: int = 3) -> str:
    """Return the first names and how many there are besides."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(_escape(name) for name in names[:most]) + rest


def _escape(text: str) -> str:
    return SPECIAL.sub(r"\\\1", printable(" ".join(text.split())))
