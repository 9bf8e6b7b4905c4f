"""The module scenario_a_run, which goes on waiting for a run while its host does not answer.

Ansible gives a host up at the first connection that fails. A run goes on without us, so here a host that restarts, or
a network that is away for minutes, is told as `scenario_a_silent` instead, and the task's `until` asks again.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action.normal import ActionModule as NormalAction

sys.path.append(str(Path(__file__).resolve().parents[2]))  # where the package is not installed
from provisioner import answers
from provisioner.worker import asking


class ActionModule(NormalAction):
    """What Ansible calls."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module; where it waits and the host does not answer, say so instead of failing.

        Raises AnsibleConnectionFailure where the host has not answered for `patience` seconds, as always without it.
        """
        patience = int(self._task.args.get("patience", 0))
        asked = time.monotonic()
        try:
            with asking(self._connection.transport):
                result = answers.run(super().run(tmp, task_vars), self._task.args.get("state", "started"))
        except AnsibleConnectionFailure as error:
            reason = str(error)
        else:
            # Without the module's answer the host was lost, or shut down, in the middle of it.
            if not patience or not (result.get("failed") and "module_stdout" in result):
                if (result.get("scenario_a_progress") or {}).get("state") == "running":
                    # Read where the task's attempts are used up.
                    result["msg"] = f"run {result.get('run_id')} goes on there; the same command attaches to it"
                return result
            reason = str(result.get("module_stdout") or result.get("module_stderr") or result.get("msg"))
        since = self._silent_since(task_vars or {}, asked)
        if time.monotonic() - since >= patience:
            raise AnsibleConnectionFailure(reason)
        # Where the refusal comes at once, the next look is no sooner than it would be otherwise.
        time.sleep(max(0.0, float(self._task.args.get("timeout", 10)) - (time.monotonic() - asked)))
        silent = {"since": since, "seconds": round(time.monotonic() - since, 1), "message": " ".join(reason.split())}
        return {"changed": False, "scenario_a_silent": silent | {"run_id": self._task.args.get("run_id")}}

    def _silent_since(self, task_vars: dict[str, Any], asked: float) -> float:
        """Return when the host was first asked in vain, by this machine's monotonic clock.

        Each attempt of `until` is an object of its own, so it is read from what the one before returned.
        """
        before = task_vars.get(self._task.register) or {}
        return float((before.get("scenario_a_silent") or {}).get("since", asked))
