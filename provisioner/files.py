"""Writes a file so that whoever reads it sees the old one or the new one, never half of either."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from provisioner.errors import Exit, ProvisionerError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["write"]

FULL = {errno.ENOSPC, errno.EDQUOT}


def write(path: Path, text: str) -> None:
    """Put `text` at `path`, at once and readable as the umask says; raises ProvisionerError and leaves the old file.

    A pipe or a device is written to as it is.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_text(text, encoding="utf-8")
            return
        _replace(path.resolve(), text)
    except OSError as error:
        code = Exit.FAILED if error.errno in FULL else Exit.BAD_INPUT
        raise ProvisionerError(
            f"cannot write {path}: {error.strerror or error}", "name another place, or make room", code
        ) from error


def _replace(path: Path, text: str) -> None:
    # The name ends in nothing that node_exporter would read: it takes *.prom of its folder.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
