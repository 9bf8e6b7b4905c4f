"""Makes and removes the folders of runs, each at once: a kill leaves nothing that could be taken for a run."""

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from provisioner.errors import ProvisionerError
from provisioner.paths import ensure_state_dir

__all__ = ["make", "remove"]


def make(state: Path, folder: Path, content: Mapping[str, bytes]) -> None:
    """Make a run's folder, below `state`, with files by their names. Raises ProvisionerError."""
    ensure_state_dir(state)
    try:
        with tempfile.TemporaryDirectory(dir=state, prefix="incoming-") as made:
            part = Path(made) / folder.name
            part.mkdir(mode=0o700)
            for name, data in content.items():
                (part / name).write_bytes(data)
            folder.parent.mkdir(parents=True, exist_ok=True)
            part.rename(folder)
    except OSError as error:
        raise ProvisionerError(
            f"cannot keep run {folder.name}: {error.strerror or error}", f"look at {folder}, or make room"
        ) from error


def remove(state: Path, folder: Path) -> None:
    """Remove a run's folder. Raises ProvisionerError.

    It is gone by a rename; what a kill leaves of it after that goes with the next one that is removed.
    """
    trash = state / "deleted"
    try:
        trash.mkdir(mode=0o700, exist_ok=True)
        folder.rename(Path(tempfile.mkdtemp(dir=trash)) / folder.name)
        shutil.rmtree(trash)
    except OSError as error:
        raise ProvisionerError(f"cannot delete run {folder.name}: {error}", f"look at {folder}") from error
    with suppress(OSError):
        folder.parent.rmdir()  # its host's last run
