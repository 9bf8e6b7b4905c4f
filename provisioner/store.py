"""The runs that this machine knows: a folder of evidence with its record each, <state>/runs/<host>/<run_id>/."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from provisioner.errors import Exit, ProvisionerError
from provisioner.record import Record
from provisioner.selection import EVERYTHING, Selection

__all__ = ["Run", "Store"]


@dataclass(frozen=True)
class Run:
    """A finished run: its record as it was written, newer fields included, and the folder of its evidence."""

    record: dict[str, Any]
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


@dataclass
class Store:
    """Reads the runs below a state directory; it need not exist.

    After list(), `broken` has a line for each record that could not be read; those files are left alone.
    """

    state: Path
    broken: list[str] = field(default_factory=list)

    def list(self, which: Selection = EVERYTHING, fields: Collection[str] | None = None) -> list[Run]:
        """Give the runs that are meant, newest first; of their records only `fields` (top level), where given."""
        self.broken = []
        runs = [run for path in sorted(self.state.glob("runs/*/*/record.json")) if (run := self._read(path))]
        runs = sorted(runs, key=lambda run: (run.started, run.run_id), reverse=True)
        if fields is not None:
            runs = [replace(run, record={key: run.record.get(key) for key in fields}) for run in runs]
        meant = [run for run in runs if not which.hosts or any(fnmatchcase(run.host, name) for name in which.hosts)]
        meant = [run for run in meant if which.since is None or run.started >= which.since]
        meant = [run for run in meant if which.until is None or run.started < which.until]
        return meant[: which.last]

    def get(self, run_id: str) -> Run:
        """Give the run whose id is, or uniquely begins with, `run_id`; raises ProvisionerError (code 2)."""
        runs = self.list()
        found = [run for run in runs if run.run_id == run_id] or [
            run for run in runs if run_id and run.run_id.startswith(run_id)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(run.run_id for run in found[:5])
            raise ProvisionerError(
                f"{run_id!r} begins more than one run's id: {names}", "give more of it", Exit.BAD_INPUT
            )
        raise ProvisionerError(f"no run {run_id!r}", "`provisioner facts` lists them", Exit.BAD_INPUT)

    def _read(self, path: Path) -> Run | None:
        try:
            text = path.read_text(encoding="utf-8")
            Record.model_validate_json(text)
            record = json.loads(text)
            started = datetime.fromisoformat(record["started_at"])
            # Compared with others: without a zone it is UTC, as the schema says.
            return Run(record, path.parent, started if started.tzinfo else started.replace(tzinfo=UTC))
        except (OSError, ValueError) as error:
            lines = str(error).splitlines()
            self.broken.append(f"{path} is not a record and is left out: {' '.join(lines[:3])}")
            return None
