"""Variables and answers of role scenario by their earlier names, all of which began with `scenario_a_`.

The role's defaults read what is set by such a name. Here who set it is told, and refused where both names are set.
"""

from __future__ import annotations

import functools
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.utils.vars import load_extra_vars

__all__ = ["answered", "notes"]

META = Path(__file__).parents[2] / "roles/scenario/meta"
PREFIX = yaml.safe_load((META / "earlier_names.yml").read_bytes())


def notes(variables: Mapping[str, Any], templar: Templar, of_task: Container[str]) -> list[str]:
    """Return a line for each variable that is set by its earlier name.

    Raise AnsibleActionFail where its name of now is set as well, to something else, and neither by -e nor by the play
    itself, whose variables are `of_task`: those count more than an inventory's.
    """
    found = [name for name in variables if name.startswith(PREFIX["earlier"]) and name in _renamed()]
    for earlier in found:
        now = _renamed()[earlier]
        if now not in variables or now in of_task or now in load_extra_vars(DataLoader()):
            continue
        values = [str(templar.template(variables[name])) for name in (earlier, now)]
        if values[0] != values[1]:
            raise AnsibleActionFail(
                f"{earlier} and {now} are one variable, and are set to two values; remove {earlier}"
            )
    return [f"{earlier} is now {_renamed()[earlier]}; please rename it" for earlier in sorted(found)]


def answered(action: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Return what a module answers, by the earlier names too where a play calls it by its own earlier name."""
    if not action.rpartition(".")[2].startswith(PREFIX["earlier"]):
        return answer
    ours = {name: value for name, value in answer.items() if name.startswith(PREFIX["now"])}
    return answer | {PREFIX["earlier"] + name.removeprefix(PREFIX["now"]): value for name, value in ours.items()}


@functools.cache
def _renamed() -> dict[str, str]:
    """Return the names of now of the role's inputs, by the earlier ones."""
    specs = yaml.safe_load((META / "argument_specs.yml").read_bytes())["argument_specs"]
    names = {name for entry in specs.values() for name in entry["options"] if name.startswith(PREFIX["now"])}
    return {PREFIX["earlier"] + name.removeprefix(PREFIX["now"]): name for name in names}
