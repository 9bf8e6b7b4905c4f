"""Writes files so that whoever reads one sees the old or the new, and reads files that anybody may have made."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from provisioner.errors import FULL, Exit, ProvisionerError
from provisioner.text import bounds
from provisioner.text.display import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

__all__ = ["Written", "atomically", "lock", "put", "read", "replacing", "tree", "write"]


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
        raise OSError(f"{path} is not a regular file")
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


@contextmanager
def atomically(path: Path) -> Iterator[IO[bytes]]:
    """Have a file to write for the while of a block, which is at `path` after it, whole and on the disk.

    Raise OSError. The old file stays then, and where the block fails.
    """
    # The name ends in nothing that node_exporter would read: it takes *.prom of its folder.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def put(path: Path, data: bytes) -> None:
    """Put bytes at `path`, whole or not at all. Raise OSError."""
    with atomically(path) as file:
        file.write(data)


def write(path: Path, text: str | Iterable[str], *, private: bool = False) -> None:
    """Put a text, or its parts, where a user named `path`, as replacing() does. Raise ProvisionerError.

    `private` has a file be its owner's alone.
    """
    with replacing(path) as file:
        if private:
            file.hide()
        file.writelines([text] if isinstance(text, str) else text)


@contextmanager
def replacing(path: Path) -> Iterator[Written]:
    """Have what takes bytes for the while of a block, which are where a user named `path` after it, at once.

    Raise ProvisionerError where they cannot be written, and leave the old file; also where the block fails, whose
    errors are its own. A pipe or a device is written to as it is; nobody is waited for who might read a pipe one day.
    """
    of_block = None
    try:
        with _target(path) as file:
            try:
                yield Written(path, file)
            except OSError as error:
                of_block = error
                raise
    except OSError as error:
        if error is of_block:
            raise
        raise _unwritable(path, error) from error


@dataclass(frozen=True)
class Written:
    """What is being written to a file that a user named."""

    path: Path
    file: IO[bytes]

    def hide(self) -> None:
        """Take a file's permissions from all but its owner, before anything is in it; a device keeps its own."""
        if stat.S_ISREG(os.fstat(self.file.fileno()).st_mode):
            os.fchmod(self.file.fileno(), 0o600)

    def write(self, data: bytes | str) -> int:
        """Write, as a file does; a text as UTF-8. Raise ProvisionerError."""
        try:
            return self.file.write(data.encode() if isinstance(data, str) else data)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def writelines(self, lines: Iterable[bytes | str]) -> None:
        """Write each of them, as a file does. Raise ProvisionerError."""
        for line in lines:
            self.write(line)


def _target(path: Path) -> AbstractContextManager[IO[bytes]]:
    """Return what to write to. Raise OSError (ENXIO) where it is a pipe that nobody has open to read from."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not path.exists() or path.is_file():
        return atomically(path.resolve())
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(descriptor, True)
    return open(descriptor, "wb")  # noqa: PTH123 - of a descriptor


def _unwritable(path: Path, error: OSError) -> ProvisionerError:
    code = Exit.FAILED if error.errno in FULL else Exit.BAD_INPUT
    reason = "nobody reads from it" if error.errno == errno.ENXIO else error.strerror or error
    return ProvisionerError(f"cannot write {path}: {reason}", "name another place, or make room", code)
