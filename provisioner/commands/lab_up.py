"""`provisioner lab up`: makes throwaway hosts on this machine."""

from argparse import Namespace

from provisioner import lab
from provisioner.commands.common import print_json, say
from provisioner.errors import Exit
from provisioner.paths import ensure_state_dir, state_dir

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Bring the lab up and name its inventory, on stdout."""
    state = ensure_state_dir(state_dir(options.state_dir))
    made = lab.up(options.name, options.count, options.debian, options.user, state, say)
    if options.json:
        print_json(made.to_dict())
    else:
        print(made.inventory)
    return Exit.DONE
