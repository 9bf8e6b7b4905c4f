"""`provisioner export FILE`: writes records as JSON lines, or runs with their evidence."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from provisioner.commands.common import print_json, say, say_why_none
from provisioner.commands.typed_options import of_runs
from provisioner.errors import Exit, ProvisionerError
from provisioner.report import formats
from provisioner.report.formats import Format
from provisioner.store import Run, Store, Text, selection
from provisioner.system import files
from provisioner.system.paths import given, state_dir
from provisioner.text.display import counted

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Write the records that are meant, newest first, one a line; with --evidence a tar of all that proves them."""
    store = Store(state_dir(options.state_dir))
    which = selection.of_options(of_runs(options))
    first, *others = formats.of(formats.EXPORT).values()
    form = next((other for other in others if getattr(options, other.name)), first)
    if form.takes == formats.TEXTS:
        texts = store.texts(which)
        say_why_none(store, which, texts)
        return _export(form, texts, f"{len(texts)} records", options)
    runs = store.list(which, fields=("run_id", "host"))
    say_why_none(store, which, runs)
    kept, left_out = _apart(runs)
    return _export(form, kept, f"{counted(len(kept), 'run')} with evidence", options, left_out)


def _export(
    form: Format, found: Sequence[Text] | Sequence[Run], what: str, options: Namespace, left_out: Sequence[str] = ()
) -> int:
    """Write what was found, and say what that is and which runs are not in it."""
    path = None if options.file == "-" else given(options.file)
    try:
        _write(form, found, path)
    except ValueError as error:
        raise ProvisionerError(f"cannot export: {error}") from error
    if left_out:
        say(f"left out {counted(len(left_out), 'run')} that came without evidence: {', '.join(left_out)}")
    if path:
        say(f"{what} in {path}")
        if options.json:
            print_json({"file": str(path), "runs": len(found)})
    return Exit.DONE


def _write(form: Format, found: Sequence[Text] | Sequence[Run], path: Path | None) -> None:
    if path is None:
        form.write(found, sys.stdout.buffer if form.takes == formats.RUNS else sys.stdout)
        return
    with files.replacing(path) as file:
        form.write(found, file)


def _apart(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Return the runs that have evidence, and the ids of those that came without."""
    from provisioner.store.evidence_export import has_evidence  # noqa: PLC0415 - records alone need none of it

    kept: list[Run] = []
    left_out: list[str] = []
    for run in runs:
        if has_evidence(run.folder):
            kept.append(run)
        else:
            left_out.append(run.run_id)
    return kept, left_out
