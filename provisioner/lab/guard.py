"""Keeps two lab commands out of each other's way, and lets one that is ended clean up first."""

import fcntl
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from provisioner.errors import Exit, ProvisionerError
from provisioner.lab.model import Report

__all__ = ["alone", "terminable"]


@contextmanager
def alone(folder: Path, report: Report) -> Iterator[None]:
    """Hold a folder, made where it is missing, so that no second command works in it; removed again when empty.

    Waits while another holds it. Raise ProvisionerError (code 2) where it cannot be made.
    """
    handle = _lock(folder, report)
    try:
        yield
    finally:
        with suppress(OSError):  # not empty: labs are left
            folder.rmdir()
        os.close(handle)


@contextmanager
def terminable() -> Iterator[None]:
    """Turn SIGTERM into SystemExit meanwhile, so that what cleans up after an interruption does so then too."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers, and only it gets signals
        return

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _lock(folder: Path, report: Report) -> int:
    while True:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ProvisionerError(
                f"cannot write to {folder.parent}: {error.strerror}",
                "name another place with --state-dir",
                Exit.BAD_INPUT,
            ) from error
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another lab command to end")
            fcntl.flock(handle, fcntl.LOCK_EX)
        # The one waited for may have removed the folder, and a third may hold a new one of that name.
        if folder.is_dir() and folder.stat().st_ino == os.fstat(handle).st_ino:
            return handle
        os.close(handle)
