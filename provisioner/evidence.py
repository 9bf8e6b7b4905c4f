"""Read a run's evidence: the folder that scenario_a.sh and the devcontainer wrote, as Python values.

Nothing here judges; what is missing or cut off is empty or None.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Step:
    """One output that ninja built; times in seconds since ninja started."""

    output: str
    started: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.started


@dataclass(frozen=True)
class NinjaCall:
    """One call of ninja during the compile: what it was told, what it built, what that took."""

    arguments: tuple[str, ...]
    steps: tuple[Step, ...]
    cpu_seconds: float | None
    peak_memory_bytes: int | None


@dataclass(frozen=True)
class Evidence:
    """The evidence of one run in a folder."""

    folder: Path

    def text(self, name: str) -> str:
        """Return a file's text; empty where it is not there."""
        try:
            return (self.folder / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def json(self, name: str) -> Any:
        """Return a JSON file's value; None where it is not there or cut off."""
        try:
            return json.loads(self.text(name))
        except ValueError:
            return None

    def json_lines(self, name: str) -> list[Any]:
        """Return the values of a file with one JSON value a line, less lines that were cut off."""
        values = []
        for line in self.text(name).splitlines():
            try:
                values.append(json.loads(line))
            except ValueError:
                continue
        return values

    @cached_property
    def run(self) -> dict[str, Any]:
        """The run's settings. Raises ValueError where the folder holds no run."""
        run = self.json("run.json")
        if not isinstance(run, dict) or "run_id" not in run:
            raise ValueError(f"{self.folder} holds no run: run.json is missing or broken")
        return run

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """Begin, end, fail and skip of each phase, of host and container, by the host's uptime in seconds."""
        events = [*self.json_lines("events.jsonl"), *self.json_lines("container/events.jsonl")]
        return sorted(events, key=lambda event: float(event["uptime"]))

    @cached_property
    def log(self) -> list[str]:
        """The lines of the timestamped log."""
        return self.text("scenario_a.log").splitlines()

    @cached_property
    def ninja_calls(self) -> list[NinjaCall]:
        """Every call of ninja, in order."""
        folder = self.folder / "container" / "ninja"
        numbers = sorted(int(path.name) for path in folder.glob("[0-9]*")) if folder.is_dir() else []
        return [self._ninja_call(f"container/ninja/{number}") for number in numbers]

    def _ninja_call(self, name: str) -> NinjaCall:
        cpu = self.text(f"{name}/cpu_seconds").split()
        peak = self.text(f"{name}/peak_memory_bytes").strip()
        return NinjaCall(
            arguments=tuple(self.text(f"{name}/arguments").splitlines()),
            steps=tuple(ninja_steps(self.text(f"{name}/ninja_log"))),
            cpu_seconds=round(sum(map(float, cpu)), 3) if len(cpu) == 2 else None,
            peak_memory_bytes=int(peak) if peak.isdigit() else None,
        )


def ninja_steps(log: str) -> list[Step]:
    """Read ninja's own log (https://ninja-build.org/manual.html#_the_ninja_log): one step for each output built.

    A line is `start end mtime output hash`, separated by tabs, times in milliseconds; the last line
    for an output holds.
    """
    steps = {}
    for line in log.splitlines():
        fields = line.split("\t")
        if not line.startswith("#") and len(fields) == 5:
            steps[fields[3]] = Step(fields[3], int(fields[0]) / 1000, int(fields[1]) / 1000)
    return list(steps.values())
