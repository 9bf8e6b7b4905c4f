"""`provisioner export FILE`: writes records as JSON lines, for other tools and for `compare` elsewhere."""

import sys
from argparse import Namespace
from pathlib import Path

from provisioner import files, selection
from provisioner.commands.common import print_json, say
from provisioner.errors import Exit
from provisioner.paths import state_dir
from provisioner.store import Store

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Write the records that are meant, newest first, one a line; the evidence stays where it is."""
    store = Store(state_dir(options.state_dir))
    lines = store.json_lines(selection.of_options(options))
    for line in store.warnings:
        say(line)
    text = "".join(f"{line}\n" for line in lines)
    if options.file == "-":
        sys.stdout.write(text)
        return Exit.DONE
    path = Path(options.file).expanduser().absolute()
    files.write(path, text)
    say(f"{len(lines)} records in {path}")
    if options.json:
        print_json({"file": str(path), "runs": len(lines)})
    return Exit.DONE
