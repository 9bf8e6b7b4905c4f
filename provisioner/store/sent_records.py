"""The records that a file from anywhere holds: `unverified`, as it tells them, or judged anew by their evidence."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from provisioner.errors import Exit, ProvisionerError
from provisioner.store import exported
from provisioner.system import files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from provisioner.runs.record_data import RecordData

__all__ = ["SentRecord", "as_told", "of_file"]

LARGEST = 256 * 2**20
"""Bytes of a file of records; an export of ten thousand runs has a quarter of that."""
XZ = b"\xfd7zXZ\0"
NOBODY = "elsewhere"
"""The host of a lone archive of evidence, which does not name it."""


class SentRecord(NamedTuple):
    """A record, and what its run was told to measure, as far as evidence says so."""

    record: RecordData
    inputs: Mapping[str, Any]


def of_file(path: Path, state: Path, most: int | None = None) -> list[SentRecord]:
    """Return the records of an export, with evidence or without, or of one run's archive; `state` is who asks.

    Raise ProvisionerError (code 2) where the file holds none, or evidence of more than `most` runs.
    """
    with _told(path):
        with path.open("rb") as file:
            beginning = file.read(512)
        if beginning.startswith(XZ):
            return [_of_archive(path)]
        if found := _of_tar(path, beginning, state, most):
            return found
    return [SentRecord(record | {"unverified": True}, {}) for record in as_told(path)]


def as_told(path: Path) -> list[RecordData]:
    """Return the records of a file, as it tells them. Raise ProvisionerError (code 2) where it holds none."""
    with _told(path):
        text = files.read(path, LARGEST, follow=True).decode()
    return exported.read(text, path)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Raise ProvisionerError (code 2), one line, where the block finds something that cannot be read."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ProvisionerError(f"cannot read {path}: {reason}", "give another file", Exit.BAD_INPUT) from error


def _of_archive(path: Path) -> SentRecord:
    from provisioner.audit.names import INPUTS  # noqa: PLC0415
    from provisioner.runs.evidence import Evidence  # noqa: PLC0415
    from provisioner.runs.record import plain  # noqa: PLC0415
    from provisioner.store import collect  # noqa: PLC0415 - most files are records, and this takes a while to load

    evidence = Evidence(path)
    return SentRecord(plain(collect.build(evidence, NOBODY)), evidence.mapping(INPUTS))


def _of_tar(path: Path, beginning: bytes, state: Path, most: int | None) -> list[SentRecord]:
    """Return the records of an export with evidence; none where it is no such file."""
    from provisioner.runs.record import plain  # noqa: PLC0415 - as above
    from provisioner.store import evidence_export  # noqa: PLC0415

    if not evidence_export.is_tar(beginning):
        return []
    with path.open("rb") as file:
        return [
            SentRecord(plain(found.record), found.inputs) for _, found in evidence_export.judge_all(file, state, most)
        ]
