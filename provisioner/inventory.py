"""Reads an inventory well enough to say, before any host is touched, which hosts it has and which are meant.

YAML is read here, in milliseconds; whatever else Ansible understands is left to `ansible-inventory`.
"""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from provisioner.environment import ansible_environment
from provisioner.errors import Exit, ProvisionerError

__all__ = ["Inventory", "read", "select"]

_REMEDY = "give one with -i; inventory/fleet.example.yml shows how it looks"


@dataclass
class Inventory:
    """The hosts of an inventory, by name, with their groups; `local` are those that are this machine."""

    source: str
    """What Ansible's -i is given."""
    hosts: dict[str, None] = field(default_factory=dict)
    groups: dict[str, set[str]] = field(default_factory=dict)
    local: set[str] = field(default_factory=set)
    profiles: dict[str, str] = field(default_factory=dict)
    """The profile of each host that has one of its own."""

    def add(self, host: str, groups: tuple[str, ...], variables: Mapping[str, Any]) -> None:
        """Note `host` as a member of `groups`; `variables` are those that are known to apply to it."""
        self.hosts.setdefault(host)
        for group in groups:
            self.groups.setdefault(group, set()).add(host)
        if variables.get("ansible_connection") in {"local", "ansible.builtin.local"}:
            self.local.add(host)
        if "provisioner_profile" in variables:
            self.profiles[host] = str(variables["provisioner_profile"])


def read(source: str) -> Inventory:
    """Read the inventory at `source`: a path, or host names separated by commas, as Ansible takes them.

    Raises ProvisionerError (code 2) where it is missing, broken or has no host.
    """
    if "," in source and not Path(source).exists():
        inventory = Inventory(source)
        for name in filter(None, map(str.strip, source.split(","))):
            inventory.add(name, (), {})
    else:
        path = Path(source).expanduser().absolute()
        if not path.exists():
            raise _bad(f"no inventory at {path}")
        inventory = Inventory(str(path))
        if path.is_file() and path.suffix in {".yml", ".yaml"}:
            _read_yaml(path, inventory)
        else:
            _ask_ansible(path, inventory)
    if not inventory.hosts:
        raise _bad(f"the inventory {source} has no hosts")
    return inventory


def select(inventory: Inventory, limit: str | None) -> tuple[str, ...]:
    """Give the hosts that `limit` leaves, in the inventory's order.

    Names, groups, wildcards, `!` and `&` are understood; for anything rarer all hosts are given, and Ansible
    decides.
    Raises ProvisionerError (code 2) where nothing is left.
    """
    if not limit:
        return tuple(inventory.hosts)
    if re.search(r"[~@\[\]]", limit):
        return tuple(inventory.hosts)
    terms = [term for term in re.split(r"[,:]", limit) if term]
    wanted = [term for term in terms if term[0] not in "!&"]
    chosen = set().union(*(_members(inventory, term) for term in wanted)) if wanted else set(inventory.hosts)
    for term in terms:
        if term.startswith("&"):
            chosen &= _members(inventory, term[1:])
        elif term.startswith("!"):
            chosen -= _members(inventory, term[1:])
    if not chosen:
        names = list(inventory.hosts)
        shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        raise ProvisionerError(f"--limit {limit} matches no host", f"the inventory has {shown}", Exit.BAD_INPUT)
    return tuple(name for name in inventory.hosts if name in chosen)


def _members(inventory: Inventory, term: str) -> set[str]:
    if term in {"all", "*"}:
        return set(inventory.hosts)
    found = {name for name in inventory.hosts if fnmatchcase(name, term)}
    return found.union(*(hosts for name, hosts in inventory.groups.items() if fnmatchcase(name, term)))


def _bad(message: str, remedy: str = _REMEDY) -> ProvisionerError:
    return ProvisionerError(message, remedy, Exit.BAD_INPUT)


# --- YAML ---


def _read_yaml(path: Path, inventory: Inventory) -> None:
    class Loader(yaml.SafeLoader):
        """Takes Ansible's own tags (!vault, !unsafe) for what they are here: values that do not matter."""

    Loader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506 - derived from SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise _bad(f"the inventory is not YAML: {where}: {error.problem}", "mend it there") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _bad(f"cannot read the inventory {path}: {error}") from error
    if not isinstance(document, dict):
        raise _bad(f"the inventory {path} is not a mapping of groups")
    for name, group in document.items():
        _read_group(path, inventory, (str(name),), group, {})


def _read_group(
    path: Path, inventory: Inventory, groups: tuple[str, ...], group: Any, inherited: Mapping[str, Any]
) -> None:
    name = groups[-1]
    group = {} if group is None else group
    parts = {key: (group.get(key) or {}) for key in ("hosts", "children", "vars")} if _is_map(group) else None
    if parts is None or not all(map(_is_map, parts.values())) or set(group) - set(parts):
        raise _bad(
            f"the inventory {path}: group {name} is not made of hosts, children and vars, each a mapping",
            "mend it there",
        )
    variables = {**inherited, **parts["vars"]}
    for pattern, own in parts["hosts"].items():
        for host in _expand(str(pattern)):
            inventory.add(host, groups, {**variables, **(own if _is_map(own) else {})})
    for child, content in parts["children"].items():
        _read_group(path, inventory, (*groups, str(child)), content, variables)


def _is_map(value: Any) -> bool:
    return isinstance(value, dict)


def _expand(pattern: str) -> Iterator[str]:
    """Expand the first of Ansible's ranges, [01:10] or [a:f:2], then the rest of them."""
    found = re.search(r"\[(\w+):(\w+)(?::(\d+))?\]", pattern)
    if not found:
        yield pattern
        return
    first, last, step = found.group(1), found.group(2), int(found.group(3) or 1)
    if first.isdigit() and last.isdigit():
        names = [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1, step)]
    else:
        names = [chr(code) for code in range(ord(first[0]), ord(last[0]) + 1, step)]
    for name in names:
        yield from _expand(pattern[: found.start()] + name + pattern[found.end() :])


# --- everything else ---


def _ask_ansible(path: Path, inventory: Inventory) -> None:
    answer = subprocess.run(
        ["ansible-inventory", "-i", str(path), "--list"],
        env=ansible_environment() | {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        lines = [line for line in answer.stderr.splitlines() if "ERROR" in line] or ["Ansible cannot read it"]
        raise _bad(f"the inventory {path}: {re.sub(r'^.*ERROR[]!:]* *', '', lines[-1])}")
    document = json.loads(answer.stdout)
    variables = document.pop("_meta", {}).get("hostvars", {})

    def walk(groups: tuple[str, ...]) -> None:
        group = document.get(groups[-1], {})
        for host in group.get("hosts", []):
            inventory.add(host, groups, variables.get(host, {}))
        for child in group.get("children", []):
            walk((*groups, child))

    walk(("all",))
