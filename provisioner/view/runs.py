"""The runs that `status` tells of as tables: a row each, or one for all hosts whose runs stand alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any

from provisioner.audit.verdict import shown
from provisioner.text import ranges
from provisioner.text.display import counted, duration
from provisioner.view.tables import table

__all__ = ["in_flight", "kept", "uncollected"]

ToldRun = Mapping[str, Any]


def in_flight(runs: Sequence[ToldRun], answered: Collection[str], *, together: bool) -> str:
    """Return the runs in flight, as each was last seen; those of the hosts in `answered` just now."""

    def row(alike: list[ToldRun]) -> list[object]:
        steps = [run["done"] for run in alike if run.get("total")]
        objects = f"{_span(steps)}/{alike[0]['total']}" if steps else None
        seen = "now" if alike[0]["host"] in answered else min(run["seen_at"] for run in alike)
        elapsed = _span([run["elapsed"] for run in alike], duration)
        return [_hosts(alike), alike[0]["phase"], objects, elapsed, seen, _ids(alike)]

    def kind(run: ToldRun) -> Hashable:
        return run["phase"], run.get("total"), run["host"] in answered

    rows = [row(alike) for alike in _groups(runs, kind, together=together)]
    return table([_title(together), "phase", "objects", "elapsed", "last seen", "run in flight"], rows)


def uncollected(runs: Sequence[ToldRun], *, together: bool) -> str:
    """Return the runs that have ended and that nobody has collected."""
    rows = [
        [_hosts(alike), _newest(alike), alike[0]["outcome"], alike[0]["phase"], _ids(alike)]
        for alike in _groups(runs, lambda run: (run["outcome"], run["phase"]), together=together)
    ]
    return table([_title(together), "started", "outcome", "phase", "run not collected yet"], rows)


def kept(records: Sequence[ToldRun]) -> str:
    """Return records that came newest first together, those that did not go well first; total in seconds."""

    def kind(record: ToldRun) -> tuple[Any, ...]:
        return record["outcome"], shown(record), (record.get("audit") or {}).get("rules")

    groups = _groups(records, kind, together=True)
    groups.sort(key=lambda alike: (alike[0]["outcome"] == "ok", kind(alike[0])[1] != "rejected"))
    rows = [
        [_hosts(alike), _newest(alike), *kind(alike[0]), _span(_known(alike), "{:.1f}".format), _ids(alike)]
        for alike in groups
    ]
    return table(["hosts", "started", "outcome", "verdict", "rules", "total", "run"], rows)


def _title(together: bool) -> str:
    return "hosts" if together else "host"


def _groups(runs: Iterable[ToldRun], kind: Callable[[ToldRun], Hashable], *, together: bool) -> list[list[ToldRun]]:
    found: dict[Hashable, list[ToldRun]] = {}
    for number, run in enumerate(runs):
        found.setdefault(kind(run) if together else number, []).append(run)
    return list(found.values())


def _hosts(runs: Sequence[ToldRun]) -> str:
    return ranges.brief([run["host"] for run in runs])


def _ids(runs: Sequence[ToldRun]) -> str:
    return str(runs[0]["run_id"]) if len(runs) == 1 else counted(len(runs), "run")


def _newest(runs: Sequence[ToldRun]) -> str:
    return str(max(str(run["started_at"]) for run in runs))[:19].replace("T", " ")


def _known(runs: Sequence[ToldRun]) -> list[float]:
    return [float(run["total_seconds"]) for run in runs if run["total_seconds"] is not None]


def _span(values: Sequence[float], text: Callable[[float], str] = str) -> str | None:
    """Return the least and the largest of some values."""
    if not values:
        return None
    ends = dict.fromkeys((text(min(values)), text(max(values))))
    return " to ".join(ends)
