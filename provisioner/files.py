"""Writes files so that whoever reads one sees the old or the new, and reads files that anybody may have made."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, TextIO

from provisioner import bounds
from provisioner.errors import FULL, Exit, ProvisionerError
from provisioner.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["lock", "read", "replacing", "tree", "write"]


def read(path: Path, most: int, *, follow: bool = False) -> bytes:
    """Return the content of a regular file. Raise OSError where it is none, ValueError where it has more bytes.

    A pipe or a device is not waited for; a link counts as no file unless `follow` says so.
    """
    with _regular(path, os.O_RDONLY | (0 if follow else os.O_NOFOLLOW), "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{printable(path)} has more than {most >> 20} MiB")
    return content


@contextmanager
def lock(path: Path, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold a lock on the file at `path`, made where there is none. Raise OSError where it cannot be.

    `how` is fcntl.LOCK_EX, which waits for whoever holds it, with fcntl.LOCK_NB where it is not to wait.
    """
    with _regular(path, os.O_WRONLY | os.O_CREAT, "wb") as file:
        fcntl.flock(file, how)
        yield


def _regular(path: Path, flags: int, mode: str) -> IO[bytes]:
    """Open a regular file. Raise OSError where it is none: a pipe is not waited for, a device not read."""
    file = os.fdopen(os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666), mode)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"{path} is no regular file")
    return file


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
    A pipe or a device is written to as it is; nobody is waited for who might read a pipe one day.
    """
    parts = [text] if isinstance(text, str) else text
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if path.exists() and not path.is_file():
            with _device(path) as device:
                device.writelines(parts)
            return
        _replace(path.resolve(), parts)
    except OSError as error:
        code = Exit.FAILED if error.errno in FULL else Exit.BAD_INPUT
        reason = "nobody reads from it" if error.errno == errno.ENXIO else error.strerror or error
        raise ProvisionerError(f"cannot write {path}: {reason}", "name another place, or make room", code) from error


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Have a file of bytes to write for the while of a block, which is at `path` after it, at once.

    Raises ProvisionerError and leaves the old file, also where the block fails.
    """
    target = path.resolve()
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        code = Exit.FAILED if error.errno in FULL else Exit.BAD_INPUT
        raise ProvisionerError(
            f"cannot write {path}: {error.strerror or error}", "name another place, or make room", code
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _device(path: Path) -> TextIO:
    """Open a pipe or a device for writing. Raise OSError (ENXIO) where nobody has a pipe open to read from."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(descriptor, True)
    return open(descriptor, "w", encoding="utf-8")  # noqa: PTH123 - of a descriptor


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
