"""The manual page, of the table of commands: one page, in which what several commands share stands once."""

import re
from collections.abc import Iterator

from provisioner import __version__
from provisioner.command_line.command_table import EVERY, Command, Option, Table

__all__ = ["page"]

ENVIRONMENT = {
    "PROVISIONER_STATE_DIR": "Where runs and evidence are kept on this machine, unless --state-dir says otherwise.",
    "XDG_STATE_HOME": "They are kept in provisioner/ below it otherwise, or below ~/.local/state where it is not set.",
    "SSL_CERT_FILE": "A CA bundle of the site's; hosts, image build and container get it.",
    "http_proxy, https_proxy, no_proxy": "A site's proxies; hosts, image build and container get them.",
}


def page(table: Table) -> str:
    """Return the page, for man and groff: section 1, without a date, so that one version always gives one page."""
    return "\n".join(_lines(table)) + "\n"


def _lines(table: Table) -> Iterator[str]:
    yield f'.TH PROVISIONER 1 "" "provisioner {__version__}" "User Commands"'
    yield from (".nr HY 0", ".nh", ".ad l")  # no word is broken, or set apart
    yield from (
        ".SH NAME",
        rf"provisioner \- {_text(table.description[0].lower() + table.description[1:].rstrip('.'))}",
    )
    yield from (".SH SYNOPSIS", r"\fBprovisioner\fR [\fIcommon options\fR] \fICOMMAND\fR [\fIoptions\fR]")
    yield from (".SH DESCRIPTION", _text(table.description), ".PP", "For instance:", *_example(table.example))
    yield ".SH COMMANDS"
    for command in table.commands:
        yield from _command(command, table)
    yield from (".SH COMMON OPTIONS", "They may stand before the command or after it.")
    for option in table.common:
        yield from _option(option)
    yield ".SH EXIT STATUS"
    for code, meaning in table.exit_codes.items():
        yield from (".TP", rf"\fB{code}\fR", _text(meaning))
    yield ".SH ENVIRONMENT"
    for name, meaning in ENVIRONMENT.items():
        yield from (".TP", rf"\fB{_text(name)}\fR", _text(meaning))
    yield from (".SH SEE ALSO", r"\fBansible-playbook\fR(1), \fBssh\fR(1)")


def _command(command: Command, table: Table) -> Iterator[str]:
    arguments = " ".join(_argument(option) for option in command.options if not option.flags[0].startswith("-"))
    yield f'.SS "provisioner {" ".join(filter(None, (command.name, arguments)))}"'
    yield _text(_sentence(command.summary))
    for option in command.options:
        yield from _option(option)
    yield ".PP"
    if command.common == EVERY:
        yield "It takes all common options."
    else:
        flags = ", ".join(option.flags[-1] for option in table.common_of(command))
        yield _text(f"Of the common options it takes {flags}.")
    yield from (".PP", "For instance:", *_example(command.example))
    if command.notes:
        yield from (".PP", *_example(command.notes))


def _argument(option: Option) -> str:
    """Return how an argument stands in a command: once, or left out, or several times."""
    form = {"?": "[{}]", "+": "{}...", "...": "[{}...]"}.get(str(option.settings.get("nargs")), "{}")
    return _escaped(form.format(option.settings["metavar"]))


def _option(option: Option) -> Iterator[str]:
    settings = option.settings
    value = settings.get("metavar") or "|".join(map(str, settings.get("choices", ())))
    flags = [rf"\fB{_escaped(flag)}\fR" for flag in option.flags if flag.startswith("-")]
    if value:
        flags[-1:] = [rf"{flags[-1]} \fI{_escaped(value)}\fR"] if flags else [rf"\fI{_escaped(value)}\fR"]
    yield from (".TP", ", ".join(flags), _text(_sentence(settings["help"].replace("%%", "%"))))


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def _example(text: str) -> Iterator[str]:
    yield from (".PP", ".RS 2", ".EX", *map(_line, text.splitlines()), ".EE", ".RE")


def _text(text: str) -> str:
    """Return a sentence as the page has it: `names` of commands are bold."""
    return re.sub("`([^`]+)`", r"\\fB\1\\fR", _line(text))


def _line(text: str) -> str:
    """Return a line that is shown as it is: what begins like a request is none."""
    escaped = _escaped(text)
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _escaped(text: str) -> str:
    plain = text.replace("\\", r"\e").replace("-", r"\-")
    for char, name in (("'", r"\(aq"), ('"', r"\(dq"), ("^", r"\(ha"), ("~", r"\(ti"), ("`", "`")):
        plain = plain.replace(char, name)
    return plain
