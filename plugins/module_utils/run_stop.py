"""Stop a run of Scenario A that is under way, because a person wishes it."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.runs import Runs

PROC = Path("/proc")
DEAF_SECONDS = 10
"""What the run started is asked to end; what has not so long after that is killed, since the script waits for it."""
STARTED_BY = ("SCENARIO_STARTED_BY", "SCENARIO_A_STARTED_BY")
"""What a run puts into the environment of what it starts; the latter a run of an earlier version."""
LAST_SECONDS = 10
"""So long at most the kernel has to end what was killed."""


def stop(runs: Runs, run: str, by: str, timeout: float) -> None:
    """End a run that is under way; return when it has its result and its lock is free.

    Its script is asked to end: it ends the containers, keeps why and seals the evidence. One whose phases are all over
    is only waited for: it is sealing already. What is left after `timeout` seconds is killed, and the run is settled as
    one that was cut short. Raise RuntimeError where not even that ends it.
    """
    runs.note_cancelled(run, by)
    began = time.monotonic()
    asked: set[int] = set()
    if not runs.phases_over(run):
        _send(signal.SIGTERM, _of_the_script(runs, run))
    while time.monotonic() - began < timeout:
        if _ended(runs, run):
            return
        if not runs.phases_over(run):
            started = _started_by(run)
            deaf = time.monotonic() - began > DEAF_SECONDS
            _send(*((signal.SIGKILL, started) if deaf else (signal.SIGTERM, started - asked)))
            asked |= started
        time.sleep(0.2)
    _send(signal.SIGKILL, _of_the_script(runs, run) | _started_by(run))
    while not _ended(runs, run):
        if time.monotonic() - began > timeout + LAST_SECONDS:
            raise RuntimeError(
                f"run {run} does not end, though it was killed; `ps` on the host may show what it waits for"
            )
        time.sleep(0.2)


def _ended(runs: Runs, run: str) -> bool:
    """Return whether the run has its result, and the next may begin; one whose script is gone gets its result here."""
    runs.settle()
    return runs.result(run) is not None and runs.holder() != run


def _of_the_script(runs: Runs, run: str) -> set[int]:
    """Return the run's script and its parts: they have the lock open to write, and who only looks at it to read.

    None where another run has the lock by now.
    """
    if runs.holder() != run:
        return set()
    lock = str((runs.root / "lock").resolve())
    found = set()
    for process in _processes():
        with suppress(OSError):
            for opened in (process / "fd").iterdir():
                if str(opened.readlink()) == lock and _writes(process / "fdinfo" / opened.name):
                    found.add(int(process.name))
    return found


def _writes(fdinfo: Path) -> bool:
    """Return whether a file is open to be written, see proc(5)."""
    flags = next(line.split()[1] for line in fdinfo.read_text().splitlines() if line.startswith("flags:"))
    return int(flags, 8) & os.O_ACCMODE != os.O_RDONLY


def _started_by(run: str) -> set[int]:
    """Return the programs that the run started on this host, by what it has put into their environment."""
    signs = {f"{name}={run}".encode() for name in STARTED_BY}
    found = set()
    for process in _processes():
        with suppress(OSError):
            if signs.intersection((process / "environ").read_bytes().split(b"\0")):
                found.add(int(process.name))
    return found


def _processes() -> Iterable[Path]:
    return [entry for entry in PROC.iterdir() if entry.name.isdigit()]


def _send(number: signal.Signals, processes: set[int]) -> None:
    """Send a signal to processes, the oldest first: the script before its parts. Those that are gone need none."""
    for process in sorted(processes, key=_began):
        with suppress(ProcessLookupError):
            os.kill(process, number)


def _began(process: int) -> tuple[int, int]:
    """Return when a process began, in the kernel's ticks, see proc(5); of those of one tick, by its number."""
    with suppress(OSError):
        return int((PROC / str(process) / "stat").read_text().rpartition(")")[2].split()[19]), process
    return 0, process
