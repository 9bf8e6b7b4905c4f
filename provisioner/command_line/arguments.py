"""Turns a command line into options, by a table of commands: argparse, whose errors are one line with the remedy."""

import argparse
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from provisioner import __version__
from provisioner.command_line.command_table import Command, Option, Table
from provisioner.errors import Exit, ProvisionerError
from provisioner.text.suggestions import did_you_mean

__all__ = ["parse", "tree"]

HELP = ("-h", "--help")


class _Parser(argparse.ArgumentParser):
    """argparse, but an error is one line with its remedy, and examples keep their line breaks."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,  # an abbreviation in a script would break with the next option we add
            **settings,
        )

    def format_help(self) -> str:
        """Return the help, with a description that fits the terminal as all else of it does."""
        import textwrap  # noqa: PLC0415 - only help needs it

        self.description = textwrap.fill(self.description or "", max(shutil.get_terminal_size().columns - 2, 20))
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        what, _, question = message.rpartition("; ") if message.endswith("?") else (message, "", "")
        raise _bad(what, f"{question} see `{self.prog} --help`".strip())


def parse(arguments: Sequence[str], table: Table) -> argparse.Namespace:
    """Turn a command line into options; raise ProvisionerError (code 2), or SystemExit for --help."""
    for argument in arguments:
        _check_text(argument)
    words = list(arguments) or ["--help"]
    if words[0] == "help" or (len(words) == 1 and words[0] in table.groups):
        words = [*(word for word in words if word != "help"), "--help"]
    command = _check(words, table)
    # Where it is known which command is meant, the others need no parsers: that is most of the time that this takes.
    only = table._replace(commands=(command,)) if command else table
    options, more = tree(only).parse_known_args(words)
    if more:
        raise _bad(f"{options.command} takes no {more[0][:80]!r}", f"see `provisioner {options.command} --help`")
    for option in table.common:
        _settle(options, option)
    return options


def tree(table: Table, told: Callable[[argparse.Action, Option], None] = lambda *_: None) -> argparse.ArgumentParser:
    """Return the parser of the whole table; `told` gets each option with what argparse made of it."""
    codes = "".join(f"\n  {code:<4} {meaning}" for code, meaning in table.exit_codes.items())
    parser = _Parser(
        prog="provisioner",
        description=table.description,
        epilog=f"example:\n  {table.example}\n\nexit codes:{codes}",
    )
    parser.add_argument("--version", action="version", version=f"provisioner {__version__}")
    for option in table.common:
        told(_add_early(parser, option), option)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    groups: dict[str, Any] = {}
    for command in table.commands:
        group, _, name = command.name.rpartition(" ")
        if group and group not in groups:
            inner = commands.add_parser(group, help=table.groups[group], description=table.groups[group])
            groups[group] = inner.add_subparsers(metavar="COMMAND", required=True, title="commands")
        _add(groups[group] if group else commands, name, command, table.common_of(command), told)
    return parser


# --- the parser's parts ---


def _add(
    parent: Any, name: str, command: Command, common: Iterable[Option], told: Callable[[argparse.Action, Option], None]
) -> None:
    parser = parent.add_parser(
        name,
        help=command.summary.replace("%", "%%"),
        description=command.summary[0].upper() + command.summary[1:] + ".",
        epilog="\n\n".join(filter(None, (f"example:\n  {command.example}", command.notes))),
    )
    parser.set_defaults(module=command.module, command=command.name)
    for option in command.options:
        told(parser.add_argument(*option.flags, **option.settings), option)
    group = parser.add_argument_group("common options")
    for option in common:
        told(group.add_argument(*option.flags, **option.settings | {"default": None}), option)


def _add_early(parser: argparse.ArgumentParser, option: Option) -> argparse.Action:
    """Add a common option that stands before the command; one after it would else take its place."""
    settings = option.settings | {"default": None, "dest": _early(option)}
    return parser.add_argument(*option.flags, **settings)


def _early(option: Option) -> str:
    return f"early_{option.name}"


def _settle(options: argparse.Namespace, option: Option) -> None:
    """Make one value of what a common option was given before the command and after it."""
    values = (getattr(options, name, None) for name in (_early(option), option.name))
    given = [value for value in values if value is not None]
    if option.settings.get("action") == "append":
        setattr(options, option.name, [item for value in given for item in value])
    elif option.settings.get("action") == "count":
        setattr(options, option.name, sum(given))
    else:
        default = False if option.settings.get("action") == "store_true" else option.settings.get("default")
        setattr(options, option.name, given[-1] if given else default)


# --- what is wrong that argparse would tell less well ---


def _check_text(argument: str) -> None:
    if not argument.isascii() and re.search("[\ud800-\udfff]", argument):  # bytes that are no text
        raise _bad(f"{argument[:80]} is not UTF-8", "give it in that encoding; see `provisioner --help`")
    if re.fullmatch(r"(--[^=]+=|-\w=?)--", argument):  # argparse takes it for the end of the options, and gives []
        raise _bad(f"{argument[:80]}: -- is not a value", "give one; see `provisioner --help`")


def _check(arguments: list[str], table: Table) -> Command | None:
    """Return the command that is meant; None where the help of several is.

    Raise ProvisionerError where a command or an option is none, with what was meant, or where one means nothing.
    """
    front = _Parser(prog="provisioner", add_help=False)
    for option in table.common:
        _add_early(front, option)
    front.add_argument(*HELP, "--version", action="store_true", dest="told")
    front.add_argument("words", nargs=argparse.REMAINDER)
    found, unknown = front.parse_known_args(arguments)
    if unknown:
        early = [*(flag for option in table.common for flag in option.flags), *HELP, "--version"]
        raise _no_option(unknown[0], "", early, table)
    if found.told:
        return None
    if not found.words:
        raise _bad("no command was given", "see `provisioner --help`")
    command, rest = _command(found.words, table)
    if command is None:
        return None
    for option in table.common:
        if getattr(found, _early(option)) is not None and option not in table.common_of(command):
            raise _meaningless(command, option)
    _check_options(command, rest, table)
    return command


def _command(words: list[str], table: Table) -> tuple[Command | None, list[str]]:
    """Return the command that the words begin with and those after it; None where its group's help is asked for."""
    by_name = {command.name: command for command in table.commands}
    if words[0] in by_name:
        return by_name[words[0]], words[1:]
    if words[0] in table.groups:
        if not words[1:]:
            raise _bad(f"no command of {words[0]} was given", f"see `provisioner {words[0]} --help`")
        if words[1] in HELP:
            return None, []
        if words[1].startswith("-"):
            raise _bad(
                f"{words[1][:80]} stands between {words[0]} and its command",
                f"give it after that; see `provisioner {words[0]} --help`",
            )
        name = f"{words[0]} {words[1]}"
        if name in by_name:
            return by_name[name], words[2:]
        there = {name.split()[1]: name for name in by_name if name.startswith(f"{words[0]} ")}
        raise _no_command(name, words[1], there, f"provisioner {words[0]}")
    # The user may remember only the last of two words.
    known = {name.split()[-1]: name for name in reversed(by_name)} | {name: name for name in (*by_name, *table.groups)}
    raise _no_command(words[0], words[0], known, "provisioner")


def _no_command(name: str, word: str, known: dict[str, str], where: str) -> ProvisionerError:
    return _bad(f"{name[:80]!r} is not a command", f"{did_you_mean(word, known, known)} see `{where} --help`".strip())


def _check_options(command: Command, words: list[str], table: Table) -> None:
    if any(option.settings.get("nargs") == argparse.REMAINDER for option in command.options):
        return  # what follows is another program's
    known = [*(flag for option in (*command.options, *table.common_of(command)) for flag in option.flags), *HELP]
    for word in words:
        if word == "--":
            return
        flag = _flag(word)
        if not flag or flag in known:
            continue
        for option in table.common:
            if flag in option.flags:
                raise _meaningless(command, option)
        raise _no_option(flag, command.name, known, table)


def _flag(word: str) -> str:
    """Return the option that a word is, or begins with; '' where it is a value."""
    found = re.match(r"(--[A-Za-z][\w-]*)(?==|$)|-[A-Za-z](?!.* )", word, re.DOTALL)
    return found[0] if found else ""


def _no_option(word: str, command: str, known: Iterable[str], table: Table) -> ProvisionerError:
    flag = _flag(word) or word
    owners = [one.name for one in table.commands if any(flag in option.flags for option in one.options)]
    there = f"{' and '.join(owners[:3])} {'has' if len(owners) == 1 else 'have'} it;" if owners else ""
    long = {name.lstrip("-"): name for name in known if name.startswith("--")}
    meant = did_you_mean(flag.lstrip("-"), long, long)
    where = f"provisioner {command}".strip()
    said = f"{command or where} has no option {flag[:80]}"
    return _bad(said, f"{there or meant} see `{where} --help`".strip())


def _meaningless(command: Command, option: Option) -> ProvisionerError:
    flags = "/".join(option.flags)
    return _bad(f"{command.name} does not take {flags}", f"leave it out; see `provisioner {command.name} --help`")


def _bad(message: str, remedy: str) -> ProvisionerError:
    return ProvisionerError(message, remedy, Exit.BAD_INPUT)
