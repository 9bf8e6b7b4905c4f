"""`provisioner lab dresses`: lists what a lab host can be dressed as."""

from argparse import Namespace

from provisioner.commands.common import print_json
from provisioner.errors import Exit
from provisioner.lab import dress
from provisioner.view.tables import table

__all__ = ["main"]


def main(options: Namespace) -> int:
    """List the dresses, each with its releases, what `prepare` makes of it, and what it is."""
    dresses = [dress.load(name) for name in dress.names()]
    if options.json:
        print_json([one.model_dump(mode="json", exclude={"script"}) for one in dresses])
        return Exit.DONE
    rows = [[one.name, ", ".join(map(str, one.debian)), one.expect.prepare, one.what.strip()] for one in dresses]
    print(table(["dress", "debian", "prepare", "what the site has"], rows))
    return Exit.DONE
