"""`provisioner export FILE`: writes records as JSON lines, for other tools and for `compare` elsewhere."""

import sys
from argparse import Namespace

from provisioner import files, selection
from provisioner.commands.common import print_json, say, say_why_none
from provisioner.errors import Exit
from provisioner.paths import given, state_dir
from provisioner.store import Store

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Write the records that are meant, newest first, one a line; the evidence stays where it is."""
    store = Store(state_dir(options.state_dir))
    which = selection.of_options(options)
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
