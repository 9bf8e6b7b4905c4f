"""`provisioner lab down`: removes a lab and all that belongs to it."""

from argparse import Namespace

from provisioner import lab
from provisioner.commands.common import say
from provisioner.errors import Exit
from provisioner.system.paths import state_dir

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Remove the lab; one that is not there is no error."""
    lab.down(options.name, state_dir(options.state_dir), images=options.images, report=say)
    return Exit.DONE
