"""`provisioner man`: prints the manual page."""

from argparse import Namespace

from provisioner.cli import TABLE
from provisioner.command_line import manual
from provisioner.errors import Exit

__all__ = ["main"]


def main(_options: Namespace) -> int:
    """Print the page, for `man -l -`."""
    print(manual.page(TABLE), end="")
    return Exit.DONE
