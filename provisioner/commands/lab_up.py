"""`provisioner lab up`: makes throwaway hosts on this machine."""

from argparse import Namespace

from provisioner import lab
from provisioner.commands.common import print_json, say
from provisioner.errors import Exit
from provisioner.system.paths import ensure_state_dir, state_dir

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Bring the lab up and name its inventory, on stdout."""
    count = options.count if options.count is not None else 0 if options.dresses else 1
    state = ensure_state_dir(state_dir(options.state_dir))
    made = lab.up(
        options.name, count, options.debian, options.user, state, say, options.dresses, stand_ins=options.stand_ins
    )
    if options.json:
        print_json(made.to_dict())
    else:
        print(made.inventory)
    return Exit.DONE
