"""What a name may be that a host or a stranger's file made up; asked wherever such a name enters.

Each function returns the name, or raises ValueError with a line that says what it is no name of.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from provisioner.text import bounds
from provisioner.text.display import printable

__all__ = ["file", "host", "inside", "job", "phase", "role", "run_id"]

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_JOB = re.compile(r"[a-z0-9]{16}")
_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}")
_LONGEST = 255
"""Bytes of a file's name, on the file systems that there are."""


def run_id(value: Any) -> str:
    """Return the id of a run: letters, digits, '.', '_' and '-', as a time and a random part have them."""
    return _matching(_RUN_ID, value, "the id of a run")


def job(value: Any) -> str:
    """Return what a host's lock is known by."""
    return _matching(_JOB, value, "the job of a lock")


def phase(value: Any) -> str:
    """Return the name of a phase; those of other versions, too."""
    return _matching(_WORD, value, "the name of a phase")


def role(value: Any) -> str:
    """Return the name of a role."""
    return _matching(_WORD, value, "the name of a role")


def host(value: Any) -> str:
    """Return the name of a host, as an inventory may have it: all that a folder may be called."""
    return _folder(value, "the name of a host")


def file(value: Any) -> PurePosixPath:
    """Return the path of a file below a folder: no '..', nothing hidden in it that a terminal would not show."""
    what = "the path of a file of evidence"
    if not isinstance(value, str) or value.startswith("/"):
        raise _none(value, what)
    parts = [_folder(part, what) for part in value.rstrip("/").split("/")]
    if not value.isprintable():
        raise _none(value, what)
    if len(parts) > bounds.DEPTH:
        raise ValueError(f"{printable(value, 80)} is deeper than {bounds.DEPTH} folders")
    return PurePosixPath(*parts)


def inside(folder: Path, name: str | PurePosixPath) -> Path:
    """Return the path of `name` below `folder`. Raise ValueError where it leaves that, or goes through a link."""
    below = PurePosixPath(name)
    if not below.parts or below.is_absolute() or ".." in below.parts or "\0" in str(name):
        raise ValueError(f"{printable(str(name), 80)} is not a place in {folder}")
    path = folder
    try:
        for part in below.parts:
            path /= part
            if path.is_symlink():
                raise ValueError(f"{printable(str(name), 80)} goes through a link in {folder}")
    except OSError as error:
        raise ValueError(f"{printable(str(name), 80)} cannot be followed in {folder}: {error}") from error
    return path


def _matching(pattern: re.Pattern[str], value: Any, what: str) -> str:
    if isinstance(value, str) and pattern.fullmatch(value):
        return value
    raise _none(value, what)


def _folder(value: Any, what: str) -> str:
    """Return what may be the name of a file or a folder."""
    if not isinstance(value, str) or value in {"", ".", ".."} or set("/\0") & set(value):
        raise _none(value, what)
    try:
        length = len(value.encode())
    except UnicodeEncodeError:  # bytes of a command line, or of a folder, that are no text
        raise _none(value, what) from None
    if length > _LONGEST:
        raise _none(value, what)
    return value


def _none(value: Any, what: str) -> ValueError:
    return ValueError(f"{printable(repr(value), 80)} is not {what}")
