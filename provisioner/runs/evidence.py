"""Read a run's evidence: what its script and the devcontainer wrote, as Python values.

It lies in a folder, as on its host, or packed in one archive (archive.py), as on a controller. Nothing here
judges; what is missing or cut off is empty or None. Either may be anybody's: only regular files are read, no link is
followed, and what is larger than evidence is, or no evidence at all, raises ValueError.
"""

from __future__ import annotations

import re
import stat
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from provisioner.runs.archive import NAME as ARCHIVE
from provisioner.runs.archive import Contents, read
from provisioner.system import files
from provisioner.text import bounds, jsontext, names
from provisioner.text.display import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

# A file system's and the kernel's coarse clocks tick every 10 ms at the slowest; this is a few of them.
CLOCK_GRAIN = 0.05
# A clock that moved by less than this, in seconds, was not set: so much may lie between reading one and the other.
CLOCK_SET = 2.0
# What reading evidence raises where it is not of the shape that a run writes.
MISSHAPEN = (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError)
# No time of a run is later than this, in seconds, and no figure in its files has more digits.
LATEST = 1e12
NUMBER = re.compile(r"[0-9]{1,20}")


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
class MemorySample:
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
    samples: tuple[MemorySample, ...] = ()
    tools: tuple[Tool, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def jobs(self) -> int | None:
        """How many steps at a time it was told to run; None where it chose by itself."""
        for at, argument in enumerate(self.arguments):
            number = argument[2:] or "".join(self.arguments[at + 1 : at + 2])
            if argument.startswith("-j") and NUMBER.fullmatch(number):
                return int(number)
        return None

    @property
    def peak_memory_bytes(self) -> int | None:
        """The highest of its samples."""
        return max((sample.memory_bytes for sample in self.samples if sample.memory_bytes is not None), default=None)


LOG, SETTINGS = "run.log", "files/benchmarking/scenario.env"
EARLIER_FILES = {LOG: "scenario_a.log", SETTINGS: "files/benchmarking/scenario_a.env"}
"""What files of a run are called, and were called by versions whose only scenario was A."""
EARLIER_WORDS = {"SCENARIO_A_": "SCENARIO_", "/scenario-a-evidence": "/scenario-evidence"}
"""What else those versions called otherwise, by its earlier name: variables, and where a container has its evidence."""
OF_SCENARIO = "{scenario}"
"""In the name of a file that is a scenario's own: its letter."""
RECORD = "record.json"
"""What a controller makes of the evidence; it lies beside an archive."""
QUOTED = frozenset({RECORD, "run.json", "result.json"})
"""The record, and what it quotes word by word."""


@dataclass(frozen=True)
class Evidence:
    """The evidence of one run: in `folder`, in the archive there, or in the archive that `folder` is."""

    folder: Path

    def content(self, name: str, most: int = bounds.FILE) -> bytes:
        """Return a file's content; empty where there is no regular file. Raise ValueError where it has more bytes.

        The file of a `name` is the one that is called so in this evidence, see called().
        """
        name = self.called(name)
        beside = name == RECORD and self.archive != self.folder  # a record within the archive does not count
        if self._packed is not None and not beside:
            content = self._packed.get(name, b"")
            if len(content) > most:
                raise ValueError(f"{printable(name)} has more than {most >> 20} MiB")
            return content
        if (name, most) not in self._read:
            self._read[name, most] = self._content_in_folder(name, most)
        return self._read[name, most]

    def called(self, place: str) -> str:
        """Return what a file is called in this evidence, or a place in one such as `run.log:12`."""
        name, colon, line = place.partition(":")
        if OF_SCENARIO in name and name not in self.entries:
            name = name.replace(OF_SCENARIO, self.scenario)
        if name in EARLIER_FILES and self._is_earlier:
            name = EARLIER_FILES[name]
        return f"{name}{colon}{line}"

    @cached_property
    def _is_earlier(self) -> bool:
        """Whether a version made it that called files and variables after Scenario A."""
        return LOG not in self.entries and EARLIER_FILES[LOG] in self.entries

    def _content_in_folder(self, name: str, most: int) -> bytes:
        path = self.folder / name
        try:
            if path.parent.resolve() == (self._root / name).parent:  # no folder on the way is a link
                return files.read(path, most)
        except (OSError, RuntimeError):
            pass
        return b""

    @cached_property
    def _read(self) -> dict[tuple[str, int], bytes]:
        """What was read of the folder: dozens of rules ask for the same files, and all judge the same content."""
        return {}

    @cached_property
    def entries(self) -> dict[str, bool]:
        """All that lies in the folder or archive, by its path there, and whether that is a regular file."""
        if self._packed is not None:
            return dict.fromkeys(self._packed, True)
        return {name: stat.S_ISREG(status.st_mode) for name, status in files.tree(self.folder)}

    @cached_property
    def archive(self) -> Path | None:
        """The archive that the evidence is packed in; None where it lies in a folder."""
        if self.folder.is_file():
            return self.folder
        packed = self.folder / ARCHIVE
        return packed if packed.is_file() and not packed.is_symlink() else None

    @cached_property
    def _packed(self) -> Contents | None:
        """The files of the archive. Raise ValueError where it is none, or cannot be read."""
        if self.archive is None:
            return None
        try:
            return read(self.archive)[1]
        except (OSError, ValueError) as error:
            raise ValueError(f"{printable(self.archive)} is not an archive of a run's evidence: {error}") from error

    @cached_property
    def _root(self) -> Path:
        return self.folder.resolve()

    def text(self, name: str) -> str:
        """Return a file's text; empty where it is not there."""
        return self.content(name).decode("utf-8", errors="replace")

    def json(self, name: str) -> Any:
        """Return a JSON file's value; None where it is not there, cut off, or has what no JSON has."""
        content = self.content(name, bounds.JSON_FILE)
        return _value(content if name in QUOTED else self._of_now(content))

    def mapping(self, name: str) -> dict[str, Any]:
        """Return a JSON file's object; empty where it has none."""
        value = self.json(name)
        return value if isinstance(value, dict) else {}

    def json_lines(self, name: str) -> list[Any]:
        """Return the values of a file with one JSON value a line, less lines that were cut off."""
        lines = self._of_now(self.content(name, bounds.JSON_FILE)).splitlines()
        if len(lines) > bounds.LINES:
            raise ValueError(f"{name} has more than {bounds.LINES} lines")
        return [value for value in map(_value, lines) if value is not None]

    def inspected(self, name: str) -> dict[str, Any]:
        """Return the one object of a `docker inspect`; empty where there is none."""
        found = self.json(name)
        return found[0] if isinstance(found, list) and found and isinstance(found[0], dict) else {}

    @cached_property
    def settings(self) -> dict[str, str]:
        """The settings that were laid down for the run; empty where there were none."""
        lines = self._of_now(self.content(SETTINGS)).decode("utf-8", errors="replace").splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def _of_now(self, content: bytes) -> bytes:
        """Return content in which variables and folders are called as they are now."""
        for earlier, now in EARLIER_WORDS.items():
            if earlier.encode() in content and self._is_earlier:
                content = content.replace(earlier.encode(), now.encode())
        return content

    @cached_property
    def run(self) -> dict[str, Any]:
        """The run's settings. Raises ValueError where the folder holds no run."""
        run = self.json("run.json")
        if not isinstance(run, dict) or "run_id" not in run:
            raise ValueError(f"{self.folder} holds no run: run.json is missing or broken")
        return run | {"run_id": names.run_id(run["run_id"])}

    @property
    def runtime(self) -> str:
        """Where the run compiled: devcontainer, or what run.json names."""
        return str(self.run.get("runtime") or "devcontainer")

    @property
    def scenario(self) -> str:
        """Which scenario ran: a, or what run.json names."""
        return str(self.run.get("scenario") or "a")

    @property
    def unchallenged(self) -> bool | None:
        """Whether nobody but the host chose a challenge before the run; None of runs before there were any."""
        return bool(self.run.get("unchallenged")) if self.run.get("challenge") else None

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
        return str(self.mapping("result.json").get("outcome", "interrupted"))

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """Begin, end, fail and skip of each phase, of host and container, by the host's uptime in seconds."""
        events = [*self.json_lines("events.jsonl"), *self.json_lines("container/events.jsonl")]
        return sorted(filter(_is_event, events), key=lambda event: float(event["uptime"]))

    def begun(self, phase: str) -> float | None:
        """Return when a phase began, in uptime; None where it did not."""
        begins = (event for event in self.events if event["phase"] == phase and event["event"] == "begin")
        return next((float(event["uptime"]) for event in begins), None)

    def ended(self, phase: str) -> bool:
        """Return whether a phase ended well, as far as the run knew."""
        return any(event["phase"] == phase and event["event"] == "end" for event in self.events)

    def window(self, phase: str) -> tuple[float, float] | None:
        """Return when a phase began and ended, in uptime; None where it did not do both."""
        times = {event["event"]: float(event["uptime"]) for event in self.events if event["phase"] == phase}
        ended = times.get("end", times.get("fail"))
        return (times["begin"], ended) if "begin" in times and ended is not None else None

    @cached_property
    def _clocks(self) -> list[tuple[float, float]]:
        """What to add to an uptime for the time of day, in seconds, at each uptime at which both were read."""
        return [
            (float(event["uptime"]), datetime.fromisoformat(event["time"]).timestamp() - float(event["uptime"]))
            for event in self.events
            if isinstance(event.get("time"), str)
        ]

    def clock_set(self) -> list[tuple[float, float]]:
        """Return when the clock was set during the run, the first uptime after it, and by how much, in seconds."""
        steps = zip(self._clocks, self._clocks[1:], strict=False)
        return [(uptime, now - before) for (_, before), (uptime, now) in steps if abs(now - before) > CLOCK_SET]

    def offsets(self, window: tuple[float, float]) -> list[float]:
        """Return what is to be added to uptimes in a window for the time of day: more than one where that was set."""
        times = [uptime for uptime, _ in self._clocks]
        first = max(bisect_right(times, window[0]) - 1, 0)
        last = bisect_left(times, window[1])
        return [offset for _, offset in self._clocks[first : last + 1]] or [0.0]

    def within(self, moment: float, window: tuple[float, float] | None, grain: float = CLOCK_GRAIN) -> bool:
        """Return whether a time of day (seconds since the epoch) lies in a window of uptimes, by that window's clock.

        `grain` is how coarse the moment is known, in seconds.
        """
        if window is None:
            return False
        begun, ended = window
        return any(begun + offset - grain <= moment <= ended + offset + grain for offset in self.offsets(window))

    @cached_property
    def log(self) -> list[str]:
        """The lines of the timestamped log."""
        lines = self.text(LOG).splitlines()
        if len(lines) > bounds.LOG_LINES:
            raise ValueError(f"{self.called(LOG)} has more than {bounds.LOG_LINES} lines")
        return lines

    def log_of(self, phase: str) -> Iterator[tuple[int, str]]:
        """Yield the log's lines of a phase, from its heading to the next, with their numbers."""
        inside = False
        for number, line in enumerate(self.log, 1):
            heading = re.search(r" === (\w+) ===$", line)
            if heading:
                inside = heading[1] == phase
            if inside:
                yield number, line

    @cached_property
    def ninja_calls(self) -> list[NinjaCall]:
        """Every call of ninja, in order."""
        parts = (name.split("/") for name in self.entries if name.startswith("container/ninja/"))
        numbers = sorted({int(part[2]) for part in parts if len(part) > 3 and NUMBER.fullmatch(part[2])})
        return [self._ninja_call(f"container/ninja/{number}") for number in numbers]

    @property
    def builds(self) -> list[NinjaCall]:
        """The calls of ninja that built something."""
        return [call for call in self.ninja_calls if call.steps]

    def _ninja_call(self, name: str) -> NinjaCall:
        cpu = [figure for text in self.text(f"{name}/cpu_seconds").split() if (figure := _figure(text)) is not None]
        call: Mapping[str, Any] = self.mapping(f"{name}/call.json")
        window = (_figure(call.get("began")), _figure(call.get("ended")))
        steps = ninja_steps(self._lines(f"{name}/ninja_log"))
        times = Counter(step.output for step in steps)
        return NinjaCall(
            folder=name,
            arguments=tuple(self._lines(f"{name}/arguments")),
            steps=tuple({step.output: step for step in steps}.values()),
            rebuilt=tuple(output for output, count in times.items() if count > 1),
            window=None if window[0] is None or window[1] is None else (window[0], window[1]),
            cpu_seconds=round(sum(cpu), 3) if len(cpu) == 2 else None,
            samples=tuple(_samples(self._lines(f"{name}/samples"))),
            tools=tuple(Tool(*line.split("\t")) for line in self._lines(f"{name}/tools") if line.count("\t") == 2),
            environment=tuple(
                (variable, value)
                for variable, equals, value in (line.partition("=") for line in self._lines(f"{name}/environment"))
                if equals
            ),
        )

    def _lines(self, name: str) -> list[str]:
        lines = self._of_now(self.content(name)).decode("utf-8", errors="replace").splitlines()
        if len(lines) > bounds.LINES:
            raise ValueError(f"{name} has more than {bounds.LINES} lines")
        return lines


def ninja_steps(log: Iterable[str]) -> list[Step]:
    """Read the lines of ninja's own log, a step for each of them.

    See https://ninja-build.org/manual.html#_the_ninja_log. A line is `start end mtime output hash`, separated by tabs;
    start and end in milliseconds since ninja began, mtime in nanoseconds since the epoch (versions 5 to 7).
    """
    steps = []
    for line in log:
        fields = line.split("\t")
        if len(fields) == 5 and all(map(NUMBER.fullmatch, fields[:3])):
            started, ended, modified = (int(field) for field in fields[:3])
            steps.append(Step(fields[3], started / 1000, ended / 1000, modified / 1e9))
    return steps


def _samples(lines: Iterable[str]) -> list[MemorySample]:
    samples = []
    for line in lines:
        uptime, memory, *at_work = line.split() if len(line.split()) > 1 else ("", "")
        when = _figure(uptime)
        if when is None:
            continue  # cut off
        samples.append(MemorySample(when, int(memory) if NUMBER.fullmatch(memory) else None, frozenset(at_work)))
    return samples


def _value(content: bytes) -> Any:
    """Return the value of a JSON text; None where it is none, or has what no JSON has."""
    try:
        return jsontext.loads(content.decode("utf-8", errors="replace"))
    except ValueError:
        return None


def _figure(value: Any) -> float | None:
    """Return a time, or a length of it, in seconds; None where it is none."""
    try:
        figure = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return figure if abs(figure) < LATEST else None


def _is_event(event: Any) -> bool:
    """Return whether a line of events is whole."""
    return (
        isinstance(event, dict)
        and all(isinstance(event.get(name), str) for name in ("event", "phase"))
        and _figure(event.get("uptime")) is not None
    )
