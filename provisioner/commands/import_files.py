"""`provisioner import FILE…`: what `export` wrote, and logs of the shell benchmark, become runs of the store."""

import json
from argparse import Namespace
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from provisioner import upstream
from provisioner.commands.common import print_json, say, say_plain
from provisioner.errors import Exit, ProvisionerError
from provisioner.report import document
from provisioner.runs.record import plain
from provisioner.runs.record_data import RecordData
from provisioner.signatures.vouching import Vouching
from provisioner.store import Run, Store, evidence_export, exported
from provisioner.system.files import read
from provisioner.system.paths import given, state_dir
from provisioner.text import names
from provisioner.text.display import counted

__all__ = ["main"]


class Imported(NamedTuple):
    """A run that is in the store now, and who vouches for its evidence where somebody could."""

    run: Run
    vouching: Vouching | None = None


LARGEST = 64 * 2**20
"""Bytes; the log of a run has less than one hundredth of that, an export of ten thousand runs about as much."""


def main(options: Namespace) -> int:
    """Import each file; one that is refused does not hold up the others, and makes the exit code 2."""
    try:
        names.host(options.host)
    except ValueError as error:
        raise ProvisionerError(f"--host {error}", "give a name that a folder can have", Exit.BAD_INPUT) from error
    store = Store(state_dir(options.state_dir))
    store.check()
    imported: list[Imported] = []
    refused = 0
    for name in options.file:
        try:
            imported += _import(given(name), options.host, store)
        except ProvisionerError as error:
            say(str(error))
            refused += 1
    runs = [one.run for one in imported]
    records = [run.record for run in sorted(runs, key=lambda run: run.started, reverse=True)]
    if options.json:
        print_json(document.of(records))
    elif records:
        print(document.runs_table(records))
    for run, vouching in imported:
        say_plain(f"evidence of {run.run_id} on {run.host}: {run.folder}")
        for line in vouching.lines() if vouching else ():
            say_plain(f"  {line}")
    if refused:
        return Exit.BAD_INPUT
    return Exit.REJECTED if any(map(_is_rejected, imported)) else Exit.DONE


def _is_rejected(one: Imported) -> bool:
    """Return whether evidence that came was rejected here, or a signature of it is wrong."""
    return bool(one.vouching and (one.vouching.accuses or one.run.record["audit"]["verdict"] == "rejected"))


def _import(path: Path, host: str, store: Store) -> list[Imported]:
    """Put what is in a file into the store, all of it or nothing. Raise ProvisionerError."""
    if _is_tar(path):
        return _with_evidence(path, store)
    data = _read(path)
    text = upstream.decode(data)
    if text.startswith("{"):
        records = exported.read(text, path)
        say(f"{path}: {counted(len(records), 'record')} without evidence: unverified")
        return [Imported(run) for run in store.add_all((record, {}) for record in _new(records, store))]
    try:
        record = upstream.record_of(text, host)
    except upstream.NotALogError as error:
        raise ProvisionerError(
            f"{path} is not a log of the shell benchmark: {error}", "give a log of scenario_runner.sh", Exit.BAD_INPUT
        ) from error
    return [Imported(store.add(plain(record), {upstream.log_name(record.scenario): data}))]


def _is_tar(path: Path) -> bool:
    """Return whether a file is one of runs with their evidence. What cannot be read is refused where it is read."""
    try:
        return path.is_file() and evidence_export.is_tar(_beginning(path))
    except OSError:
        return False


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def _with_evidence(path: Path, store: Store) -> list[Imported]:
    """Judge every run of a tar, then take them in, unless the store has them already and with evidence.

    What came with them as their records is not looked at. Raise ProvisionerError.
    """
    try:
        judged = _judged(path, store.state)
        records = [plain(found.record) for found in judged.values()]
        wanted = {(one["host"], one["run_id"]): one for one in _new(records, store, verified=True)}
        there = [run for names_of_run in wanted if (run := store.find(*names_of_run))]
        stay = {run.folder for run in there if not run.record.get("unverified")}
        with path.open("rb") as file:
            over = [run for run in there if run.folder not in stay]
            runs = store.add_all(((wanted[name], evidence) for name, evidence in _sent(file, wanted)), over=over)
    except (OSError, ValueError) as error:
        what = f"{path} is not what `provisioner export --evidence` writes: {error}"
        raise ProvisionerError(what, "nothing of it was imported; ask for it again", Exit.BAD_INPUT) from error
    for run in runs:
        if run.folder in stay:
            say(f"run {run.run_id} on {run.host} is here already, and stays as it is")
    return [Imported(run, None if run.folder in stay else judged[run.host, run.run_id].vouching) for run in runs]


def _sent(file: IO[bytes], wanted: Collection[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], dict[str, bytes]]]:
    """Yield the host and id of each run of a tar that is wanted, with its evidence."""
    for sent in evidence_export.unpack(file):
        if (sent.host, sent.run_id) in wanted:
            yield (sent.host, sent.run_id), evidence_export.evidence_of(sent)


def _judged(path: Path, state: Path) -> dict[tuple[str, str], evidence_export.JudgedRun]:
    """Return what the evidence of each run of a tar proves, by host and id. Raise OSError, ValueError."""
    with path.open("rb") as file:
        judged = {(sent.host, sent.run_id): found for sent, found in evidence_export.judge_all(file, state)}
    if not judged:
        raise ValueError("there is no run in it")
    return judged


def _new(records: list[RecordData], store: Store, *, verified: bool = False) -> list[RecordData]:
    """Return the records without those of a run that is here, or among them, under another name or host; say which.

    What only claims to be of some evidence does not stand in the way of those that are: `verified`.
    """
    known: dict[tuple[str, str], tuple[str, str]] = {}
    for record in store.records(fields=("evidence_sha256", "compile.ledger", "unverified")):
        if not (verified and record["unverified"]):
            known |= dict.fromkeys(_marks(record), (record["host"], record["run_id"]))
    new = []
    for record in records:
        own, marks = (record["host"], record["run_id"]), list(_marks(record))
        others = [known[mark] for mark in marks if known.get(mark, own) != own]
        if others:
            say(f"run {own[1]} on {own[0]} has the same evidence as {others[0][1]}: left out")
            continue
        known |= dict.fromkeys(marks, own)
        new.append(record)
    return new


def _marks(record: RecordData) -> Iterator[tuple[str, str]]:
    """Yield what two records have in common where they are of one run alone: the evidence, or when each object came."""
    if record.get("evidence_sha256"):
        yield "evidence", str(record["evidence_sha256"])
    ledger = (record.get("compile") or {}).get("ledger")
    if ledger:
        yield "ledger", json.dumps(ledger, sort_keys=True)


def _read(path: Path) -> bytes:
    try:
        return read(path, LARGEST, follow=True)
    except ValueError as error:
        raise ProvisionerError(str(error), "give a log", Exit.BAD_INPUT) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ProvisionerError(f"cannot read {path}: {reason}", "give a log", Exit.BAD_INPUT) from error
