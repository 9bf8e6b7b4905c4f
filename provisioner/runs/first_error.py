"""The first line of a log that tells of an error: what comes after it mostly follows from it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["of_lines"]

# Times that scripts and the Dev Container CLI write before a line.
STAMPS = re.compile(r"^(?:\[?\d{4}-\d\d-\d\dT[\d:.]+Z\]? ?)+")
SURE = (
    r"\bfatal error\b",
    r"\binternal compiler error\b",
    r": error(?: [#A-Z\d-]+)?: ",
    r"\): error:? ",
    # The last lines of pip and setuptools are consequences of the error.
    r"^error: (?!subprocess|metadata|command|legacy|failed-wheel)",
    r"^ERROR: (?!Failed|Could not build|No matching|Command)",
    r"^(?:ptxas|nvcc|nvlink|fatbinary|cicc)\s*(?:fatal|error)\b",
    r"died due to signal",
    r"\bKilled\b",
    r"undefined reference to",
    r"cannot find -l",
    r"^CMake Error",
    r"ninja: error:",
    r"No space left on device",
    r"^E: ",
    r"^Error response from daemon",
    r"^toomanyrequests",
    r"the fork keeps files",
)
# Where none of a rank is found the next is looked for.
RANKS = (
    re.compile("|".join(SURE)),
    # The last line of a traceback, of an exception that nobody caught.
    re.compile(r"^\s*(?:[a-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Exit|Interrupt): \S"),
    # Programs that are not there, and git: set-up scripts ask for both, and go on without.
    re.compile(r"^fatal: |: (?:command )?not found$"),
    re.compile(r"^(?:FAILED: |ERROR: |error: |make: \*\*\* )"),
)
# An exception whose words are on the next line, and the object of ninja's that what comes next is of.
SPLIT = re.compile(r"^\s*(?:[a-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception):$")
OF_OBJECT = re.compile(r"^FAILED: (?:\[code=\d+\] )?(?P<object>\S+)")
# Commands that are told of, and what a compiler is called with.
ECHO = re.compile(
    r"^(?:\+ |checking |[Ll]ooking for |retry: in |\[\d+/\d+\] |Running command |copying |Step \d+/)|--|-D\w"
)


def of_lines(lines: Iterable[str]) -> str | None:
    """Return the first line that tells of an error, without the times before it; None where no line does."""
    plain = [STAMPS.sub("", line).strip() for line in lines]
    # What was tried again says nothing of why the last try failed.
    again = max((at for at, line in enumerate(plain) if line.startswith("retry: in ")), default=-1)
    plain = plain[again + 1 :]
    candidates = _joined(line for line in plain if line and not ECHO.match(line))
    for words in RANKS:
        at = next((at for at, line in enumerate(candidates) if words.search(line)), None)
        if at is not None:
            return _with_its_object(candidates, at)
    return None


def _joined(lines: Iterable[str]) -> list[str]:
    """Return the lines, an exception's name with the words after it."""
    joined: list[str] = []
    for line in lines:
        if joined and SPLIT.match(joined[-1]):
            joined[-1] = f"{joined[-1]} {line}"
        else:
            joined.append(line)
    return joined


def _with_its_object(lines: Sequence[str], at: int) -> str:
    """Return a line; where it is a mere "Killed", with the object that was being made, as ninja said before it."""
    if lines[at] != "Killed":
        return lines[at]
    objects = (OF_OBJECT.match(line) for line in reversed(lines[:at]))
    return next((f"{found['object']}: Killed" for found in objects if found), lines[at])
