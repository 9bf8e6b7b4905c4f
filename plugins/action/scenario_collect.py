"""Bring the runs of a host to the controller: the one that is asked for, and those that nobody has collected yet.

    scenario_collect:
      root: the scenario's folder on the host
      state_dir: where the controller keeps runs
      run_id: the run whose record becomes the fact; '' is the newest

Returns the fact `ansible_facts.scenario_a_record`, where that run has ended, and `scenario_recovered`: the other runs
that came along, each with `run_id`, `outcome` and `phase`, or with `error` where no record can be made of it.
"""

from __future__ import annotations

import base64
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils import earlier_names
from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.package import (
    answers,
    asking,
    challenge,
    printable,
    uncollectable,
)

try:
    from provisioner.signatures import known_hosts, receipt
    from provisioner.store import reception
    from provisioner.text import bounds, names
except ImportError as error:
    MISSING = error.name or str(error)
else:
    MISSING = ""


class ActionModule(ActionBase):
    """What Ansible calls."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Collect, oldest first. Raise AnsibleActionFail where the run that is asked for cannot be collected."""
        result = super().run(tmp, task_vars)
        if MISSING:
            raise AnsibleActionFail(uncollectable(MISSING))
        self._vars = task_vars or {}
        host = self._vars["inventory_hostname"]
        asked = self._asked(host)
        wanting = {"run_id": asked} if asked and not reception.is_here(self._runs / asked) else {}
        found = self._module(state="listed", **wanting)
        wanted = asked or found["run_id"]
        recovered = []
        changed = False
        runs = self._to_collect(found["scenario_ended"], wanted, asked)
        for run in reversed(runs[: bounds.RUNS]):
            try:
                archive = found.get("archive") if run["run_id"] == asked else None
                chosen = challenge.chosen(self._state, host, run["run_id"])
                changed = self._bring(run, archive, chosen) or changed
                record = reception.record(self._runs / run["run_id"], host, challenge=chosen)
                self._note(run)
            except (MemoryError, OSError, ValueError) as error:
                recovered.append(self._uncollectable(run, error, wanted=run["run_id"] == wanted))
                continue
            if run["run_id"] == wanted:
                # A fact keeps its name, as the one on the host does: plays of others read it.
                result["ansible_facts"] = {"scenario_a_record": record}
            else:
                recovered.append({"run_id": run["run_id"], "outcome": run["outcome"], "phase": run["phase"]})
        if len(runs) > bounds.RUNS:
            # `clean` would remove what has not been brought.
            raise AnsibleActionFail(
                f"{bounds.RUNS} of its {len(runs)} runs that nobody had collected were brought; run the command again"
            )
        return earlier_names.answered(self._task.action, result | {"changed": changed, "scenario_recovered": recovered})

    def _asked(self, host: str) -> str:
        """Take in where runs are kept; return the id of the run that is asked for, '' for the newest."""
        try:
            self._state = Path(self._task.args["state_dir"]).expanduser()
            self._runs = names.inside(self._state / "runs", names.host(host))
            return names.run_id(self._task.args["run_id"]) if self._task.args.get("run_id") else ""
        except ValueError as error:
            raise AnsibleActionFail(str(error)) from error

    def _to_collect(self, ended: list[dict[str, Any]], wanted: str, asked: str) -> list[dict[str, Any]]:
        """Return the runs to bring: the wanted one, and those that nobody has collected."""
        runs = [run for run in ended if run["run_id"] == wanted or not run["collected"]]
        if asked and asked not in {run["run_id"] for run in runs}:
            raise AnsibleActionFail(f"run {asked} is not among those that have ended there; look at the host")
        return runs

    def _uncollectable(self, run: dict[str, Any], error: Exception, *, wanted: bool) -> dict[str, Any]:
        """Return what is told of a run that cannot be collected; raise AnsibleActionFail where it is the wanted one."""
        message = f"run {run['run_id']} {run['outcome']} but cannot be collected: {printable(error)}"
        if wanted:
            cause = f" ({run['cause']})" if run["cause"] else ""
            raise AnsibleActionFail(f"{message}{cause}") from error
        return {"run_id": run["run_id"], "error": message}

    def _bring(self, run: dict[str, Any], archive: str | None, chosen: str | None) -> bool:
        """Make sure that the evidence is here, from `archive` or the host; say whether it had to be brought."""
        folder = self._runs / run["run_id"]
        if reception.is_here(folder):
            return False
        archive = archive or self._module(state="packed", run_id=run["run_id"])["archive"]
        packed = base64.b64decode(archive)
        reception.bring_in(packed, folder, lambda kept: self._receipt(run["run_id"], kept), challenge=chosen)
        return True

    def _receipt(self, run_id: str, packed: bytes) -> dict[str, bytes]:
        """Return the receipt of a run's archive that has just come, and its signature, as files by name."""
        transport = self._connection.transport
        keys = known_hosts.keys(*self._ssh()) if transport != "local" else []
        sender = receipt.Sender(run_id, self._runs.name, transport, tuple(keys[: receipt.MOST_KEYS]))
        return receipt.made(self._state, sender, packed)

    def _ssh(self) -> tuple[list[str], str]:
        """Return ssh with the options that the host is reached by, as far as its connection has them; its address."""
        given = {}
        for name in ("host", "port", "ssh_executable", "ssh_args", "ssh_common_args", "ssh_extra_args"):
            with suppress(KeyError):  # of another connection's
                given[name] = str(self._connection.get_option(name) or "")
        command = [given.get("ssh_executable") or "ssh"]
        for name in ("ssh_args", "ssh_common_args", "ssh_extra_args"):
            command += shlex.split(given.get(name, ""))
        if given.get("port"):
            command += ["-p", given["port"]]
        return command, given.get("host") or self._runs.name

    def _note(self, run: dict[str, Any]) -> None:
        """Tell the host that the run is collected; one without room for that is told again by the next command."""
        if not run["collected"]:
            with suppress(AnsibleActionFail):
                self._module(state="collected", run_id=run["run_id"])

    def _module(self, **options: Any) -> dict[str, Any]:
        """Ask the host; raise AnsibleActionFail with what it says."""
        arguments = {"root": self._task.args["root"], **options}
        with asking(self._connection.transport):
            answer = answers.run(
                self._execute_module("scenario_run", arguments, task_vars=self._vars),
                options["state"],
                options.get("run_id", ""),
            )
        if answer.get("failed"):
            raise AnsibleActionFail(str(answer.get("msg")), result=answer)
        return answer
