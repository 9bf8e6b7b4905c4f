"""The one exception that a user sees, and the exit codes, in one place."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from provisioner.text.display import printable

__all__ = ["FULL", "Exit", "ProvisionerError", "of_option"]

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The numbers of an OSError that means: no room is left."""
LONGEST = 2000
"""Characters of each half of the line."""


class Exit(IntEnum):
    """What the process says to whoever started it; listed in `provisioner --help`."""

    DONE = 0
    FAILED = 1
    BAD_INPUT = 2
    UNREACHABLE = 3
    REJECTED = 4
    DRIFT = 5
    INTERRUPTED = 130
    UNREAD = 141
    """As a shell tells that SIGPIPE ended a program."""


class ProvisionerError(Exception):
    """Something went wrong that a user can understand; ends in one line, never in a traceback.

    `message` says what, `remedy` how to mend it (may be empty), `code` is the exit code.
    """

    def __init__(self, message: str, remedy: str = "", code: int = Exit.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.code = int(code)

    def __str__(self) -> str:
        """Return the one line: what; how to mend it."""
        return "; ".join(printable(" ".join(part.split()), LONGEST) for part in (self.message, self.remedy) if part)


@contextmanager
def of_option(flag: str) -> Iterator[None]:
    """Have an error of the block begin with the option that caused it, unless it names that itself."""
    try:
        yield
    except ProvisionerError as error:
        if flag in f"{error}":
            raise
        raise ProvisionerError(f"{flag}: {error.message}", error.remedy, error.code) from error
