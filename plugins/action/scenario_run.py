"""The module scenario_run, which goes on waiting for a run while its host does not answer.

Ansible gives a host up at the first connection that fails. A run goes on without us, so here a host that restarts, or
a network that is away for minutes, is told as `scenario_silent` instead, and the task's `until` asks again.
A run that is started gets a challenge that is chosen here, and known below `state_dir` before the run is there; one
that is cancelled is told by whom.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action.normal import ActionModule as NormalAction

from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils import earlier_names
from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.package import (
    answers,
    asking,
    challenge,
    person,
    printable,
)


class ActionModule(NormalAction):
    """What Ansible calls."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module, whatever it is called in the play. Raise AnsibleActionFail where its inputs contradict."""
        for line in earlier_names.notes(task_vars or {}, self._templar, self._task.get_vars()):
            self._display.warning(line)
        return earlier_names.answered(self._task.action, self._watched(tmp, task_vars))

    def _watched(self, tmp: str | None, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """Run the module; where it waits and the host does not answer, say so instead of failing.

        A run that goes on when it has been watched for `watch` seconds is a failure. Raise AnsibleConnectionFailure
        where the host has not answered for `patience` seconds, as always without it.
        """
        patience, watch = (int(self._task.args.get(name, 0)) for name in ("patience", "watch"))
        asked = time.monotonic()
        # Each attempt of `until` is an object of its own: it knows of the one before by what that returned.
        before = self._before(task_vars or {})
        watched = {"scenario_watched_since": before.get("scenario_watched_since", asked)} if watch else {}
        try:
            with asking(self._connection.transport):
                result = self._answer(tmp, task_vars) | watched
        except AnsibleConnectionFailure as error:
            reason = str(error)
        else:
            # Without the module's answer the host was lost, or shut down, in the middle of it.
            if not patience or not (result.get("failed") and "module_stdout" in result):
                watched_enough = watch and time.monotonic() - watched["scenario_watched_since"] >= watch
                return result | self._goes_on(result, failed=bool(watched_enough))
            reason = str(result.get("module_stdout") or result.get("module_stderr") or result.get("msg"))
        since = float((before.get("scenario_silent") or {}).get("since", asked))
        if time.monotonic() - since >= patience:
            raise AnsibleConnectionFailure(reason)
        # Where the refusal comes at once, the next look is no sooner than it would be otherwise.
        time.sleep(max(0.0, float(self._task.args.get("timeout", 10)) - (time.monotonic() - asked)))
        silent = {"since": since, "seconds": round(time.monotonic() - since, 1), "message": " ".join(reason.split())}
        return {"changed": False, "scenario_silent": silent | {"run_id": self._task.args.get("run_id")}} | watched

    def _goes_on(self, result: dict[str, Any], *, failed: bool) -> dict[str, Any]:
        """Return what is to be added to the answer on a run that goes on, `failed` as well; {} of any other."""
        if (result.get("scenario_progress") or {}).get("state") != "running":
            return {}
        # Read where the task's attempts are used up, as well.
        told = (
            f"run {result.get('run_id')} goes on there; the same command attaches to it again, and "
            "`provisioner cancel` stops it"
        )
        return {"msg": told} | ({"failed": True} if failed else {})

    def _before(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return what the attempt before this one returned; {} of the first."""
        # Its name is a text, and from ansible-core 2.21 on a mapping from the name, whose value is yet to be made.
        registered = self._task.register or ""
        value = task_vars.get(registered if isinstance(registered, str) else next(iter(registered))) or {}
        return dict(value if isinstance(value, dict) else self._templar.template(value) or {})

    def _answer(self, tmp: str | None, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """Return what the host answers; raise WrongAnswerError."""
        arguments = self._task.args
        state, run_id = arguments.get("state", "started"), arguments.get("run_id") or ""
        noted = None
        if state == "cancelled" and person:
            arguments["by"] = person.at_this_machine()
        noting = challenge is not None and state == "started" and not self._task.check_mode
        if noting and run_id and arguments.get("state_dir"):
            noted = Path(arguments["state_dir"]).expanduser(), str((task_vars or {})["inventory_hostname"]), run_id
            try:
                arguments["challenge"] = challenge.choose(*noted)
            except (OSError, ValueError) as error:
                raise AnsibleActionFail(f"no challenge for the run in {noted[0]}: {printable(error)}") from error
        result = answers.run(super().run(tmp, task_vars), state, run_id, check_mode=self._task.check_mode)
        refused = (result.get("scenario_planned") or {}).get("would") == "refuse"
        if noted and (refused or result.get("run_id") not in (None, run_id)):  # whatever else failed, it may have begun
            challenge.forget(*noted)
        return result
