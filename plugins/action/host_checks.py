"""Action `host_checks`: as its module, with a finding on the host's clock, which takes two clocks to see."""

from __future__ import annotations

import time
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.package import answers, asking

MAXIMUM_SECONDS = 60
"""TLS and apt refuse a clock that is further off."""


class ActionModule(ActionBase):
    """What Ansible calls."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Have the host looked at, and compare its clock with this one.

        Raise AnsibleActionFail where the answer is not what was asked for.
        """
        result = super().run(tmp, task_vars)
        sources_only = boolean(self._task.args.get("sources_only", False))
        with asking(self._connection.transport):
            sent = time.time()
            # A certificate whose time it is not may be a clock's fault.
            arguments = {**self._task.args, "controller_clock": sent}
            answer = self._execute_module("provisioner.gpu_hosts.host_checks", arguments, task_vars=task_vars)
            received = time.time()
            answer = answers.checks(answer, sources_only=sources_only)
        readings = answer.pop("host_clock", None)
        if readings and "host_findings" in answer:
            began, ended = readings
            is_this_machine = self._connection.transport == "local"
            answer["host_findings"].append(SAME if is_this_machine else clock(began - sent, ended - received))
        return {**result, **answer}


def clock(most: float, least: float) -> dict[str, str]:
    """Give the finding for a host whose clock is at least `least` and at most `most` seconds ahead of this one.

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
    """Give a finding on the clock."""
    return {"check": "clock", "outcome": outcome, "detail": detail, "remedy": remedy}


SAME = finding("ok", "the controller's own")
