"""`provisioner facts`: prints the records of finished runs, or what a query makes of them."""

import sys
from argparse import Namespace
from pathlib import Path

from provisioner.commands.common import say, say_why_none
from provisioner.commands.typed_options import of_runs
from provisioner.errors import Exit, ProvisionerError, of_option
from provisioner.report import document, formats
from provisioner.report.formats import Format
from provisioner.store import Store, selection
from provisioner.store.selection import Selection
from provisioner.system import files
from provisioner.system.paths import given, state_dir

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Print the records that this machine has; --limit is of host names and wildcards."""
    if options.json and options.output not in {None, "json"}:
        raise ProvisionerError(
            f"--json and -o {options.output} contradict each other", "give one of them", Exit.BAD_INPUT
        )
    form = formats.of(formats.FACTS)[options.output or ("json" if options.json else "table")]
    store = Store(state_dir(options.state_dir))
    which = selection.of_options(of_runs(options))
    for name, of_file in formats.of(formats.FILES).items():
        if (path := getattr(options, name)) is not None:
            with of_option(f"--{name}"):
                return _file(store, which, of_file, given(path))
    if options.query is not None:
        return _answer(store, which, options.query, form)
    if form.name == "table":
        return _table(store, which, every=options.all)
    return _list(store, which, form)


def _table(store: Store, which: Selection, *, every: bool) -> int:
    """Print a row for each host, of its newest run; where a number of runs or every one was asked for, for each run."""
    records = store.records(which, document.TABLE_FIELDS)
    say_why_none(store, which, records)
    shown = records if every or which.last is not None else document.newest(records)
    if shown:
        print(document.runs_table(shown))
    if len(shown) < len(records):
        say(f"the newest run of each host; --all shows {len(records) - len(shown)} more, --last N the newest N")
    return Exit.DONE


def _file(store: Store, which: Selection, form: Format, path: Path) -> int:
    """Write whole records to a file."""
    texts = store.texts(which)
    say_why_none(store, which, texts)
    with files.replacing(path) as file:
        form.write(texts, file)
    say("; ".join(filter(None, (f"{len(texts)} runs are in {path}", form.hint))))
    return Exit.DONE


def _answer(store: Store, which: Selection, query: str, form: Format) -> int:
    """Print what the query selects."""
    records = store.records(which, document.fields_of(query))
    say_why_none(store, which, records)
    value = document.search(query, document.of(records))
    if value in (None, [], {}) and form.name in {"table", "csv"}:
        if records:  # that there are none has been said
            say("the query selects nothing")
    else:
        form.write(value, sys.stdout)
    return Exit.DONE


def _list(store: Store, which: Selection, form: Format) -> int:
    """Print whole records."""
    records = store.texts(which) if form.takes == formats.UNREAD else store.records(which)
    say_why_none(store, which, records)
    form.write(document.of(records), sys.stdout)
    return Exit.DONE
