"""Read a Dockerfile, and what a builder says that it did, as instructions."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["CONTENT", "Instruction", "built", "parse"]

# The instructions that put something into an image; the others only describe it.
CONTENT = frozenset({"RUN", "COPY", "ADD"})
# A line of `docker image history`: the classic builder writes a shell command as it ran it and marks all else as a
# no-op, BuildKit writes the instruction's name and itself as a comment. Build arguments stand before the shell.
_CLASSIC = re.compile(r"(?:\|\d+ .*?)?/bin/sh -c #\(nop\)\s+(\w+)\s*(.*)", re.DOTALL)
_SHELL = re.compile(r"(?:RUN )?(?:\|\d+ .*?)?/bin/sh -c (.*)", re.DOTALL)
_BUILDKIT = re.compile(r"(\w+) (.*)", re.DOTALL)


class Instruction(NamedTuple):
    """One instruction: its name, its arguments with single blanks, and the line it begins on."""

    name: str
    arguments: str
    line: int


def parse(text: str) -> list[Instruction]:
    """Return a Dockerfile's instructions; comments are left out and continued lines joined."""
    found = []
    parts: list[str] = []
    began = 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not (line.strip() or parts):
            continue
        began = began if parts else number
        parts.append(line.rstrip().removesuffix("\\"))
        if not line.rstrip().endswith("\\"):
            name, _, arguments = " ".join(" ".join(parts).split()).partition(" ")
            found.append(Instruction(name.upper(), arguments, began))
            parts = []
    return found


def built(created_by: str) -> Instruction:
    """Return the instruction that made a layer, from its line of history."""
    text = " ".join(created_by.removesuffix("# buildkit").split())
    for pattern in (_CLASSIC, _SHELL, _BUILDKIT):
        found = pattern.fullmatch(text)
        if found:
            return Instruction("RUN", found[1], 0) if pattern is _SHELL else Instruction(found[1], found[2], 0)
    return Instruction("", text, 0)
