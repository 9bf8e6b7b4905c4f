"""Starts `provisioner` and turns whatever goes wrong into one line and an exit code."""

import atexit
import errno
import gc
import io
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from provisioner import cli
from provisioner.errors import FULL, Exit, ProvisionerError
from provisioner.system.paths import ensure_state_dir, state_dir
from provisioner.text import bounds
from provisioner.text.display import printable
from provisioner.view import screen

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (default: the process's own) and give the exit code."""
    atexit.register(gc.freeze)  # the process ends anyway: no garbage collection before
    arguments = sys.argv[1:] if arguments is None else arguments
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what its encoding has not is shown as an escape
    try:
        code = cli.run(arguments)
        sys.stdout.flush()  # so that a closed pipe is met here, not in the interpreter's last moments
    except ProvisionerError as error:
        return _say(str(error), error.code)
    except KeyboardInterrupt:
        said = "interrupted; a run that is on a host goes on there: see `provisioner status` and `provisioner cancel`"
        return _say(said, Exit.INTERRUPTED)
    except OSError as error:
        return _system_error(error, arguments)
    except Exception as error:  # the last resort: a fault of ours is still one line
        return _unexpected(error, arguments)
    return code


def _system_error(error: OSError, arguments: Sequence[str]) -> int:
    unread = isinstance(error, BrokenPipeError) or (error.errno == errno.EIO and screen.is_gone())
    if not unread and error.errno not in FULL:
        return _unexpected(error, arguments)
    # At its exit Python would try again to write what it could not; where the terminal is gone, errors too.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    if unread:
        if screen.is_gone():
            os.dup2(nowhere, sys.stderr.fileno())
        # The reader has closed the pipe (`| head`), or the terminal was closed: nobody reads a message.
        return Exit.UNREAD
    where = error.filename or "what this was to be written to"
    return _say(f"{where}: {error.strerror}; make room and run the command again", Exit.FAILED)


def _say(line: str, code: int) -> int:
    with suppress(OSError):  # nobody reads it
        print(screen.fold(f"provisioner: {printable(line, bounds.LINE)}", sys.stderr), file=sys.stderr)
    return int(code)


def _open_closed_streams() -> None:
    """Open what this process was started without (`>&-`): else a file that it opens takes stdout's place.

    A closed stdout becomes a pipe that nobody reads.
    """
    if sys.stdin is None:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115 - of a descriptor, to the end of the process
    if sys.stdout is None:
        reader, writer = os.pipe()
        os.dup2(writer, 1)
        for end in {reader, writer} - {1}:
            os.close(end)
        sys.stdout = open(1, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.stderr = open(2, "w", encoding="utf-8")  # noqa: SIM115


def _unexpected(error: Exception, arguments: Sequence[str]) -> int:
    import traceback  # noqa: PLC0415 - nothing that goes well needs it

    text = "".join(traceback.format_exception(error))
    if any(argument.startswith("-v") or argument == "--verbose" for argument in arguments):
        for line in text.splitlines():
            print(printable(line, bounds.LINE), file=sys.stderr)
    summary = " ".join(f"{type(error).__name__}: {error}".split())
    return _say(f"a fault in provisioner: {summary}; the traceback is in {_save(text)}", Exit.FAILED)


def _save(text: str) -> Path:
    """Write a traceback to the state directory, or to the temporary one where that cannot be."""
    import tempfile  # noqa: PLC0415 - as above

    name = f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.txt"
    try:
        folder = ensure_state_dir(state_dir()) / "faults"
        folder.mkdir(exist_ok=True)
    except (OSError, ProvisionerError):
        folder = Path(tempfile.mkdtemp(prefix="provisioner-"))
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(main())
