"""Action `host_checks`: what a host lacks, in one round trip; and a finding on its clock, which takes two to see."""

from __future__ import annotations

import json
import time
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.host_program import AskingAction, code, stream
from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.package import answers, asking
from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.same_for_hosts import shipped, warm_up

MAXIMUM_SECONDS = 60
"""TLS and apt refuse a clock that is further off."""
FOLDERS = ("doctor", "sources")
"""What goes to the host beside the probes."""


class ActionModule(AskingAction):
    """What Ansible calls."""

    _VALID_ARGS = frozenset({"wanted", "roles", "sources_only"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Have the host looked at, and compare its clock with this one.

        Raise AnsibleActionFail where the answer is not what was asked for.
        """
        result = super().run(tmp, task_vars)
        variables, wanted = task_vars or {}, self._task.args.get("wanted")
        if not isinstance(wanted, str) or wanted not in variables:
            raise AnsibleActionFail("host_checks needs wanted, the name of a variable that has the questions")
        sources_only = boolean(self._task.args.get("sources_only", False))
        named = {"program": "doctor.checks", "sources_only": sources_only}
        question = self.question(variables, self.listed_roles(variables), {"asked": wanted}, **named)
        with asking(self._connection.transport):
            sent = time.time()
            answer = answers.checks(self._ask(question, sent, variables), sources_only=sources_only)
            received = time.time()
        readings = answer.pop("host_clock", None)
        if readings and "host_findings" in answer:
            began, ended = readings
            is_this_machine = self._connection.transport == "local"
            answer["host_findings"].append(SAME if is_this_machine else clock(began - sent, ended - received))
        return {**result, "changed": False, **answer}

    def _ask(self, question: str, sent: float, variables: dict[str, Any]) -> Any:
        """Return the host's answer. It is told the time: a certificate whose time it is not may be a clock's fault.

        Where the connection takes no input, the module of this name asks.
        """
        if self._connection.has_pipelining:
            program = stream(code(*FOLDERS), question, json.dumps({"controller_clock": sent}))
            return self.answer_of_host(program, variables)
        given = json.loads(question)
        arguments = {"wanted": given["asked"], "roles_wanted": given["wanted"], "sources_only": given["sources_only"]}
        arguments["controller_clock"] = sent
        return self._execute_module("provisioner.gpu_hosts.host_checks", arguments, task_vars=variables)


def clock(most: float, least: float) -> dict[str, str]:
    """Return the finding for a host whose clock is at least `least` and at most `most` seconds ahead of this one.

    The host began after it was asked and ended before its answer came: how long either takes is not known, and a busy
    machine takes seconds for it. What lies between these bounds cannot be told from the same time.
    """
    if least <= 0 <= most:
        return finding("ok", f"agrees with the controller's, as far as {most - least:.1f} s of asking can tell")
    off = min(abs(least), abs(most))
    detail = f"{off:.0f} s or more {'ahead of' if least > 0 else 'behind'} the controller's"
    if off > MAXIMUM_SECONDS:
        return finding("warn", detail, "let the host and the controller follow a time server")
    return finding("ok", detail)


def finding(outcome: str, detail: str, remedy: str = "") -> dict[str, str]:
    """Return a finding on the clock."""
    return {"check": "clock", "outcome": outcome, "detail": detail, "remedy": remedy}


SAME = finding("ok", "the controller's own")

# Ansible loads this plugin before it forks a worker for each host: all of them have these from here.
code(*FOLDERS)
shipped()
warm_up()
