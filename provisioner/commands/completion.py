"""`provisioner completion SHELL`: prints the script that makes a shell complete."""

from argparse import Namespace

from provisioner.cli import SHELLS, TABLE
from provisioner.command_line import completion
from provisioner.errors import Exit, ProvisionerError
from provisioner.system.paths import state_dir
from provisioner.text.suggestions import did_you_mean

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Print the script of a shell, or with --values the values of a kind, one a line."""
    if options.values is not None:
        if options.values not in completion.KINDS:
            kinds = did_you_mean(options.values, completion.KINDS) or f"there are {', '.join(completion.KINDS)}"
            raise ProvisionerError(f"--values {options.values!r} is not a kind of values", kinds, Exit.BAD_INPUT)
        for value in completion.values(options.values, state_dir(options.state_dir)):
            print(value)
    elif options.shell is None:
        raise ProvisionerError(
            "no shell was named", f"give {' or '.join(SHELLS)}; see `provisioner completion --help`", Exit.BAD_INPUT
        )
    else:
        print(completion.script(options.shell, TABLE))
    return Exit.DONE
