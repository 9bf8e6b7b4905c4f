"""How a run's evidence arrives on this machine: whole or not at all, also where two commands bring it at once."""

import io
import shutil
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from provisioner import collect

__all__ = ["bring_in", "is_here", "record"]


def is_here(folder: Path) -> bool:
    """Say whether the evidence of the run that `folder` is for has arrived."""
    return (folder / "result.json").is_file()


def bring_in(archive: bytes, folder: Path) -> None:
    """Unpack a tar archive of one folder, named as `folder` is, there.

    Raises ValueError where it is no such archive, OSError where there is no room.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent, ignore_cleanup_errors=True) as path:
        try:
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                tar.extractall(path, filter="data")
        except (tarfile.TarError, EOFError) as error:
            raise ValueError(f"the evidence came broken: {error}") from error
        arrived = Path(path) / folder.name
        if not is_here(arrived):
            raise ValueError("the evidence came without the run's result")
        with suppress(OSError):  # another command was quicker
            arrived.rename(folder)
    if not is_here(folder):
        raise OSError(f"{folder} is in the way; move it elsewhere")
    # What commands that were killed have left of this run.
    for left in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(left, ignore_errors=True)


def record(folder: Path, host: str) -> dict[str, Any]:
    """Give the record of the run whose evidence lies in `folder`, as plain data; it is kept beside the evidence.

    Raises ValueError where the evidence is not that of a run, OSError where there is no room.
    """
    return collect.of_evidence(folder, host).model_dump(mode="json")
