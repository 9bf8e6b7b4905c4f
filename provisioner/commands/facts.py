"""`provisioner facts`: prints the records of finished runs, or what a query makes of them."""

from argparse import Namespace
from collections.abc import Collection
from pathlib import Path

from provisioner import facts, selection
from provisioner.commands.common import say
from provisioner.errors import Exit, ProvisionerError
from provisioner.paths import state_dir
from provisioner.selection import Selection
from provisioner.store import Store

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Print the records that this machine has; --limit is of host names and wildcards."""
    if options.json and options.output not in {None, "json"}:
        raise ProvisionerError(
            f"--json and -o {options.output} contradict each other", "give one of them", Exit.BAD_INPUT
        )
    form = options.output or ("json" if options.json else "table")
    store = Store(state_dir(options.state_dir))
    which = selection.of_options(options)
    records = store.records(which, None if options.trace else _fields(options.query, form))
    for line in store.warnings:
        say(line)
    if not records:
        _explain(store, which)
    if options.trace is not None:
        from provisioner import trace  # noqa: PLC0415 - it needs the record's types, which take a while to load

        trace.write(Path(options.trace), records)
        say(f"{len(records)} runs are in {options.trace}; open it at https://ui.perfetto.dev")
        return Exit.DONE
    document = facts.document(records)
    if not records and options.query is None and form == "table":
        return Exit.DONE
    value = document if options.query is None else facts.search(options.query, document)
    if value is None and form in {"table", "csv"}:
        say("the query selects nothing")
        return Exit.DONE
    print(facts.FORMATS[form](value))
    return Exit.DONE


def _explain(store: Store, which: Selection) -> None:
    """Say why there is no run; raises ProvisionerError (code 2) where it is for a host that there never was one on."""
    if which.hosts and not store.records(Selection(hosts=which.hosts), fields=()):
        raise ProvisionerError(
            f"no run on a host {' or '.join(which.hosts)}", "`provisioner facts` lists those there are", Exit.BAD_INPUT
        )
    if which == selection.EVERYTHING:
        say(f"no runs in {store.state}; `provisioner run` makes one")
    else:
        say("no run fits what was asked for; `provisioner facts` lists those there are")


def _fields(query: str | None, form: str) -> Collection[str] | None:
    """Give what is needed of each record, None for all of it."""
    if query is not None:
        return facts.fields_of(query)
    return facts.TABLE_FIELDS if form == "table" else None
