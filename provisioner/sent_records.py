"""The records that a file from anywhere holds: as they are told in it, or judged anew where it has the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from provisioner import exported, files
from provisioner.errors import Exit, ProvisionerError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SentRecords", "of_file"]

LARGEST = 256 * 2**20
"""Bytes of a file of records; an export of ten thousand runs has a quarter of that."""
XZ = b"\xfd7zXZ\0"
NOBODY = "elsewhere"
"""The host of a lone archive of evidence, which does not name it."""


class SentRecords(NamedTuple):
    """Records, newest or first told first, and whether their verdicts were found here."""

    records: list[dict[str, Any]]
    judged: bool


def of_file(path: Path, state: Path) -> SentRecords:
    """Return the records of an export, with evidence or without, or of one run's archive; `state` is who asks.

    Raise ProvisionerError (code 2) where the file holds none.
    """
    try:
        with path.open("rb") as file:
            beginning = file.read(512)
        if beginning.startswith(XZ):
            return SentRecords([_of_archive(path)], judged=True)
        if found := _of_tar(path, beginning, state):
            return SentRecords(found, judged=True)
        text = files.read(path, LARGEST, follow=True).decode()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ProvisionerError(f"cannot read {path}: {reason}", "give another file", Exit.BAD_INPUT) from error
    return SentRecords(exported.read(text, path), judged=False)


def _of_archive(path: Path) -> dict[str, Any]:
    from provisioner import collect  # noqa: PLC0415 - most files are records, and this takes a while to load
    from provisioner.evidence import Evidence  # noqa: PLC0415

    return collect.build(Evidence(path), NOBODY).model_dump(mode="json")


def _of_tar(path: Path, beginning: bytes, state: Path) -> list[dict[str, Any]]:
    """Return the records of an export with evidence; none where it is no such file."""
    from provisioner import evidence_export  # noqa: PLC0415 - as above

    if not evidence_export.is_tar(beginning):
        return []
    with path.open("rb") as file:
        return [evidence_export.judged(sent, state)[0].model_dump(mode="json") for sent in evidence_export.unpack(file)]
