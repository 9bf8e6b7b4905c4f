"""Action `valid_inputs`: refuses what a person set, on the controller; see the module of this name.

Its failure says that it is one of the inputs (`invalid_inputs`), and by that alone it is told from any other.
"""

from __future__ import annotations

import json
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils import earlier_names
from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.same_for_hosts import (
    once_for_all,
    shipped,
    template_often,
)


class ActionModule(ActionBase):
    """What Ansible calls."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset({"refusals", "notes"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fail with the first refusal that says something; else return the notes: once for hosts that are alike.

        They are templated here, not before: that they cannot be is a fault of the inputs as well.
        """
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        try:
            for line in earlier_names.notes(variables, self._templar, self._task.get_vars()):
                self._display.warning(line)
        except AnsibleActionFail as error:
            return {**result, "changed": False, "failed": True, "msg": error.message, "invalid_inputs": True}
        refusals, notes = (self._variable(name, variables) for name in ("refusals", "notes"))

        def make() -> dict[str, Any]:
            template_often(self._templar, variables)
            try:
                refusal = next((text for text in self._templar.template(refusals) if text), "")
                return {"refusal": refusal, "notes": [] if refusal else list(self._templar.template(notes))}
            except AnsibleError as error:
                return {"refusal": str(error), "notes": []}

        found = json.loads(once_for_all(filter(None, map(self._task.args.get, ("refusals", "notes"))), variables, make))
        if found["refusal"]:
            return {**result, "changed": False, "failed": True, "msg": found["refusal"], "invalid_inputs": True}
        return {**result, "changed": False, "input_notes": found["notes"]}

    def _variable(self, argument: str, variables: dict[str, Any]) -> list[str]:
        """Return the texts, not templated yet, of the variable that an argument of the task names."""
        name = self._task.args.get(argument)
        if name is None and argument == "notes":
            return []
        if not isinstance(name, str) or name not in variables:
            raise AnsibleActionFail(f"valid_inputs needs {argument}, the name of a variable that has a list of texts")
        return variables[name]


# Ansible loads this plugin before it forks a worker for each host: all of them have these from here.
shipped()
