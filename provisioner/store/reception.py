"""How a run's evidence arrives on this machine: whole or not at all, also where two commands bring it at once."""

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from provisioner.runs import archive
from provisioner.runs.evidence import RECORD, Evidence
from provisioner.runs.record import plain
from provisioner.runs.record_data import RecordData
from provisioner.store import collect
from provisioner.system import files
from provisioner.text import jsontext

__all__ = ["bring_in", "is_here", "record"]

STALE = 3600
"""Seconds after which a temporary folder is what a killed command has left."""


def is_here(folder: Path) -> bool:
    """Return whether the evidence of the run of `folder` has arrived; earlier versions kept it as loose files."""
    return (folder / archive.NAME).is_file() or (folder / "result.json").is_file()


def bring_in(
    packed: bytes,
    folder: Path,
    receipt: Callable[[bytes], Mapping[str, bytes]] = lambda _packed: {},
    *,
    challenge: str | None = None,
) -> None:
    """Keep the evidence in a tar.gz of one folder, named as `folder` is, as the archive there, with its receipt.

    A record is not taken: it is made here, of the evidence. Raise ValueError where it is no such archive, is larger
    than any evidence is, or has another `challenge` than was chosen here for its run, OSError where there is no room.
    """
    try:
        run_id, contents = archive.of_host(packed)
        run = jsontext.loads(contents["run.json"].decode()) if challenge and "run.json" in contents else {}
    except ValueError as error:
        raise ValueError(f"the evidence came broken: {error}") from error
    contents.pop(RECORD, None)
    if run_id != folder.name or "result.json" not in contents:
        raise ValueError("the evidence came without the run's result")
    _hold_against(challenge, run)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        _put(folder, archive.pack(run_id, contents), receipt)
    except OSError as error:
        if not is_here(folder):  # else another command was quicker
            raise OSError(f"{folder} is in the way; move it elsewhere") if folder.exists() else error from error
    _sweep(folder)


def record(folder: Path, host: str, *, challenge: str | None = None) -> RecordData:
    """Return the record of the run whose evidence lies in `folder`, as plain data; it is kept beside the evidence.

    Raise ValueError where the evidence is not that of the run that the folder is named after, or has another
    `challenge` than was chosen here for it, OSError where there is no room.
    """
    run = Evidence(folder).run
    if run["run_id"] != folder.name:
        raise ValueError(f"the evidence is that of run {run['run_id']}")
    _hold_against(challenge, run)
    kept = collect.of_evidence(folder, host)
    if (kept.run_id, kept.host) != (folder.name, host):
        raise ValueError(f"{folder / 'record.json'} is of run {kept.run_id} on {kept.host}; move it elsewhere")
    return plain(kept)


def _put(folder: Path, kept: bytes, receipt: Callable[[bytes], Mapping[str, bytes]]) -> None:
    """Put an archive and its receipt into `folder`, by a rename. Raise OSError."""
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent, ignore_cleanup_errors=True) as path:
        arrived = Path(path) / folder.name
        arrived.mkdir()
        for name, data in {archive.NAME: kept, **receipt(kept)}.items():
            files.put(arrived / name, data)
        arrived.rename(folder)


def _sweep(folder: Path) -> None:
    """Remove what commands that were killed have left of this run; one that is at work is not that old."""
    for left in folder.parent.glob(f".{folder.name}.*"):
        with suppress(OSError):
            if time.time() - left.lstat().st_mtime > STALE:
                shutil.rmtree(left, ignore_errors=True)


def _hold_against(challenge: str | None, run: Any) -> None:
    """Raise ValueError where a run, by its run.json, has not the challenge that was chosen here for it, if one was."""
    if challenge and not (isinstance(run, dict) and run.get("challenge") == challenge):
        raise ValueError("it has another challenge than this controller chose for it: somebody made its evidence")
