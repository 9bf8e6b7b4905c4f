"""How a run's evidence arrives on this machine: whole or not at all, also where two commands bring it at once."""

import io
import shutil
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
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
                _unpack(tar, Path(path))
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


def _unpack(tar: tarfile.TarFile, into: Path) -> None:
    """Write the folders and regular files of an archive, which a host made and nobody vouches for, below `into`.

    In place of extractall's filter="data", which Debian 12's Python 3.11.2 does not have yet.
    """
    for member in tar:
        name = PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts:
            raise tarfile.TarError(f"{member.name!r} would lie outside of it")
        source = tar.extractfile(member) if member.isreg() else None
        if source:
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            with source, (into / name).open("wb") as target:
                shutil.copyfileobj(source, target)
        elif member.isdir():
            (into / name).mkdir(parents=True, exist_ok=True)


def record(folder: Path, host: str) -> dict[str, Any]:
    """Give the record of the run whose evidence lies in `folder`, as plain data; it is kept beside the evidence.

    Raises ValueError where the evidence is not that of a run, OSError where there is no room.
    """
    return collect.of_evidence(folder, host).model_dump(mode="json")
