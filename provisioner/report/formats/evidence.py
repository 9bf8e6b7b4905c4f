"""A tar of runs with their evidence and signatures, which `import` and `compare` judge anew."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from provisioner.store import evidence_export

if TYPE_CHECKING:
    from collections.abc import Iterable

    from provisioner.store import Run
    from provisioner.system.files import Written

__all__ = ["write"]


def write(runs: Iterable[Run], stream: IO[bytes] | Written) -> None:
    """Write runs that have evidence. Raise ValueError where one cannot be read, or they are more than an export has."""
    evidence_export.pack(runs, stream)
