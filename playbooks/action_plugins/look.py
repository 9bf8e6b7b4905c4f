"""Action `look`: what is not as it is wanted on a host, for several roles in one round trip. See docs/look.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail

sys.path.append(str(Path(__file__).resolve().parents[2]))  # where the package is not installed
from provisioner import answers
from provisioner.host_program import AskingAction, code, stream
from provisioner.same_for_hosts import shipped
from provisioner.worker import asking


class ActionModule(AskingAction):
    """Looks at one host."""

    _VALID_ARGS = frozenset({"roles", "busy", "log", "fact", "run"})

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Give the probes' answers; fails with what a probe refuses."""
        result = super().run(tmp, task_vars)
        variables, given = task_vars or {}, self._task.args
        roles = self.listed_roles(variables)
        if roles is None:
            raise AnsibleActionFail("look needs roles, a list of their names or the name of a variable that has it")
        self.refuse_silent_connection()
        options = {
            name: str(given.get(of) or "") for name, of in (("when_busy", "busy"), ("log", "log"), ("fact", "fact"))
        }
        of = {"run": given["run"]} if given.get("run") else {}
        question = self.question(variables, roles, of, program="provisioner_look", **options)
        with asking(self._connection.transport):
            answer = answers.look(self.answer_of_host(stream(code(), question), variables))
        return {**result, "changed": False, **answer}


# Ansible loads this plugin before it forks a worker for each host: all of them have these from here.
code()
shipped()
