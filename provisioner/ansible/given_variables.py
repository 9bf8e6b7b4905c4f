"""The variables that a user gives, with -e or in an inventory: read as Ansible reads them, and checked by type.

Which type a variable has is data of the roles, in their meta/argument_specs.yml.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from provisioner.ansible import pairs_program
from provisioner.errors import Exit, ProvisionerError
from provisioner.system import files
from provisioner.system.paths import ansible_dir, given
from provisioner.text import bounds
from provisioner.text.display import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["check", "earlier_name_told", "of_options"]

NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class Type(NamedTuple):
    """A type of more than one value."""

    type: type | tuple[type, ...]
    name: str
    example: str


TYPES = {
    "list": Type(list, "a list", '["one", "another"]'),
    "dict": Type(dict, "an object", '{"key": "value"}'),
    "raw": Type((list, dict), "a list for all hosts, or an object of lists by distribution", '["one", "another"]'),
}
"""By their names in argument_specs.yml."""


def of_options(texts: Iterable[str]) -> dict[str, Any]:
    """Return the variables of all that -e was given: KEY=VALUE, an object, or @FILE; the later wins.

    Raise ProvisionerError (code 2) where one is none of these.
    """
    variables: dict[str, Any] = {}
    places: dict[str, str] = {}
    for text in texts:
        if text.startswith("@"):
            found = _of_file(text[1:])
        elif text.startswith(("{", "[")):
            found = _of_yaml(text, _shown(text))
        else:
            found = _of_pairs(text)
        variables |= found
        places |= dict.fromkeys(found, f"-e {text}" if text.startswith("@") else "-e")
    try:
        earlier = check(variables)
    except ValueError as error:
        remedy = "a list or an object is given as -e '{\"NAME\": VALUE}', or in a file with -e @FILE"
        raise _bad(f"-e: {error}", remedy) from error
    for name in earlier:
        earlier_name_told(name, places[name])
    return {_name_of_now(name): value for name, value in variables.items()} if earlier else variables


@functools.cache
def earlier_name_told(name: str, where: str) -> None:
    """Tell a person, once, what a variable is called now that is given by its earlier name."""
    line = f"{where}: {name} is now {_name_of_now(name)}; please rename it"
    print(f"provisioner: {printable(line, bounds.LINE)}", file=sys.stderr, flush=True)


@functools.cache
def _prefixes() -> dict[str, str]:
    """Return how the variables of role scenario began, `earlier` and `now`."""
    import yaml  # noqa: PLC0415 - only where there is something to check

    path = ansible_dir() / "roles" / "scenario" / "meta" / "earlier_names.yml"
    return cast(dict[str, str], yaml.safe_load(path.read_text(encoding="utf-8")))


def _name_of_now(name: str) -> str:
    """Return what a variable is called that may be given by an earlier name."""
    now = name.replace(_prefixes()["earlier"], _prefixes()["now"], 1)
    return now if name.startswith(_prefixes()["earlier"]) and now in _specs() else name


def check(variables: Mapping[str, Any]) -> list[str]:
    """Return the variables that are given by their earlier names.

    Raise ValueError, with a line, where one has not the type that a role declares, or is given by both names and
    differs.

    A text where a list is wanted would be taken for a list of its letters. What Ansible is still to make of a template
    or a vault is let through.
    """
    roles = tuple(f"{path.name}_" for path in (ansible_dir() / "roles").iterdir())
    earlier = []
    for name, value in variables.items():
        if name.startswith(roles) and (spec := _specs().get(now := _name_of_now(name))):
            if name != now:
                earlier.append(name)
            if variables.get(now, value) != value:
                raise ValueError(f"{name} and {now} are one variable, and are set to two values; remove {name}")
            _fit(name, value, spec.get("type", "str"))
            for element in value if isinstance(value, list) and "elements" in spec else ():
                _fit(f"an element of {name}", element, spec["elements"])
    return earlier


def _fit(name: str, value: Any, kind: str) -> None:
    """Raise ValueError where a value is not of its kind."""
    is_template = isinstance(value, str) and re.search("{[{%]", value)
    is_secret = isinstance(value, dict) and any(key.startswith("__ansible") for key in value)
    if value is None or is_template or is_secret:
        return
    if kind in TYPES and not isinstance(value, TYPES[kind].type):
        raise ValueError(f"{name} is {_shown(value)}, and must be {TYPES[kind].name}, such as {TYPES[kind].example}")
    if kind not in TYPES and isinstance(value, list | dict):
        raise ValueError(f"{name} is {_shown(value)}, and must be a single value")


@functools.cache
def _specs() -> dict[str, dict[str, Any]]:
    """Return what the roles declare of each variable."""
    import yaml  # noqa: PLC0415 - only where there is something to check

    found: dict[str, dict[str, Any]] = {}
    for path in (ansible_dir() / "roles").glob("*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            found |= entry.get("options", {})
    return found


def _of_pairs(text: str) -> dict[str, Any]:
    """Return the variables of KEY=VALUE, or of several, as Ansible takes them apart."""
    if text.startswith(("/", ".")):
        raise _bad(f"-e {_shown(text)} is not KEY=VALUE", f"for a file give -e @{text[:80]}")
    if re.search(r"[\s\"'\\]", text):
        pairs = _as_ansible(text)
    else:
        key, equals, value = text.partition("=")
        pairs = {key: value} if equals else {}
    if not pairs or not all(map(NAME.fullmatch, pairs)) or "_raw_params" in pairs:
        raise _bad(
            f"-e {_shown(text)} is not KEY=VALUE",
            'try -e scenario_max_jobs=8, -e \'KEY="with a space"\', -e \'{"KEY": ["a", "list"]}\', or -e @FILE',
        )
    return pairs


def _as_ansible(text: str) -> dict[str, str]:
    """Return the pairs of a text with spaces or quotes in it, as Ansible takes it apart."""
    command = [sys.executable, "-P", pairs_program.__file__]
    variables = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "ANSIBLE_CONFIG": str(ansible_dir() / "ansible.cfg")}
    done = subprocess.run(command, input=text, env=variables, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise _bad(f"-e {_shown(text)} cannot be parsed", "close its quotes and braces")
    return cast(dict[str, str], json.loads(done.stdout))


def _of_file(name: str) -> dict[str, Any]:
    path = given(name)
    try:
        content = files.read(path, bounds.VARIABLES, follow=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise _bad(f"-e @{path}: {reason}", "give a file of variables, as YAML or JSON") from error
    return _of_yaml(content, f"@{path}")


def _of_yaml(content: str | bytes, shown: str) -> dict[str, Any]:
    """Return the variables in a text of YAML, which JSON is as well."""
    import yaml  # noqa: PLC0415 - only where there is such a text

    from provisioner.ansible import answers  # noqa: PLC0415 - as above

    try:
        found = answers.plain(yaml.safe_load(content))
        json.dumps(found)
    except (ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise _bad(f"-e {shown}: {' '.join(str(error).split())}", "give variables as YAML or JSON") from error
    if not isinstance(found, dict) or not all(map(NAME.fullmatch, found)):
        raise _bad(
            f"-e {shown} holds no variables", "write NAME: VALUE; what is encrypted belongs in group_vars, not here"
        )
    return found


def _shown(value: Any) -> str:
    """Quote what a user gave for a message: on one line, of bounded length."""
    text = value if isinstance(value, str) else json.dumps(value)
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _bad(message: str, remedy: str) -> ProvisionerError:
    return ProvisionerError(message, remedy, Exit.BAD_INPUT)
