"""Read a run's evidence: the folder that scenario_a.sh and the devcontainer wrote, as Python values.

Nothing here judges; what is missing or cut off is empty or None.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# A file system's and the kernel's coarse clocks tick every 10 ms at the slowest; this is a few of them.
CLOCK_GRAIN = 0.05


@dataclass(frozen=True)
class Step:
    """One output that ninja built; start and end in seconds since ninja began, `modified` since the epoch."""

    output: str
    started: float
    ended: float
    modified: float = 0.0

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.started


@dataclass(frozen=True)
class Sample:
    """What was seen once while ninja worked: when (uptime, s), memory held (bytes), the parts of a compiler at work."""

    uptime: float
    memory_bytes: int | None
    at_work: frozenset[str]


@dataclass(frozen=True)
class Tool:
    """A compiler on PATH when ninja was called: by its name, where it was found, the file that it really is."""

    name: str
    path: str
    real: str


@dataclass(frozen=True)
class NinjaCall:
    """One call of ninja during the compile: what it was told, what it built, what that took.

    `window` is when it began and ended, the host's uptime in seconds; `rebuilt` are the outputs that its log has more
    than once.
    """

    folder: str
    arguments: tuple[str, ...]
    steps: tuple[Step, ...] = ()
    rebuilt: tuple[str, ...] = ()
    window: tuple[float, float] | None = None
    cpu_seconds: float | None = None
    samples: tuple[Sample, ...] = ()
    tools: tuple[Tool, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def jobs(self) -> int | None:
        """How many steps at a time it was told to run; None where it chose by itself."""
        for at, argument in enumerate(self.arguments):
            number = argument[2:] or "".join(self.arguments[at + 1 : at + 2])
            if argument.startswith("-j") and number.isdigit():
                return int(number)
        return None

    @property
    def peak_memory_bytes(self) -> int | None:
        """The highest of its samples."""
        return max((sample.memory_bytes for sample in self.samples if sample.memory_bytes is not None), default=None)


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
        except (ValueError, RecursionError):
            return None

    def json_lines(self, name: str) -> list[Any]:
        """Return the values of a file with one JSON value a line, less lines that were cut off."""
        values = []
        for line in self.text(name).splitlines():
            try:
                values.append(json.loads(line))
            except (ValueError, RecursionError):
                continue
        return values

    def inspected(self, name: str) -> dict[str, Any]:
        """Return the one object of a `docker inspect`; empty where there is none."""
        found = self.json(name)
        return found[0] if isinstance(found, list) and found and isinstance(found[0], dict) else {}

    @cached_property
    def run(self) -> dict[str, Any]:
        """The run's settings. Raises ValueError where the folder holds no run."""
        run = self.json("run.json")
        if not isinstance(run, dict) or "run_id" not in run:
            raise ValueError(f"{self.folder} holds no run: run.json is missing or broken")
        return run

    @property
    def runtime(self) -> str:
        """Where the run compiled: devcontainer, or what run.json names."""
        return str(self.run.get("runtime") or "devcontainer")

    @property
    def scenario(self) -> str:
        """Which scenario ran: a, or what run.json names."""
        return str(self.run.get("scenario") or "a")

    @property
    def started(self) -> datetime:
        """When the run began, by its host's clock. Raise ValueError where that is not told."""
        try:
            started = datetime.fromisoformat(str(self.run.get("started_at")))
        except ValueError:
            started = None
        if started is None or started.tzinfo is None:
            raise ValueError(f"{self.folder} holds no run: run.json does not say when it began")
        return started.astimezone(UTC)

    @property
    def outcome(self) -> str:
        """How the run ended: ok, failed or interrupted."""
        return str((self.json("result.json") or {}).get("outcome", "interrupted"))

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """Begin, end, fail and skip of each phase, of host and container, by the host's uptime in seconds."""
        events = [*self.json_lines("events.jsonl"), *self.json_lines("container/events.jsonl")]
        whole = [event for event in events if isinstance(event, dict) and {"event", "phase", "uptime"} <= set(event)]
        return sorted(whole, key=lambda event: float(event["uptime"]))

    def begun(self, phase: str) -> float | None:
        """Return when a phase began, in uptime; None where it did not."""
        begins = (event for event in self.events if event["phase"] == phase and event["event"] == "begin")
        return next((float(event["uptime"]) for event in begins), None)

    def ended(self, phase: str) -> bool:
        """Tell whether a phase ended well, as far as the run knew."""
        return any(event["phase"] == phase and event["event"] == "end" for event in self.events)

    def window(self, phase: str) -> tuple[float, float] | None:
        """Return when a phase began and ended, in uptime; None where it did not do both."""
        times = {event["event"]: float(event["uptime"]) for event in self.events if event["phase"] == phase}
        ended = times.get("end", times.get("fail"))
        return (times["begin"], ended) if "begin" in times and ended is not None else None

    @cached_property
    def _clock(self) -> tuple[float, float]:
        """What to add to an uptime for the time of day, and how far that moved during the run, in seconds."""
        offsets = [
            datetime.fromisoformat(event["time"]).timestamp() - float(event["uptime"])
            for event in self.events
            if "time" in event
        ]
        return (offsets[0], max(offsets) - min(offsets)) if offsets else (0.0, 0.0)

    def within(self, moment: float, window: tuple[float, float] | None, grain: float = CLOCK_GRAIN) -> bool:
        """Tell whether a time of day (seconds since the epoch) lies in a window of uptimes.

        `grain` is how coarse the moment is known, in seconds; a clock that was set during the run widens the window
        by as much.
        """
        if window is None:
            return False
        offset, moved = self._clock
        return window[0] + offset - moved - grain <= moment <= window[1] + offset + moved + grain

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

    @property
    def builds(self) -> list[NinjaCall]:
        """The calls of ninja that built something."""
        return [call for call in self.ninja_calls if call.steps]

    def _ninja_call(self, name: str) -> NinjaCall:
        cpu = self.text(f"{name}/cpu_seconds").split()
        call: Mapping[str, Any] = self.json(f"{name}/call.json") or {}
        steps = ninja_steps(self.text(f"{name}/ninja_log"))
        times = Counter(step.output for step in steps)
        return NinjaCall(
            folder=name,
            arguments=tuple(self.text(f"{name}/arguments").splitlines()),
            steps=tuple({step.output: step for step in steps}.values()),
            rebuilt=tuple(output for output, count in times.items() if count > 1),
            window=(float(call["began"]), float(call["ended"])) if {"began", "ended"} <= call.keys() else None,
            cpu_seconds=round(sum(map(float, cpu)), 3) if len(cpu) == 2 else None,
            samples=tuple(_samples(self.text(f"{name}/samples"))),
            tools=tuple(Tool(*line.split("\t")) for line in self._lines(f"{name}/tools") if line.count("\t") == 2),
            environment=tuple(
                (variable, value)
                for variable, equals, value in (line.partition("=") for line in self._lines(f"{name}/environment"))
                if equals
            ),
        )

    def _lines(self, name: str) -> list[str]:
        return self.text(name).splitlines()


def ninja_steps(log: str) -> list[Step]:
    """Read ninja's own log (https://ninja-build.org/manual.html#_the_ninja_log), a step for each of its lines.

    A line is `start end mtime output hash`, separated by tabs; start and end in milliseconds since ninja began, mtime
    in nanoseconds since the epoch (versions 5 to 7).
    """
    steps = []
    for line in log.splitlines():
        fields = line.split("\t")
        if len(fields) == 5 and all(field.isdigit() for field in fields[:3]):
            started, ended, modified = (int(field) for field in fields[:3])
            steps.append(Step(fields[3], started / 1000, ended / 1000, modified / 1e9))
    return steps


def _samples(text: str) -> list[Sample]:
    samples = []
    for line in text.splitlines():
        uptime, memory, *names = line.split() if line.count(" ") else ("", "")
        if not uptime.replace(".", "", 1).isdigit():
            continue  # cut off
        samples.append(Sample(float(uptime), int(memory) if memory.isdigit() else None, frozenset(names)))
    return samples
