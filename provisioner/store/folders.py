"""Makes and removes the folders of runs, each at once: a kill leaves nothing that could be taken for a run."""

import shutil
import tempfile
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from provisioner.errors import ProvisionerError
from provisioner.system.paths import ensure_state_dir

__all__ = ["make", "remove"]


def make(state: Path, contents: Iterable[tuple[Path, Mapping[str, bytes]]], over: Collection[Path] = ()) -> None:
    """Make runs' folders, below `state`, with files by their names: all of them or none. Raise ProvisionerError.

    Those of `over` are there and are replaced; what was there goes when all is done.
    """
    ensure_state_dir(state)
    folder = state
    try:
        # Undo before the temporary folder is removed.
        with tempfile.TemporaryDirectory(dir=state, prefix="incoming-") as made, ExitStack() as undo:
            staged = []
            for number, (folder, content) in enumerate(contents):
                part = Path(made, str(number), "new")
                part.mkdir(mode=0o700, parents=True)
                for name, data in content.items():
                    (part / name).write_bytes(data)
                staged.append((part, folder))
            for part, folder in staged:
                folder.parent.mkdir(parents=True, exist_ok=True)
                if folder in over:
                    old = folder.rename(part.with_name("old"))
                    undo.callback(old.rename, folder)
                part.rename(folder)
                undo.callback(folder.rename, part)
            undo.pop_all()
    except OSError as error:
        raise ProvisionerError(
            f"cannot keep run {folder.name}: {error.strerror or error}", f"look at {folder}, or make room"
        ) from error


def remove(state: Path, folder: Path) -> None:
    """Remove a run's folder. Raise ProvisionerError.

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
