"""Reads a log of scenario_runner.sh: its head and its end, and the commands that it timed."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

__all__ = ["Log", "LoggedCommand", "NotALogError", "decode", "read"]

HEAD = "--- Scenario Runner ---"
STAMP = re.compile(r"\[(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z)\] ?")
TIMED = re.compile(r"\(time (.*)\)$")
REAL = re.compile(r"real\s+(\d{1,6})m(\d{1,2})[.,](\d{1,9})s$")
TOTAL = re.compile(r"Total elapsed seconds: (\d{1,9})$")
LONGEST_LINE = 8192
"""Characters of a line that are looked at: twice those of the longest that the benchmark writes."""
MOST_COMMANDS = 1000
PROMPT = re.compile(r"(?:\(\S+\) )?[\w.-]+@[\w.-]+:[~/][^$#]*[$#](?: |$)")
"""bash's own, as Debian and Ubuntu set it, in a Python environment too."""


class NotALogError(ValueError):
    """The text is not a log of the shell benchmark; says why in a few words."""


@dataclass
class LoggedCommand:
    """A command that bash's `time` measured: `seconds` is its real time, None where the log ends before it did."""

    text: str
    first: int
    """Index of the line that names it."""
    last: int
    """Index of the last line of what it printed."""
    seconds: float | None = None


@dataclass(frozen=True)
class Log:
    """A run's log: `lines` without their ends, from the head to the total; what was typed after that is left out.

    A script that died prints no total: then it ends where the shell asks for the next command.
    """

    scenario: str
    started: datetime
    ended: datetime | None
    total: float | None
    """In seconds; the runner counts whole ones. None where the log is cut off before it."""
    lines: Sequence[str]
    commands: Sequence[LoggedCommand] = field(default_factory=list)

    def find(self, pattern: str, first: int = 0, last: int | None = None) -> tuple[int, re.Match[str]] | None:
        """Return the first line in [first, last] that has `pattern`, by its index, and the match."""
        expression = re.compile(pattern)
        for index in range(first, len(self.lines) if last is None else last + 1):
            if match := expression.search(self.lines[index]):
                return index, match
        return None

    def time_at(self, index: int) -> datetime | None:
        """Return the time that the log tells last, at a line or before it."""
        for line in reversed(self.lines[: index + 1]):
            if stamp := STAMP.match(line):
                with suppress(ValueError):
                    return datetime.fromisoformat(stamp[1])
        return None


def decode(data: bytes) -> str:
    """Return a log's text, of whichever encoding a Windows shell gave it; what is no text becomes U+FFFD."""
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    return data.decode("utf-16" if wide else "utf-8-sig", errors="replace")


def read(text: str) -> Log:
    """Read a log, of any line ends, cut off anywhere behind its head. Raise NotALogError."""
    lines = [line[:LONGEST_LINE] for line in re.split(r"\r\n|\n|\r", text)]
    if lines[0].strip() != HEAD:
        raise NotALogError(f"it does not begin with '{HEAD}'")
    total = _first(lines, TOTAL)
    if total:
        lines = lines[: total[0] + 1]
    elif prompt := _first(lines, PROMPT):
        lines = lines[: prompt[0]]
    scenario = _first(lines, re.compile(r"^(?:Scenario|Log file): .*scenario_([abc])\.(?:sh|log)$"))
    started = _time(lines, "Start")
    if not scenario or not started:
        raise NotALogError("it ends before it says which scenario it is of and when that started")
    return Log(
        scenario=scenario[1][1],
        started=started,
        ended=_time(lines, "End"),
        total=float(total[1][1]) if total else None,
        lines=lines,
        commands=_commands(lines),
    )


def _first(lines: Sequence[str], pattern: re.Pattern[str]) -> tuple[int, re.Match[str]] | None:
    return next(((index, match) for index, line in enumerate(lines) if (match := pattern.match(line))), None)


def _time(lines: Sequence[str], name: str) -> datetime | None:
    found = _first(lines, re.compile(rf"{name}: (\S+)$"))
    try:
        time = datetime.fromisoformat(found[1][1]) if found else None
        return time.astimezone(UTC) if time and time.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _commands(lines: Sequence[str]) -> list[LoggedCommand]:
    """Pair each `(time …)` with its `real`: a command's are within those of the command that started it."""
    commands: list[LoggedCommand] = []
    running: list[LoggedCommand] = []
    for index, line in enumerate(lines):
        said = STAMP.sub("", line, count=1) if STAMP.match(line) else line
        if timed := TIMED.match(said):
            running.append(LoggedCommand(timed[1], index, len(lines) - 1))
            commands.append(running[-1])
        elif running and (real := REAL.match(said)):
            command = running.pop()
            command.last = index
            command.seconds = int(real[1]) * 60 + float(f"{real[2]}.{real[3]}")
        if len(commands) > MOST_COMMANDS:
            raise NotALogError(f"it times more than {MOST_COMMANDS} commands")
    return commands
