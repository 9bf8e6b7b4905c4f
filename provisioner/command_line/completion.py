"""Completion in shells: a script by shtab, of the table of commands. Values that change are asked for when needed.

What a shell completes it may also expand, so only names that mean nothing to a shell are ever told to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioner.runs.phases import PHASES

if TYPE_CHECKING:
    import argparse

    from provisioner.command_line.command_table import Option, Table
    from provisioner.runs.record_data import RecordData

__all__ = ["KINDS", "script", "values"]

PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


def script(shell: str, table: Table) -> str:
    """Return what makes `shell` complete: bash, zsh or fish."""
    import shtab  # noqa: PLC0415 - only for this

    from provisioner.command_line.arguments import tree  # noqa: PLC0415

    def tell(action: argparse.Action, option: Option) -> None:
        known = {"file": shtab.FILE, "directory": shtab.DIRECTORY}
        if option.values in FIXED:
            action.choices = FIXED[option.values]()
        elif option.values:
            action.complete = known.get(option.values) or _asked(option.values)  # type: ignore[attr-defined]

    return str(shtab.complete(tree(table, tell), shell))


def values(kind: str, state: Path) -> list[str]:
    """Return the values of a kind that there are now, as far as they are plain words. Raise KeyError of no kind."""
    return [value for value in dict.fromkeys(KINDS[kind](state)) if PLAIN.fullmatch(value)]


def _asked(kind: str) -> dict[str, Any]:
    """Return how each shell asks for the values of a kind, as shtab takes it."""
    function, ask = f"_provisioner_{kind}", f"provisioner completion --values {kind} 2>/dev/null"
    return {
        "bash": function,
        "zsh": function,
        "fish": f"({ask})",
        "preamble": {
            "bash": f'{function}() {{ compgen -W "$({ask})" -- "$1"; }}',
            "zsh": f'{function}() {{ compadd -- ${{(f)"$({ask})"}}; }}',
        },
    }


# --- what does not change while a version is installed ---


def _profiles() -> list[str]:
    from provisioner.ansible.inputs import profile_files  # noqa: PLC0415 - only for this, and it brings in much

    return list(profile_files())


def _dresses() -> list[str]:
    from provisioner.lab import dress  # noqa: PLC0415 - only for this, and slow

    return dress.names()


def _runtimes() -> list[str]:
    from provisioner.ansible.inputs import RUNTIMES  # noqa: PLC0415 - only for this, and it brings in much

    return list(RUNTIMES)


def _releases() -> list[str]:
    from provisioner.lab.releases import numbers  # noqa: PLC0415 - only for this, and slow

    return [str(number) for number in numbers()]


FIXED: dict[str, Callable[[], list[str]]] = {
    "dresses": _dresses,
    "phases": lambda: [*PHASES, "total"],
    "profiles": _profiles,
    "releases": _releases,
    "runtimes": _runtimes,
}

# --- what a state directory has now ---


def _records(state: Path) -> Iterable[RecordData]:
    from provisioner.store import Store  # noqa: PLC0415 - a script needs none of it

    return Store(state).records(fields=())


def _runs(state: Path) -> list[str]:
    return [record["run_id"] for record in _records(state)]


def _hosts(state: Path) -> list[str]:
    return sorted({record["host"] for record in _records(state)})


def _inventories(state: Path) -> list[Path]:
    """Return the inventories of the labs of this machine, without asking the engine."""
    return sorted((state / "lab").glob("*/inventory.yml"))


def _lab_hosts(state: Path) -> list[str]:
    import yaml  # noqa: PLC0415 - only for this

    found = [yaml.safe_load(path.read_bytes()) for path in _inventories(state)]
    return [host for inventory in found for host in inventory["all"]["hosts"]]


KINDS: dict[str, Callable[[Path], list[str]]] = {
    "hosts": _hosts,
    "lab_hosts": _lab_hosts,
    "labs": lambda state: [path.parent.name for path in _inventories(state)],
    "runs": _runs,
    "sides": lambda state: [*_hosts(state), *_runs(state)],
}
