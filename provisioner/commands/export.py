"""`provisioner export FILE`: writes records as JSON lines, or runs with their evidence."""

import sys
from argparse import Namespace

from provisioner.commands.common import print_json, say, say_why_none
from provisioner.errors import Exit, ProvisionerError
from provisioner.store import Store, selection
from provisioner.store.selection import Selection
from provisioner.system import files
from provisioner.system.paths import given, state_dir
from provisioner.text.display import counted

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Write the records that are meant, newest first, one a line; with --evidence a tar of all that proves them."""
    store = Store(state_dir(options.state_dir))
    which = selection.of_options(options)
    if options.evidence:
        return _with_evidence(store, which, options)
    texts = store.texts(which)
    say_why_none(store, which, texts)
    lines = (f"{text.json}\n" for text in texts)
    if options.file == "-":
        sys.stdout.writelines(lines)
        return Exit.DONE
    path = given(options.file)
    files.write(path, "".join(lines))
    say(f"{len(texts)} records in {path}")
    if options.json:
        print_json({"file": str(path), "runs": len(texts)})
    return Exit.DONE


def _with_evidence(store: Store, which: Selection, options: Namespace) -> int:
    from provisioner.store import evidence_export  # noqa: PLC0415 - records alone need none of it

    runs = store.list(which, fields=("run_id", "host"))
    say_why_none(store, which, runs)
    path = None if options.file == "-" else given(options.file)
    try:
        if path is None:
            left_out = evidence_export.pack(runs, sys.stdout.buffer)
        else:
            with files.replacing(path) as file:
                left_out = evidence_export.pack(runs, file)
    except ValueError as error:
        raise ProvisionerError(f"cannot export: {error}") from error
    if left_out:
        say(f"left out {counted(len(left_out), 'run')} that came without evidence: {', '.join(left_out)}")
    written = len(runs) - len(left_out)
    if path:
        say(f"{counted(written, 'run')} with evidence in {path}")
        if options.json:
            print_json({"file": str(path), "runs": written})
    return Exit.DONE
