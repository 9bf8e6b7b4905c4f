"""Records as a Chrome trace: phases and compiled objects on a timeline, to open in Perfetto.

The form is the Trace Event Format's JSON object (Google, "Trace Event Format", 2016): complete events ("X") with times
in microseconds, and metadata events ("M") for the names of processes and threads.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from provisioner.runs import ledger
from provisioner.runs.phases import within
from provisioner.runs.record import Object
from provisioner.text import fast_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO

    from provisioner.runs.record_data import RecordData
    from provisioner.store import Text

__all__ = ["write"]

PHASES_THREAD = 0


def write(texts: Sequence[Text], stream: TextIO) -> None:
    """Write the trace of records, one of them in memory at a time: a process for each run, a thread for its phases
    and one for each job.

    Each run's clock starts at 0. An older record has no ledger; then its phases are all there is.
    """
    read = fast_json.reader(len(texts))
    stream.write('{"displayTimeUnit": "ms", "traceEvents": [')
    for pid, text in enumerate(texts, 1):
        events = ", ".join(json.dumps(event) for event in _run(pid, read(text.json)))
        stream.write(f"{', ' if pid > 1 else ''}{events}")
    stream.write("]}\n")


def _run(pid: int, record: RecordData) -> Iterator[dict[str, Any]]:
    yield _named("process_name", pid, PHASES_THREAD, f"{record['host']} {record['run_id']}")
    yield _named("thread_name", pid, PHASES_THREAD, "phases")
    seconds = {phase["name"]: phase["seconds"] or 0 for phase in record["phases"]}
    for phase in record["phases"]:
        if phase["started"] is not None and phase["seconds"] is not None:
            # A record's time of a phase excludes the phases within it; a timeline includes them.
            length = phase["seconds"] + sum(seconds.get(name, 0) for name in within(phase["name"]))
            yield _complete(pid, PHASES_THREAD, phase["name"], phase["started"], length, outcome=phase["outcome"])
    built = [Object.model_validate(item) for item in record["compile"].get("ledger") or ()]
    lanes = ledger.lanes(built)
    for lane in sorted(set(lanes)):
        yield _named("thread_name", pid, lane + 1, f"compile job {lane + 1}")
    critical = set(record["compile"].get("critical_path") or ())
    for item, lane in zip(built, lanes, strict=True):
        yield _complete(pid, lane + 1, item.name, item.start, item.seconds, critical=item.name in critical)


def _complete(pid: int, tid: int, name: str, start: float, seconds: float, **details: Any) -> dict[str, Any]:
    """Return one event that began and ended; times in seconds become microseconds."""
    times = {"ts": round(start * 1e6), "dur": round(seconds * 1e6)}
    category = "object" if tid else "phase"
    return {"ph": "X", "name": name, "cat": category, "pid": pid, "tid": tid, **times, "args": details}


def _named(kind: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {"name": name}}
