"""A finished run, as the store gives it."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from provisioner.runs.record_data import RecordData

__all__ = ["Run"]


@dataclass(frozen=True)
class Run:
    """A finished run: its record as it was written, newer fields included, and the folder of its evidence."""

    record: RecordData
    folder: Path
    started: datetime

    @property
    def run_id(self) -> str:
        """The run's name, unique among all hosts' runs."""
        return str(self.record["run_id"])

    @property
    def host(self) -> str:
        """The inventory's name of the host it ran on."""
        return str(self.record["host"])
