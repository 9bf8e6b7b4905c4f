"""Turn a run's evidence into its record: a pure function of the evidence folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provisioner.audit.judge import judge
from provisioner.runs import figures
from provisioner.runs.evidence import MISSHAPEN, Evidence
from provisioner.runs.record import Record, load
from provisioner.system import files
from provisioner.text import bounds

if TYPE_CHECKING:
    from pathlib import Path


def of_evidence(folder: Path, host: str) -> Record:
    """Return the record of the run whose evidence lies in `folder`, and keep it there as record.json.

    Where record.json is there already it is returned as it is. Raise ValueError where the folder holds no run.
    """
    kept = folder / "record.json"
    if kept.exists():
        return load(kept)
    record = build(Evidence(folder), host)
    text = record.model_dump_json(indent=2) + "\n"
    if len(text) > bounds.JSON_FILE:
        raise ValueError(f"its record would have more than {bounds.JSON_FILE >> 20} MiB")
    files.put(kept, text.encode())
    return record


def build(evidence: Evidence, host: str) -> Record:
    """Return the record that the evidence proves; the host is named as the inventory names it.

    Raise ValueError where the evidence is not of the shape that a run writes.
    """
    try:
        return Record(host=host, audit=judge(evidence), **figures.of(evidence))
    except MISSHAPEN as error:
        what = f"{type(error).__name__} {error}" if not isinstance(error, ValueError) else str(error)
        raise ValueError(f"its evidence does not have the form that a run writes: {what}") from error
