"""Writes files so that a reader sees the old or the new one, never half of one."""

import os
from pathlib import Path

from provisioner.errors import Exit, ProvisionerError

__all__ = ["write"]


def write(path: Path, text: str) -> None:
    """Write `text` to `path`, replacing what is there. Raises ProvisionerError (code 2) where that cannot be."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with part.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise ProvisionerError(
            f"cannot write {path}: {error.strerror or error}", "name another place, or make room", Exit.BAD_INPUT
        ) from error
