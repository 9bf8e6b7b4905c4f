"""Where things are: the playbooks that came with the package, and the state of this controller."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from provisioner.errors import Exit, ProvisionerError, of_option

__all__ = ["COLLECTION", "ansible_dir", "ensure_state_dir", "given", "state_dir"]

COLLECTION = "provisioner.gpu_hosts"
"""The name of the collection that the package brings."""


def ansible_dir() -> Path:
    """Return the folder of the collection: playbooks/, roles/, plugins/ and inventory/.

    A wheel brings it beside the package; in a checkout a link there leads to the checkout itself. Raise
    ProvisionerError where it is not there.
    """
    collection = Path(__file__).resolve().parents[2] / "ansible_collections" / COLLECTION.replace(".", "/")
    if not (collection / "playbooks").is_dir():
        raise ProvisionerError(f"the collection {COLLECTION} is not at {collection}", "install the package again")
    return collection.resolve()


def given(text: str) -> Path:
    """Return the absolute path of what a user named as `text`; there need be nothing yet.

    Raise ProvisionerError (code 2) where no file can have that path, no such user's home, a name too long, a link
    that leads to itself, and where we cannot use it: what is no text, what may not be looked at.
    """
    try:
        text.encode()  # a path that is not text cannot be passed to Ansible
        path = Path(text).expanduser().absolute()
        with suppress(FileNotFoundError, NotADirectoryError):
            os.stat(f"{path}/.")  # noqa: PTH116 - of a folder, what is in it must be there to be looked at as well
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if getattr(error, "errno", None) == errno.ENAMETOOLONG:
            text = f"{text[:40]}…"  # all of it would be all that the line has room for
        raise ProvisionerError(f"{text} cannot be used: {reason}", "name another place", Exit.BAD_INPUT) from error
    return path


def state_dir(override: str | None = None) -> Path:
    """Return the folder for runs, jobs and labs; it need not exist yet.

    The first of: `override`, $PROVISIONER_STATE_DIR, $XDG_STATE_HOME/provisioner, ~/.local/state/provisioner. Raise
    ProvisionerError (code 2) where it cannot be one.
    """
    for named, where in ((override, "--state-dir"), (os.environ.get("PROVISIONER_STATE_DIR"), "PROVISIONER_STATE_DIR")):
        if named:
            with of_option(where):
                return given(named)
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return given(os.path.join(base, "provisioner"))  # noqa: PTH118 - with its `~`


def ensure_state_dir(path: Path) -> Path:
    """Make `path`, for its owner alone, where it is missing, and write to it once to be sure that it can be.

    Raise ProvisionerError with code 2.
    """
    import tempfile  # noqa: PLC0415 - slow, and commands that only look need no probe

    try:
        if not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=0o700, exist_ok=True)
        # Asking for permissions says nothing about a read-only or a full file system; writing does.
        with tempfile.TemporaryFile(dir=path) as probe:
            probe.write(b"\0")
    except OSError as error:
        raise ProvisionerError(
            f"cannot write to the state directory {path}: {error.strerror or error}",
            "name another with --state-dir or PROVISIONER_STATE_DIR",
            Exit.BAD_INPUT,
        ) from error
    return path
