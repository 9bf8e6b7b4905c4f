"""Writes a file so that it is there as a whole or not at all, whatever the umask is."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Put `content` at `path`, with `mode`, in one step; folders that are missing are made, passable by all.

    Raise OSError, which names `path`.
    """
    with of(path):
        for folder in reversed([each for each in path.parents if not each.exists()]):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".provisioner-")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(mode)
            temporary.replace(path)
        except BaseException:
            temporary.unlink()
            raise


@contextmanager
def of(path: Path) -> Iterator[None]:
    """Have an OSError name `path`: nobody knows the temporary file that is written first."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
