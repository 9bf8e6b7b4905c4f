"""The runs of Scenario A on this host: which there are, where one stands, which was cut short, and their evidence.

A run is a folder that benchmarking/scenario_a.sh makes, which holds the lock beside it while it works; the lock names
the run. Nothing here starts a run.
"""

from __future__ import annotations

import base64
import fcntl
import io
import json
import math
import os
import re
import shutil
import stat
import subprocess
import tarfile
import time
from contextlib import suppress
from pathlib import Path

NINJA_STEP = re.compile(r"^\s*\[(\d+)/(\d+)\]", re.MULTILINE)
STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z (?:\[[-\d:.TZ]+\] )?")
"""What scenario_a.sh puts before each line of its log, and the Dev Container CLI before some of its own."""
LOGS = ("run.log", "scenario_a.log")
"""A run's log, by its name of now and by that which runs of an earlier version have."""
LONGEST_SAID = 200
MOST_BYTES = 262144
"""So much is read of a file: of pip's log, where ninja's last step is looked for, its end."""
LARGEST = 128 * 2**20
"""Bytes of a run's evidence; an honest one has a few million."""
LONGEST_NAME = 200
"""Characters of who cancelled a run."""


class Runs:
    """The runs under one root folder."""

    def __init__(self, root: str) -> None:
        self.root = Path(root)
        self.folder = self.root / "runs"

    # ---- which there are ---------------------------------------------------------------------------------------------

    def newest_first(self) -> list[str]:
        """Return the ids of all runs, by when they started."""
        if not self.folder.is_dir():
            return []
        runs = [entry.name for entry in self.folder.iterdir() if entry.is_dir()]
        return sorted(runs, key=lambda run: (self.described(run).get("started_at", ""), run), reverse=True)

    def described(self, run: str) -> dict:
        """Return what the run measures; empty before it began."""
        return self.read(run, "run.json") or {}

    def result(self, run: str) -> dict | None:
        """Return how the run ended, None before."""
        return self.read(run, "result.json")

    def read(self, run: str, name: str) -> dict | None:
        """Return a JSON file of the run, None where it is not there or cut off."""
        try:
            value = json.loads(self._text(run, name))
        except (OSError, ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def finished_well(self, input_hash: str) -> str | None:
        """Return the newest run that was measured from these inputs and went well."""
        for run in self.newest_first():
            if self.described(run).get("input_hash") == input_hash and (self.result(run) or {}).get("outcome") == "ok":
                return run
        return None

    def holder(self) -> str | None:
        """Return who holds the lock, mostly a run's id; empty where it has not said so yet, None where nobody does."""
        try:
            with _opened(self.root / "lock") as lock:
                return None if _try_lock(lock) else lock.read(MOST_BYTES).decode(errors="replace").strip()
        except FileNotFoundError:
            return None

    def under_way(self, patience: float = 15) -> str | None:
        """Return the run that is under way, None where none is; raise RuntimeError.

        A run that is just beginning or just ending is waited for, at most `patience` seconds.
        """
        deadline = time.monotonic() + patience
        while True:
            run = self.holder()
            if run is None or (self.described(run) and self.result(run) is None):
                return run
            if time.monotonic() > deadline:
                raise RuntimeError(f"{run or 'something'} holds {self.root}/lock; wait for it, or end it on the host")
            time.sleep(0.2)

    # ---- runs that were cut short ------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Give every run that was cut short its result; raise OSError where there is no room for that.

        The lock goes with the script, however that ends; so a run without a result while nobody holds the lock was
        cut short. What it left running is ended, since nobody measures it. One that never began is no run.
        """
        if not self.folder.is_dir() or not (self.root / "lock").exists():
            return
        with _opened(self.root / "lock") as lock:
            if not _try_lock(lock):
                return
            # Nobody can begin a run meanwhile: the script waits a few seconds for the lock.
            for run in self.newest_first():
                if not self.described(run):
                    shutil.rmtree(self.folder / run)
                elif self.result(run) is None:
                    self._end_containers(run)
                    part = self.folder / run / f"result.json.{os.getpid()}"
                    part.write_text(json.dumps(self.interruption(run)) + "\n")
                    part.replace(self.folder / run / "result.json")

    def interruption(self, run: str) -> dict:
        """Return the result of a run that ended without one."""
        open_phases = list(self._open(run))
        by = self.cancelled_by(run)
        if by is not None:
            cause = f"{f'cancelled by a person: {by}'.rstrip(': ')}; run again, which measures anew"
        elif self.host_restarted(run):
            cause = "the host restarted or lost its power during the run; run again, which cleans up and measures anew"
        else:
            cause = "the run was killed on its host; run again, which cleans up and measures anew"
        return {
            "outcome": "interrupted",
            "exit_code": None,
            "phase": open_phases[-1] if open_phases else None,
            "cause": cause,
        }

    def host_restarted(self, run: str) -> bool:
        """Return whether the host has booted since the run began: by the kernel's boot id, or by the age of process 1.

        A container with an init of its own restarts without a new boot id.
        """
        described = self.described(run)
        if described.get("boot_id") != Path("/proc/sys/kernel/random/boot_id").read_text().strip():
            return True
        ticks = int(Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19])  # starttime, see proc(5)
        began = next((event["uptime"] for event in self.events(run)), None)
        return began is not None and ticks / os.sysconf("SC_CLK_TCK") > began

    def _end_containers(self, run: str) -> None:
        """Stop the containers of a run that nobody measures any more, so that its evidence stays as it is."""
        if not shutil.which("docker"):
            return
        label = f"label=devcontainer.local_folder={self.described(run).get('workspace', '')}"
        with suppress(subprocess.SubprocessError):
            of_run = ["docker", "container", "ls", "--quiet", "--filter", label]
            ids = subprocess.run(of_run, capture_output=True, text=True, timeout=8, check=True).stdout.split()
            if ids:
                subprocess.run(["docker", "container", "kill", *ids], capture_output=True, timeout=8, check=False)

    # ---- runs that a person cancelled --------------------------------------------------------------------------------

    def note_cancelled(self, run: str, by: str) -> None:
        """Remember who cancels a run, for its result; who was first stays.

        A host without room for that can have its run cancelled all the same: then it does not tell by whom.
        """
        with suppress(OSError), self._cancelled(run).open("x") as note:
            note.write(f"{by}\n")

    def cancelled_by(self, run: str) -> str | None:
        """Return who cancelled a run; empty where that is not known, None where nobody did."""
        try:
            with _opened(self._cancelled(run)) as note:
                said = note.read(MOST_BYTES).decode(errors="replace").strip()
        except OSError:
            return None
        return "".join(char if char.isprintable() else "?" for char in said[:LONGEST_NAME])

    def _cancelled(self, run: str) -> Path:
        # Beside the folder, as `_collected` is; failure_cause.py reads it.
        return self.folder / f"{run}.cancelled"

    # ---- where one stands --------------------------------------------------------------------------------------------

    def events(self, run: str) -> list[dict]:
        """Return the events so far, of the host and of the container, in order."""
        events = self._events_in(run, "events.jsonl") + self._events_in(run, "container/events.jsonl")
        return sorted(events, key=lambda event: event["uptime"])

    def phases_over(self, run: str) -> bool:
        """Return whether the run is past its phases, and only keeps its evidence; the container has no say in that."""
        return any(
            event["phase"] == "run" and event["event"] != "begin" for event in self._events_in(run, "events.jsonl")
        )

    def _events_in(self, run: str, name: str) -> list[dict]:
        """Return the events in one of the run's files; none where it is not there."""
        try:
            lines = self._text(run, name).splitlines()
        except OSError:
            return []
        events = []
        for line in lines:
            with suppress(ValueError, RecursionError):  # a line being written
                events.append(json.loads(line))
        return [event for event in events if _is_event(event)]

    def _open(self, run: str) -> dict[str, float]:
        """Return when each phase began that has not ended, in that order; seconds since the host booted."""
        begun: dict[str, float] = {}
        for event in self.events(run):
            if event["event"] == "begin":
                begun[event["phase"]] = event["uptime"]
            else:
                begun.pop(event["phase"], None)
        begun.pop("run", None)
        return begun

    def progress(self, run: str) -> dict:
        """Return where the run stands, as `scenario_progress`."""
        events = self.events(run)
        began = events[0]["uptime"] if events else 0.0
        finished = self.result(run) is not None
        # A clock that begins anew with the host says nothing of a run from before.
        now = events[-1]["uptime"] if events else 0.0
        if events and not finished:
            now = max(now, float(Path("/proc/uptime").read_text().split()[0]))
        begun = self._open(run)
        phase = list(begun)[-1] if begun else None
        done, total = self.ninja_step(run) if phase == "compile" else (None, None)
        return {
            "run_id": run,
            "state": "finished" if finished else "running",
            "phase": phase,
            "elapsed": round(now - began, 2),
            "phase_elapsed": round(now - begun[phase], 2) if phase else 0.0,
            "done": done,
            "total": total,
            "input_hash": str(self.described(run).get("input_hash") or ""),
            "said": "" if finished or total else self.said(run),
        }

    def ninja_step(self, run: str) -> tuple[int | None, int | None]:
        """Return n and m of the last `[n/m]` that ninja printed."""
        try:
            steps = NINJA_STEP.findall(self._text(run, "container/pip.log", end=True))
        except OSError:
            return None, None
        return (int(steps[-1][0]), int(steps[-1][1])) if steps else (None, None)

    def said(self, run: str) -> str:
        """Return the last line of the run's log, without its time: what the build, pip or git said just now."""
        lines: list[str] = []
        for name in LOGS:
            with suppress(OSError):
                lines = lines or self._text(run, name, end=True, most=8192).splitlines()
        said = (STAMP.sub("", line).strip() for line in reversed(lines))
        return next((line[:LONGEST_SAID] for line in said if line), "")

    # ---- evidence ----------------------------------------------------------------------------------------------------

    def packed(self, run: str) -> str:
        """Return the run's evidence as a tar.gz in base64; made in memory, so that a full disk is no obstacle.

        Regular files and folders only. Raise OSError where they are more than a controller takes.
        """
        archive, total = io.BytesIO(), 0
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            for folder, _unused, names, descriptor in os.fwalk(self.folder / run):
                inside = Path(run, os.path.relpath(folder, self.folder / run))
                tar.add(folder, arcname=str(inside), recursive=False)
                for name in sorted(names):
                    try:
                        file = _opened(name, descriptor)
                    except OSError:
                        continue  # no regular file
                    with file:
                        member = tar.gettarinfo(arcname=str(inside / name), fileobj=file)
                        total += member.size
                        if total > LARGEST:
                            raise OSError(f"the evidence of {run} has more than {LARGEST // 10**6} MB")
                        tar.addfile(member, file)
        return base64.b64encode(archive.getvalue()).decode("ascii")

    def _text(self, run: str, name: str, *, end: bool = False, most: int = MOST_BYTES) -> str:
        """Return the beginning of a file, or its `end`, which the container's user may be writing; raise OSError."""
        with _opened(self.folder / run / name) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most) if end else 0)
            return file.read(most).decode(errors="replace")

    def is_collected(self, run: str) -> bool:
        """Return whether a controller has the run's evidence."""
        return self._collected(run).exists()

    def note_collected(self, run: str) -> bool:
        """Remember that a controller has the run's evidence, and say whether that is new; raise OSError."""
        new = not self.is_collected(run)
        self._collected(run).touch()
        return new

    def _collected(self, run: str) -> Path:
        # Beside the folder: the evidence is not touched once the run has ended.
        return self.folder / f"{run}.collected"


def _opened(path: str | Path, folder: int | None = None) -> io.BufferedReader:
    """Open a regular file, which may have been put there by somebody else; raise OSError where it is none.

    `path` may be of an open `folder`, which nobody can exchange meanwhile.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"{path} is not a regular file; remove it and run this again")
    return file


def _is_event(value: object) -> bool:
    """Return whether `value` is a line of events.jsonl, which the container's user may have written."""
    if not isinstance(value, dict) or not all(isinstance(value.get(name), str) for name in ("event", "phase")):
        return False
    uptime = value.get("uptime")
    return isinstance(uptime, (int, float)) and not isinstance(uptime, bool) and math.isfinite(uptime)


def _try_lock(lock: io.BufferedReader) -> bool:
    """Take a lock for looking, if nobody works under it; it goes when the file is closed."""
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
