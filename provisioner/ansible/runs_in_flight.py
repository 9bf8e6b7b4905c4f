"""Remembers where each run in flight was last seen, so that `status` can tell, even after an interrupt.

A file for each host, <state>/inflight/<host>.json, there from the first sign of a run until its end was seen.
"""

import json
import time
from pathlib import Path
from typing import Any

from provisioner.ansible import answers, events
from provisioner.system import files
from provisioner.text import bounds, names

__all__ = ["Notes", "seen"]


class Notes:
    """A watcher that keeps the files of <state>/inflight/."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "inflight"

    def event(self, event: events.Event) -> None:
        """Note a run's progress; forget it when it has finished."""
        match event:
            case events.Progress(state="finished") | events.RecordFound() | events.Ended():
                # A host reports its ended runs first, then the one in flight.
                self._path(event.host).unlink(missing_ok=True)
            case events.Progress():
                self._write(event)

    def tick(self) -> None:
        """Do nothing between events."""

    def _path(self, host: str) -> Path:
        return self._folder / f"{host.replace('/', '_')}.json"

    def _write(self, progress: events.Progress) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._path(progress.host)
        new = path.with_suffix(".new")
        seen_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        new.write_text(json.dumps({**vars(progress), "seen_at": seen_at}), encoding="utf-8")
        new.replace(path)


def seen(state: Path) -> list[dict[str, Any]]:
    """Return, for each host with a run in flight, where it was last seen; times in seconds, seen_at in UTC."""
    found = []
    for path in sorted(state.glob("inflight/*.json")):
        try:
            note = json.loads(files.read(path, bounds.MIB))
            seen_at = {"host": names.host(note.get("host")), "seen_at": answers.text(note.get("seen_at"))}
            found.append(answers.progress(note) | seen_at)
        except (OSError, ValueError, AttributeError, RecursionError):
            continue  # gone, cut off or not ours
    return found
