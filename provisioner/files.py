"""Writes a file so that whoever reads it sees the old one or the new one, never half of either."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from provisioner.errors import FULL, Exit, ProvisionerError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["write"]


def write(path: Path, text: str | Iterable[str]) -> None:
    """Put a text, or its parts, at `path`, at once and readable as the umask says.

    Raises ProvisionerError and leaves the old file.
    A pipe or a device is written to as it is.
    """
    parts = [text] if isinstance(text, str) else text
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            with path.open("w", encoding="utf-8") as device:
                device.writelines(parts)
            return
        _replace(path.resolve(), parts)
    except OSError as error:
        code = Exit.FAILED if error.errno in FULL else Exit.BAD_INPUT
        raise ProvisionerError(
            f"cannot write {path}: {error.strerror or error}", "name another place, or make room", code
        ) from error


def _replace(path: Path, parts: Iterable[str]) -> None:
    # The name ends in nothing that node_exporter would read: it takes *.prom of its folder.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
