"""What the table of commands in cli.py is made of, and what reads the values that options are given."""

import argparse
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from provisioner.ansible.rollout import Size
from provisioner.text.suggestions import did_you_mean

__all__ = ["EVERY", "Command", "Option", "Table", "between", "debian", "one_of", "option", "sizes"]

EVERY = ("inventory", "limit", "profile", "runtime", "extra_vars", "forks", "state_dir", "json", "verbose")
"""The common options, by name, that a command takes which goes to hosts."""


class Option(NamedTuple):
    """One option or argument: the words it is given by, what argparse is told of it, and what its values are.

    `values` is for shells that complete: a name in completion.py.
    """

    flags: tuple[str, ...]
    settings: dict[str, Any]
    values: str = ""

    @property
    def name(self) -> str:
        """Give what argparse calls it in the options that were given."""
        return str(self.settings.get("dest") or self.flags[-1].lstrip("-").replace("-", "_"))


class Command(NamedTuple):
    """One command: `name` may be two words; `module` of provisioner.commands has `main(options) -> int`.

    `common` names the common options that mean something to it; `notes` is what its help ends with.
    """

    name: str
    summary: str
    example: str
    module: str
    options: tuple[Option, ...] = ()
    common: tuple[str, ...] = EVERY
    notes: str = ""


class Table(NamedTuple):
    """All of the command line: what it is, its commands, the groups of those of two words, the common options."""

    description: str
    commands: tuple[Command, ...]
    groups: dict[str, str]
    common: tuple[Option, ...]
    example: str
    exit_codes: dict[int, str]

    def common_of(self, command: Command) -> list[Option]:
        """Return the common options that a command takes."""
        return [option for option in self.common if option.name in command.common]


def option(*flags: str, values: str = "", **settings: Any) -> Option:
    """Return an Option; written as a call so that the table reads like argparse."""
    return Option(flags, settings, values)


def between(least: int, most: int) -> Callable[[str], int]:
    """Return what reads a whole number of a command line: argparse's `type`."""

    def number(text: str) -> int:
        # A longer number is a mistake, and Python refuses very long ones.
        if not re.fullmatch(r"-?[0-9]{1,18}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{_shown(text)} is not a whole number from {least} to {most}")
        return int(text)

    return number


def one_of(*known: str) -> Callable[[str], str]:
    """Return what reads one of these words: argparse's `type`, whose error says which was meant."""

    def word(text: str) -> str:
        if text not in known:
            said = f"{_shown(text)} is none of {', '.join(known)}"
            raise argparse.ArgumentTypeError("; ".join(filter(None, (said, did_you_mean(text, known)))))
        return text

    return word


def debian(text: str) -> int:
    """Read a release of Debian that lab hosts can have: argparse's `type`."""
    from provisioner.lab.releases import numbers  # noqa: PLC0415 - only where it is given, and slow

    return int(one_of(*map(str, numbers()))(text))


def sizes(text: str) -> tuple[Size, ...]:
    """Read the sizes of batches, 1,10%,100%: argparse's `type`."""
    return tuple(map(_size, text.split(",")))


def _size(text: str) -> Size:
    found = re.fullmatch(r"([0-9]{1,9})(%?)", text)
    size = Size(int(found[1]), bool(found[2])) if found else Size(0)
    if size.number < 1 or (size.percent and size.number > 100):
        said = f"{_shown(text)} is neither a number of hosts, from 1, nor a share of them, from 1% to 100%"
        raise argparse.ArgumentTypeError(said)
    return size


def _shown(text: str) -> str:
    """Quote a user's text for a message, of bounded length."""
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
