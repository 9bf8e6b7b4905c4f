"""`provisioner lab status`: lists the labs on this machine."""

from argparse import Namespace

from provisioner import lab
from provisioner.commands.common import print_json, say
from provisioner.errors import Exit
from provisioner.system.paths import state_dir
from provisioner.view import screen
from provisioner.view.tables import table

__all__ = ["main"]


def main(options: Namespace) -> int:
    """List the labs, each with its inventory and its hosts."""
    labs = lab.status(state_dir(options.state_dir))
    if options.json:
        print_json([one.to_dict() for one in labs])
        return Exit.DONE
    for one in labs:
        rows = [
            [
                host.name,
                host.address,
                host.user,
                host.debian,
                host.state,
                "outside world" if host.outside else host.dress,
            ]
            for host in (*one.hosts, *([one.outside] if one.outside else []))
        ]
        screen.show(f"lab {one.name}: {one.inventory}")
        print(table(["host", "address", "user", "debian", "state", "dress"], rows))
    if not labs:
        say("no lab; `provisioner lab up` makes one")
    return Exit.DONE
