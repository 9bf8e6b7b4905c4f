"""`provisioner import LOG…`: logs of the original shell benchmark, and exported records, become runs of the store."""

import sys
from argparse import Namespace
from pathlib import Path

from provisioner import bounds, exported, facts, names, upstream
from provisioner.commands.common import print_json, say
from provisioner.errors import Exit, ProvisionerError
from provisioner.files import read
from provisioner.paths import given, state_dir
from provisioner.store import Run, Store
from provisioner.text import printable

__all__ = ["main"]

LARGEST = 64 * 2**20
"""Bytes; the log of a run has less than one hundredth of that, an export of ten thousand runs about as much."""


def main(options: Namespace) -> int:
    """Import each file; one that is refused does not hold up the others, and makes the exit code 2."""
    try:
        names.host(options.host)
    except ValueError as error:
        raise ProvisionerError(f"--host {error}", "give one that a folder can have", Exit.BAD_INPUT) from error
    store = Store(state_dir(options.state_dir))
    store.check()
    runs: list[Run] = []
    refused = 0
    for name in options.file:
        try:
            runs += _import(given(name), options.host, store)
        except ProvisionerError as error:
            say(str(error))
            refused += 1
    records = [run.record for run in sorted(runs, key=lambda run: run.started, reverse=True)]
    if options.json:
        print_json(facts.document(records))
    elif records:
        print(facts.runs_table(records))
    for run in runs:
        print(printable(f"evidence of {run.run_id} on {run.host}: {run.folder}", bounds.LINE), file=sys.stderr)
    return Exit.BAD_INPUT if refused else Exit.DONE


def _import(path: Path, host: str, store: Store) -> list[Run]:
    """Put what is in a file into the store. Raises ProvisionerError."""
    data = _read(path)
    text = upstream.decode(data)
    if text.startswith("{"):
        return [store.add(record, {}) for record in exported.read(text, path)]
    try:
        record = upstream.record_of(text, host)
    except upstream.NotALogError as error:
        raise ProvisionerError(
            f"{path} is no log of the shell benchmark: {error}", "give a log of scenario_runner.sh", Exit.BAD_INPUT
        ) from error
    return [store.add(record.model_dump(mode="json"), {upstream.log_name(record.scenario): data})]


def _read(path: Path) -> bytes:
    try:
        return read(path, LARGEST, follow=True)
    except ValueError as error:
        raise ProvisionerError(str(error), "give a log", Exit.BAD_INPUT) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ProvisionerError(f"cannot read {path}: {reason}", "give a log", Exit.BAD_INPUT) from error
