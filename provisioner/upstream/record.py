"""Puts together the record of a run that the shell benchmark made."""

import hashlib
from contextlib import suppress
from datetime import UTC
from pathlib import Path

from provisioner.runs.record import Compile, Failure, Phase, Record
from provisioner.system import files
from provisioner.upstream import checks, log
from provisioner.upstream.inputs import inputs, machine
from provisioner.upstream.log import Log
from provisioner.upstream.phases import TIMED, lines_of, phases

__all__ = ["PROFILE", "in_folder", "log_name", "record_of"]

PROFILE = "upstream"
"""The profile of such runs: none of ours made them."""

LAST_LINES = 8
LARGEST = 16 * 2**20
"""Bytes; the log of a run has one."""


def record_of(text: str, host: str) -> Record:
    """Return the record that a log proves; the run's id is made of its start, its host and the log itself.

    Raise NotALogError where it is none.
    """
    read = log.read(text)
    found = phases(read)
    timings = {phase.name: phase.seconds for phase in found}
    told = inputs(read)
    failure = _failure(read, found)
    # The same log with other line ends is the same run; on another host it is another, and no two share an id.
    named = "\n".join([host, *text.splitlines()])
    return Record(
        run_id=f"{read.started.astimezone(UTC):%Y%m%dT%H%M%SZ}-{hashlib.sha256(named.encode()).hexdigest()[:6]}",
        host=host,
        scenario=read.scenario,
        profile=PROFILE,
        started_at=read.started.astimezone(UTC),
        outcome="failed" if failure and read.total is not None else "ok" if read.total is not None else "interrupted",
        failure=failure,
        total_seconds=read.total,
        phases=found,
        timings=timings,
        compile=Compile(
            count=sum(bool(TIMED["compile"].command.search(command.text)) for command in read.commands),
            objects=None,
            seconds=timings["compile"],
            max_jobs=None,
            arch_list=told.arch_list,
            longest_object_seconds=None,
            cpu_seconds=None,
            peak_memory_bytes=None,
        ),
        audit=checks.judge(read, found, log_name(read.scenario)),
        inputs=told,
        machine=machine(read),
    )


def log_name(scenario: str) -> str:
    """Return the name under which a log is kept as evidence."""
    return f"scenario_{scenario}.log"


def in_folder(folder: Path) -> Record | None:
    """Return the record of the log in a run's folder; None where the run is one of our own. Raise NotALogError."""
    if (folder / "run.json").exists():
        return None
    for path in (folder / log_name(letter) for letter in "abc"):
        with suppress(OSError):  # there is none of this scenario, or no regular file
            return record_of(log.decode(files.read(path, LARGEST)), folder.resolve().parent.name)
    return None


def _failure(read: Log, found: list[Phase]) -> Failure | None:
    phase = next((phase.name for phase in found if phase.outcome == "failed"), None)
    if phase is None and read.total is not None:
        return None
    said = lines_of(read, phase) if phase else read.lines
    last = [line.strip() for line in said if line.strip() and not line.lstrip().startswith("at ")]
    return Failure(phase=phase, last_lines=last[-LAST_LINES:])
