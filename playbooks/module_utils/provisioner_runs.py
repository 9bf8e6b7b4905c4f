"""The runs of Scenario A on this host: which there are, where one stands, which was cut short, and their evidence.

A run is a folder that benchmarking/scenario_a.sh makes, which holds the lock beside it while it works; the lock names
the run. Nothing here starts a run.
"""

from __future__ import annotations

import base64
import fcntl
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import time
from contextlib import suppress
from pathlib import Path

NINJA_STEP = re.compile(r"^\s*\[(\d+)/(\d+)\]", re.MULTILINE)
TAIL_BYTES = 262144
"""So much of the end of pip's log is searched for ninja's last step."""


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
            return json.loads((self.folder / run / name).read_text())
        except (OSError, ValueError):
            return None

    def finished_well(self, input_hash: str) -> str | None:
        """Return the newest run that was measured from these inputs and went well."""
        for run in self.newest_first():
            if self.described(run).get("input_hash") == input_hash and (self.result(run) or {}).get("outcome") == "ok":
                return run
        return None

    def holder(self) -> str | None:
        """Return who holds the lock, mostly a run's id; empty where it has not said so yet, None where nobody does."""
        try:
            with (self.root / "lock").open() as lock:
                return None if _try_lock(lock) else lock.read().strip()
        except FileNotFoundError:
            return None

    def under_way(self, patience: float = 15) -> str | None:
        """Return the run that is under way, None where none is; raises RuntimeError.

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
        """Give every run that was cut short its result; raises OSError where there is no room for that.

        The lock goes with the script, however that ends; so a run without a result while nobody holds the lock was
        cut short. What it left running is ended, since nobody measures it. One that never began is no run.
        """
        if not self.folder.is_dir() or not (self.root / "lock").exists():
            return
        with (self.root / "lock").open() as lock:
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
        return {
            "outcome": "interrupted",
            "exit_code": None,
            "phase": open_phases[-1] if open_phases else None,
            "cause": (
                "the host restarted or lost its power during the run; run again, which cleans up and measures anew"
                if self.host_restarted(run)
                else "the run was killed on its host; run again, which cleans up and measures anew"
            ),
        }

    def host_restarted(self, run: str) -> bool:
        """Say whether the host has booted since the run began: by the kernel's boot id, or by the age of process 1.

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

    # ---- where one stands --------------------------------------------------------------------------------------------

    def events(self, run: str) -> list[dict]:
        """Return the events so far, of the host and of the container, in order."""
        events = []
        for name in ("events.jsonl", "container/events.jsonl"):
            try:
                lines = (self.folder / run / name).read_text().splitlines()
            except OSError:
                continue
            for line in lines:
                try:
                    events.append(json.loads(line))
                except ValueError:
                    continue  # a line being written
        return sorted(events, key=lambda event: event["uptime"])

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
        """Return where the run stands, as `scenario_a_progress`."""
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
        }

    def ninja_step(self, run: str) -> tuple[int | None, int | None]:
        """Return n and m of the last `[n/m]` that ninja printed."""
        try:
            with (self.folder / run / "container" / "pip.log").open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
                steps = NINJA_STEP.findall(log.read().decode(errors="replace"))
        except OSError:
            return None, None
        return (int(steps[-1][0]), int(steps[-1][1])) if steps else (None, None)

    # ---- evidence ----------------------------------------------------------------------------------------------------

    def packed(self, run: str) -> str:
        """Return the run's evidence as a tar.gz in base64; made in memory, so that a full disk is no obstacle."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            tar.add(self.folder / run, arcname=run)
        return base64.b64encode(archive.getvalue()).decode("ascii")

    def is_collected(self, run: str) -> bool:
        """Say whether a controller has the run's evidence."""
        return self._collected(run).exists()

    def note_collected(self, run: str) -> bool:
        """Remember that a controller has the run's evidence, and say whether that is new; raises OSError."""
        new = not self.is_collected(run)
        self._collected(run).touch()
        return new

    def _collected(self, run: str) -> Path:
        # Beside the folder: the evidence is not touched once the run has ended.
        return self.folder / f"{run}.collected"


def _try_lock(lock: io.TextIOBase) -> bool:
    """Take a lock for looking, if nobody works under it; it goes when the file is closed."""
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
