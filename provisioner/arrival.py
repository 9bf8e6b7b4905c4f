"""How a run's evidence arrives on this machine: whole or not at all, also where two commands bring it at once."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from provisioner import archive, collect
from provisioner.evidence import RECORD, Evidence

__all__ = ["bring_in", "challenged", "is_here", "record"]


def is_here(folder: Path) -> bool:
    """Say whether the evidence of the run that `folder` is for has arrived; earlier versions kept it as loose files."""
    return (folder / archive.NAME).is_file() or (folder / "result.json").is_file()


def bring_in(packed: bytes, folder: Path, receipt: Callable[[bytes], Mapping[str, bytes]] = lambda _packed: {}) -> None:
    """Keep the evidence in a tar.gz of one folder, named as `folder` is, as the archive there, with its receipt.

    A record is not taken: it is made here, of the evidence. Raises ValueError where it is no such archive or larger
    than any evidence is, OSError where there is no room.
    """
    try:
        run_id, contents = archive.of_host(packed)
    except ValueError as error:
        raise ValueError(f"the evidence came broken: {error}") from error
    contents.pop(RECORD, None)
    if run_id != folder.name or "result.json" not in contents:
        raise ValueError("the evidence came without the run's result")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent, ignore_cleanup_errors=True) as path:
        arrived = Path(path) / folder.name
        arrived.mkdir()
        kept = archive.pack(run_id, contents)
        for name, data in {archive.NAME: kept, **receipt(kept)}.items():
            archive.write(arrived / name, data)
        with suppress(OSError):  # another command was quicker
            arrived.rename(folder)
    if not is_here(folder):
        raise OSError(f"{folder} is in the way; move it elsewhere")
    # What commands that were killed have left of this run.
    for left in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(left, ignore_errors=True)


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
