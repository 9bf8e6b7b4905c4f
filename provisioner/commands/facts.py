"""`provisioner facts`: prints the records of finished runs, or what a query makes of them."""

import sys
from argparse import Namespace
from pathlib import Path

from provisioner.commands.common import say, say_why_none
from provisioner.errors import Exit, ProvisionerError, of_option
from provisioner.report import facts
from provisioner.store import Store, selection
from provisioner.store.selection import Selection
from provisioner.system.paths import given, state_dir

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
    if options.trace is not None:
        with of_option("--trace"):
            return _trace(store, which, given(options.trace))
    if options.query is not None:
        return _answer(store, which, options.query, form)
    if form == "table":
        return _table(store, which, every=options.all)
    return _list(store, which, form)


def _table(store: Store, which: Selection, *, every: bool) -> int:
    """Print a row for each host, of its newest run; where a number of runs or every one was asked for, for each run."""
    records = store.records(which, facts.TABLE_FIELDS)
    say_why_none(store, which, records)
    shown = records if every or which.last is not None else facts.newest(records)
    if shown:
        print(facts.runs_table(shown))
    if len(shown) < len(records):
        say(f"the newest run of each host; --all shows {len(records) - len(shown)} more, --last N the newest N")
    return Exit.DONE


def _trace(store: Store, which: Selection, path: Path) -> int:
    from provisioner.report import trace  # noqa: PLC0415 - it needs the record's types, which take a while to load

    texts = store.texts(which)
    say_why_none(store, which, texts)
    trace.write(path, texts)
    say(f"{len(texts)} runs are in {path}; open it at https://ui.perfetto.dev")
    return Exit.DONE


def _answer(store: Store, which: Selection, query: str, form: str) -> int:
    """Print what the query selects."""
    records = store.records(which, facts.fields_of(query))
    say_why_none(store, which, records)
    value = facts.search(query, facts.document(records))
    if value in (None, [], {}) and form in {"table", "csv"}:
        if records:  # that there are none has been said
            say("the query selects nothing")
    else:
        print(facts.FORMATS[form](value))
    return Exit.DONE


def _list(store: Store, which: Selection, form: str) -> int:
    """Print whole records."""
    from provisioner.report import document  # noqa: PLC0415 - most uses need none of it

    texts = store.texts(which)
    say_why_none(store, which, texts)
    if texts:
        document.FORMATS[form](texts, sys.stdout)
    else:
        print(facts.FORMATS[form](facts.document([])))
    return Exit.DONE
