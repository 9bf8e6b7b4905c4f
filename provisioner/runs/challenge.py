"""What the controller chooses before each run, so that nobody can have computed the attention test's results earlier.

A file for each run that was started from here, <state>/challenges/HOST/RUN_ID: there before the run is, and as long as
that is kept, so that what a run was given stays known. A run that another controller takes up keeps what it was started
with.
"""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from provisioner.system import files
from provisioner.text import names

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["choose", "chosen", "forget"]

BYTES = 32
FORM = re.compile(r"[0-9a-f]{64}")


def choose(state: Path, host: str, run_id: str) -> str:
    """Return the challenge for a run, 64 hex digits, noted by then; a run that is asked for again keeps its own.

    Raise OSError where it cannot be noted, ValueError where what was noted is none.
    """
    if noted := chosen(state, host, run_id):
        return noted
    path = _path(state, host, run_id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    challenge = secrets.token_hex(BYTES)
    files.put(path, challenge.encode())
    return challenge


def chosen(state: Path, host: str, run_id: str) -> str | None:
    """Return the challenge that was chosen here for a run; None where none was. Raise ValueError where that is lost."""
    path = _path(state, host, run_id)
    try:
        noted = files.read(path, 2 * BYTES).decode()
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        noted = ""
    if not FORM.fullmatch(noted):
        raise ValueError(f"the note of its challenge is broken; restore {path} from a copy, or remove it")
    return noted


def forget(state: Path, host: str, run_id: str) -> None:
    """Forget what was chosen for a run that is deleted, or did not begin; where that cannot be, it hurts nobody."""
    with suppress(OSError, ValueError):
        _path(state, host, run_id).unlink()


def _path(state: Path, host: str, run_id: str) -> Path:
    return names.inside(state / "challenges", f"{names.host(host)}/{names.run_id(run_id)}")
