"""What the controller chooses before each run, so that nobody can have computed the attention test's results earlier.

A file for each run that was started from here, <state>/challenges/HOST/RUN_ID: there before the run is, and kept, so
that what a run was given stays known. A run that another controller takes up keeps what it was started with.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from provisioner import files, names

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["choose", "chosen", "forget"]

BYTES = 32


def choose(state: Path, host: str, run_id: str) -> str:
    """Return a new challenge for a run, 64 hex digits, which is noted by then. Raise OSError where it cannot be."""
    path = _path(state, host, run_id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    challenge = secrets.token_hex(BYTES)
    path.write_text(challenge, encoding="ascii")
    return challenge


def chosen(state: Path, host: str, run_id: str) -> str | None:
    """Return the challenge that was chosen here for a run; None where none was."""
    try:
        return files.read(_path(state, host, run_id), 2 * BYTES).decode("ascii")
    except (OSError, ValueError):
        return None


def forget(state: Path, host: str, run_id: str) -> None:
    """Forget what was chosen for a run that did not begin, since another served."""
    _path(state, host, run_id).unlink(missing_ok=True)


def _path(state: Path, host: str, run_id: str) -> Path:
    return names.inside(state / "challenges", f"{names.host(host)}/{names.run_id(run_id)}")
