"""Action `look`: what is not as it is wanted on a host, for several roles in one round trip. See docs/look.md."""

from __future__ import annotations

import json
from typing import Any

from ansible.errors import AnsibleActionFail

from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.host_program import AskingAction, code, stream
from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.package import answers, asking, changes
from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.same_for_hosts import shipped, warm_up


class ActionModule(AskingAction):
    """Looks at one host."""

    _VALID_ARGS = frozenset({"roles", "known", "depends_on", "busy", "log", "fact", "run", "planned"})

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the probes' answers; fail with what a probe refuses."""
        result = super().run(tmp, task_vars)
        variables, given = task_vars or {}, self._task.args
        roles = self.listed_roles(variables)
        if roles is None:
            raise AnsibleActionFail("look needs roles, a list of their names or the name of a variable that has it")
        known = self._known(roles)
        if known:
            off = [change for look in known.values() for change in look["changes"]]
            return {**result, "changed": False, "looks": known, "off": off}
        options = {
            name: str(given.get(of) or "") for name, of in (("when_busy", "busy"), ("log", "log"), ("fact", "fact"))
        }
        of = {"run": given["run"]} if given.get("run") else {}
        question = self.question(variables, roles, of, program="look", **options)
        with asking(self._connection.transport):
            if self._connection.has_pipelining:
                answer = self.answer_of_host(stream(code(), question), variables)
            else:
                answer = self._ask_by_module(question, variables)
            answer = answers.look(answer)
        return {**result, "changed": False, **answer, **self._refused(answer)}

    def _known(self, roles: list[str] | str) -> dict[str, Any]:
        """Return what an earlier look found of each of the roles; {} where the host is to be asked."""
        known, stands_on = self._task.args.get("known") or {}, self._task.args.get("depends_on") or ()
        if isinstance(roles, str) or not all(role in known for role in roles):
            return {}
        if any(known.get(role, {}).get("changes") for role in stands_on):
            return {}
        return {role: known[role] for role in roles}

    def _refused(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Return why a host is refused that is to be changed by a plan, where it would be changed otherwise."""
        planned = self._task.args.get("planned")
        if planned is None or answer.get("failed"):
            return {}
        if changes is None:
            raise AnsibleActionFail(
                "look can tell what is planned only where the Python package provisioner is installed"
            )
        return {"failed": True, "msg": changes.CHANGED} if changes.digest(answer["off"]) != planned else {}

    def _ask_by_module(self, question: str, variables: dict[str, Any]) -> Any:
        """Have the module of this name look, and give its answer."""
        given = json.loads(question)
        arguments = {"roles": list(given["wanted"]), "wanted": given["wanted"], "busy": given["when_busy"]}
        arguments |= {name: given.get(name) for name in ("log", "fact", "run")}
        arguments = {name: value for name, value in arguments.items() if value or name == "wanted"}
        return self._execute_module("provisioner.gpu_hosts.look", arguments, task_vars=variables)


# Ansible loads this plugin before it forks a worker for each host: all of them have these from here.
code()
shipped()
warm_up()
