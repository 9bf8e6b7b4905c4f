"""`provisioner status`: the runs in flight, where they were last seen, and those that have finished."""

from argparse import Namespace

from provisioner import facts, inflight
from provisioner.commands.common import print_json, say
from provisioner.errors import Exit
from provisioner.paths import state_dir
from provisioner.store import Store
from provisioner.text import duration, table

__all__ = ["main"]


def main(options: Namespace) -> int:
    """List what this machine knows of; no host is asked."""
    state = state_dir(options.state_dir)
    store = Store(state)
    records = store.records(fields=None if options.json else facts.TABLE_FIELDS)
    for line in store.warnings:
        say(line)
    finished = {record["run_id"] for record in records}
    flying = [note for note in inflight.seen(state) if note.get("run_id") not in finished]
    if options.json:
        print_json({"in_flight": flying, "runs": records})
        return Exit.DONE
    if flying:
        rows = [
            [
                note["host"],
                note["phase"],
                _objects(note),
                duration(note["elapsed"]),
                note["seen_at"],
                note["run_id"],
            ]
            for note in flying
        ]
        print(table(["host", "phase", "objects", "elapsed", "last seen", "run in flight"], rows), end="\n\n")
    if records:
        print(facts.runs_table(records))
    if not records and not flying:
        say(f"no runs in {state}; `provisioner run` makes one")
    return Exit.DONE


def _objects(note: dict[str, object]) -> str | None:
    return f"{note['done']}/{note['total']}" if note.get("total") else None
