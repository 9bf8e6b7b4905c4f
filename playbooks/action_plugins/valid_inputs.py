"""Action `valid_inputs`: refuses what a person set, on the controller; see the module of this name.

Its failure says that it is one of the inputs (`invalid_inputs`), and by that alone it is told from any other.
"""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """What Ansible calls."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset({"refusals"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fail with the first of the texts that says something.

        They are templated here, not before: that they cannot be is a fault of the inputs as well.
        """
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        name = self._task.args.get("refusals")
        if not isinstance(name, str) or name not in variables:
            raise AnsibleActionFail("valid_inputs needs refusals, the name of a variable that has a list of texts")
        try:
            said = next((text for text in self._templar.template(variables[name]) if text), "")
        except AnsibleError as error:
            said = str(error)
        return {**result, "changed": False, **({"failed": True, "msg": said, "invalid_inputs": True} if said else {})}
