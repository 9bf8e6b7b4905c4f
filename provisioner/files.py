"""Writes files so that whoever reads one sees the old or the new, and reads files that anybody may have made."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from provisioner import bounds
from provisioner.errors import FULL, Exit, ProvisionerError
from provisioner.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["read", "tree", "write"]


def read(path: Path, most: int, *, follow: bool = False) -> bytes:
    """Return the content of a regular file. Raise OSError where it is none, ValueError where it has more bytes.

    A pipe or a device is not waited for; a link counts as no file unless `follow` says so.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path} is no regular file")
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{printable(path)} has more than {most >> 20} MiB")
    return content


def tree(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the path below `folder`, and what it is, of all that is in there but folders; no link is followed.

    Raise ValueError where that is more, or lies deeper, than the evidence of a run may.
    """
    folders = [""]
    seen = size = 0
    while folders:
        at = folders.pop()
        with os.scandir(folder / at) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                seen += 1
                name = f"{at}{entry.name}"
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    folders.append(f"{name}/")
                    if name.count("/") >= bounds.DEPTH:
                        raise ValueError(f"{printable(folder)} has folders deeper than {bounds.DEPTH}")
                else:
                    size += status.st_size
                    yield name, status
                if seen > bounds.FILES or size > bounds.EVIDENCE:
                    most = f"{bounds.FILES} files or {bounds.EVIDENCE >> 20} MiB"
                    raise ValueError(f"{printable(folder)} has more than {most}, which no evidence has")


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
