"""What a site has set for Ansible, in its environment and its ansible.cfg, and what of that reaches a job of ours.

Whose each setting is says data/ansible_settings.txt.
"""

from __future__ import annotations

import configparser
import functools
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from provisioner.errors import Exit, ProvisionerError
from provisioner.system import files
from provisioner.system.paths import ansible_dir, given
from provisioner.text import bounds

__all__ = ["Given", "Setting", "Site", "read", "table"]

TABLE = Path(__file__).parents[1] / "data" / "ansible_settings.txt"
SYSTEM_FILE = Path("/etc/ansible/ansible.cfg")
RUNNER = ("AWX_", "ORIGINAL_STDOUT_CALLBACK")
"""What variables begin with that ansible-runner and its callback take for their own."""


class Setting(NamedTuple):
    """One setting of Ansible's."""

    whose: str
    """site, ours or dropped."""
    name: str
    """As `ansible-config list` has it."""
    variables: tuple[str, ...]
    keys: tuple[tuple[str, str], ...]
    """Section and key in a configuration file."""
    kind: str
    """path, pathspec, pathlist or tmppath; else ''."""


class Given(NamedTuple):
    """What a site has set something to, and where."""

    value: str
    where: str


@dataclass(frozen=True)
class Site:
    """What a site has set."""

    given: dict[str, Given] = field(default_factory=dict)
    """All that it has set, by the setting's name."""
    variables: dict[str, str] = field(default_factory=dict)
    """The environment, but for what a job must not have."""
    said: dict[str, str] = field(default_factory=dict)
    """All that it has set, by the variable's name, and by `section.key` of its file."""
    sections: dict[str, dict[str, str]] = field(default_factory=dict)
    """Its configuration file, but for what a job must not have; paths in it are absolute."""
    left_out: tuple[str, ...] = ()
    """What a person may miss, each with where it is set."""

    def is_on(self, name: str) -> bool:
        """Return whether a yes-or-no setting is given as yes, as Ansible understands it."""
        return name in self.given and self.given[name].value.strip().lower() in {"1", "y", "yes", "on", "true", "t"}


@functools.cache
def table() -> tuple[Setting, ...]:
    """Return each setting, as data/ansible_settings.txt has it."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return tuple(_setting(*line.split()) for line in lines if not line.startswith("#"))


def read() -> Site:
    """Return what the site of this process has set. Raise ProvisionerError (code 2) where its file is broken."""
    file = _file()
    sections = _sections(file) if file else {}
    kinds = {key: setting.kind for setting in table() for key in setting.keys}
    for section, values in sections.items():
        for key, value in values.items():
            values[key] = _absolute(value, kinds.get((section, key), ""), file.parent if file else Path())
    set_to = _set_to(sections, file)
    variables, unreadable = _variables()
    missed = [_as_written(setting, set_to[setting.name]) for setting in table() if _is_missed(setting, set_to)]
    written = {f"{section}.{key}": value for section, values in sections.items() for key, value in values.items()}
    return Site(set_to, variables, written | dict(os.environ), _reaching(sections), (*missed, *unreadable))


def _set_to(sections: dict[str, dict[str, str]], file: Path | None) -> dict[str, Given]:
    """Return the settings that are given in the file's sections, and those that variables give over them."""
    set_to: dict[str, Given] = {}
    for setting in table():
        for section, key in setting.keys:  # as with Ansible, the last one counts
            if key in sections.get(section, {}):
                set_to[setting.name] = Given(sections[section][key], str(file))
        for name in setting.variables:
            if name in os.environ:
                set_to[setting.name] = Given(os.environ[name], name)
    return set_to


def _is_missed(setting: Setting, set_to: dict[str, Given]) -> bool:
    return setting.whose == "ours" and setting.name in set_to


def _as_written(setting: Setting, value: Given) -> str:
    """Return a setting as a person wrote it: the variable's name, or the key with its file."""
    return value.where if value.where in setting.variables else f"{setting.keys[-1][1]} in {value.where}"


def _setting(whose: str, name: str, variables: str, keys: str, kind: str = "") -> Setting:
    pairs = tuple((section, key) for section, _, key in (text.partition(".") for text in _several(keys)))
    return Setting(whose, name, _several(variables), pairs, kind)


def _several(text: str) -> tuple[str, ...]:
    return () if text == "-" else tuple(text.split(","))


def _file() -> Path | None:
    """Return the configuration file that Ansible would take, by its documented order, were ours not there; or None."""
    places = [Path("~/.ansible.cfg").expanduser(), SYSTEM_FILE]
    with suppress(OSError):  # this folder may be gone
        here = Path.cwd()
        if not here.stat().st_mode & stat.S_IWOTH:  # else anybody could have put one there
            places.insert(0, here / "ansible.cfg")
    if named := os.environ.get("ANSIBLE_CONFIG"):
        path = given(os.path.expandvars(named))
        places.insert(0, path / "ansible.cfg" if path.is_dir() else path)
    ours = ansible_dir() / "ansible.cfg"
    readable = (path for path in places if os.access(path, os.R_OK) and not (ours.exists() and path.samefile(ours)))
    found = next(readable, None)
    return None if found == Path(os.devnull) else found


def _sections(file: Path) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    try:
        parser.read_string(files.read(file, bounds.VARIABLES, follow=True).decode(), str(file))
    except (OSError, ValueError, configparser.Error) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ProvisionerError(
            f"Ansible's configuration {file}: {reason}", "mend it, or name another with ANSIBLE_CONFIG", Exit.BAD_INPUT
        ) from error
    return {section: dict(parser.items(section)) for section in parser.sections()}


def _variables() -> tuple[dict[str, str], list[str]]:
    """Return the variables that reach a job, and what is said of those that are no text."""
    barred = {name for setting in table() if setting.whose != "site" for name in setting.variables}
    # As with a file's sections: a variable that is no setting is what the site's own programs and plugins look at.
    kept = {name: value for name, value in os.environ.items() if name not in barred and not name.startswith(RUNNER)}
    kept.pop("ANSIBLE_CONFIG", None)
    text = {name: value for name, value in kept.items() if _is_text(name + value)}
    return text, [f"{ascii(name)[1:-1]}, which is not UTF-8" for name in kept if name not in text]


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _reaching(sections: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Return what of a file reaches a job: of Ansible's sections the site's keys, of plugins' all."""
    sites = {key for setting in table() if setting.whose == "site" for key in setting.keys}
    ansibles = {section for setting in table() for section, _ in setting.keys}
    return {
        section: {key: value for key, value in values.items() if (section, key) in sites or section not in ansibles}
        for section, values in sections.items()
    }


def _absolute(value: str, kind: str, folder: Path) -> str:
    """Return a value with its paths as seen from the file that it is in: the job's file is elsewhere."""
    separator = {"path": "\n", "tmppath": "\n", "pathspec": ":", "pathlist": ","}.get(kind)
    if not separator or not value:
        return value
    parts = [part.strip() for part in value.split(separator)]
    # Ansible itself expands what begins with these.
    return separator.join(part if part.startswith(("/", "~", "$", "{{CWD}}")) else str(folder / part) for part in parts)
