"""How a run's evidence arrives on this machine: whole or not at all, also where two commands bring it at once."""

import gzip
import io
import shutil
import tarfile
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from provisioner import bounds, collect, names
from provisioner.evidence import Evidence

__all__ = ["bring_in", "challenged", "is_here", "record"]


def is_here(folder: Path) -> bool:
    """Say whether the evidence of the run that `folder` is for has arrived."""
    return (folder / "result.json").is_file()


def bring_in(archive: bytes, folder: Path) -> None:
    """Unpack a tar.gz of one folder, named as `folder` is, there.

    Raises ValueError where it is no such archive or larger than any evidence is, OSError where there is no room.
    """
    if len(archive) > bounds.ARCHIVE:
        raise ValueError(f"the evidence came as an archive of more than {bounds.ARCHIVE >> 20} MiB")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent, ignore_cleanup_errors=True) as path:
        try:
            with _Bounded(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
                _unpack(tar, Path(path))
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, RecursionError, ValueError) as error:
            raise ValueError(f"the evidence came broken: {error}") from error
        except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
            raise ValueError("the evidence came broken: it has a file and a folder of one name") from error
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


class _Bounded(gzip.GzipFile):
    """What is packed in an archive, as far as evidence may be long. Its headers and what is skipped count, too."""

    def __init__(self, archive: bytes) -> None:
        super().__init__(fileobj=io.BytesIO(archive))
        self._left = bounds.EVIDENCE

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(self._left + 1 if size is None or size < 0 else min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"unpacked it has more than {bounds.EVIDENCE >> 20} MiB")
        return data


def _unpack(tar: tarfile.TarFile, into: Path) -> None:
    """Write the folders and regular files of an archive, which a host made and nobody vouches for, below `into`.

    In place of extractall's filter="data", which Debian 12's Python 3.11.2 does not have yet. A record is not taken:
    it is made here, of the evidence.
    """
    for number, member in enumerate(tar, 1):
        if number > bounds.FILES:
            raise tarfile.TarError(f"it has more than {bounds.FILES} files")
        name = names.file(member.name)
        path = names.inside(into, name)
        source = tar.extractfile(member) if member.isreg() else None
        if source and name.parts[1:] != ("record.json",):
            path.parent.mkdir(parents=True, exist_ok=True)
            with source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
        elif member.isdir():
            path.mkdir(parents=True, exist_ok=True)


def challenged(folder: Path, challenge: str | None) -> None:
    """Do nothing where a run had the challenge that was chosen here for it, or none was. Raise ValueError otherwise."""
    if challenge and Evidence(folder).run.get("challenge") != challenge:
        raise ValueError("it has another challenge than this controller chose for it: somebody made its evidence")


def record(folder: Path, host: str) -> dict[str, Any]:
    """Give the record of the run whose evidence lies in `folder`, as plain data; it is kept beside the evidence.

    Raises ValueError where the evidence is not that of the run that the folder is named after, OSError where there is
    no room.
    """
    run_id = Evidence(folder).run["run_id"]
    if run_id != folder.name:
        raise ValueError(f"the evidence is that of run {run_id}")
    kept = collect.of_evidence(folder, host)
    if (kept.run_id, kept.host) != (run_id, host):
        raise ValueError(f"{folder / 'record.json'} is of run {kept.run_id} on {kept.host}; move it elsewhere")
    return kept.model_dump(mode="json")
