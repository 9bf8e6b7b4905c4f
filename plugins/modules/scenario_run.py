#!/usr/bin/python
"""Start a run of Scenario A, detached, or find the one that serves; wait for it; give its evidence."""

from __future__ import annotations

DOCUMENTATION = r"""
module: scenario_run
short_description: Start, find, await and collect runs of Scenario A
author: The provisioner authors (!UNKNOWN)
description:
  - A run is one folder under C(runs), made by C(benchmarking/scenario_a.sh), which holds the lock while
    it works.
  - The run is detached from Ansible, so that it goes on when the connection or the controller is lost; asking again
    attaches to it.
options:
  root:
    description: The scenario's folder on the host.
    type: path
    required: true
  state:
    description:
      - C(planned) only tells what C(started) would find; in check mode it leaves an interrupted run as it is, too.
      - C(started) makes sure that a run with these inputs is there, finished well or under way.
      - C(finished) waits until the run has finished or entered another phase, at most O(timeout) seconds. The action
        plugin of this name goes on waiting where the host does not answer, at most O(patience) seconds, and fails where
        the run goes on after O(watch) seconds of all its attempts.
      - C(listed) tells of the run under way and of each that has ended; changes nothing. With O(run_id) it gives that
        run's evidence, too, if it has ended.
      - C(cancelled) ends the run under way, with O(run_id) only if it is that one, and returns when it has ended, after
        O(timeout) seconds and some at most.
      - C(packed) gives the evidence of a run that has ended.
      - C(collected) remembers that a controller has the evidence of a run.
    choices: [planned, started, finished, listed, cancelled, packed, collected]
    default: started
    type: str
  scenario:
    description: With C(started), which scenario a run that is started is of.
    type: str
    default: a
  input_hash:
    description: What makes two runs comparable. A finished run with the same is found again.
    type: str
    default: ""
  fresh:
    description: Start a run although a finished one is there. One under way is attached to all the same.
    type: bool
    default: false
  run_id:
    description:
      - The run to wait for, to pack or to note as collected; with C(finished), the newest without it.
      - With C(started), the name of a run that is started.
    type: str
  by:
    description: With C(cancelled), who wishes it, for the run's result; the action plugin of this name tells.
    type: str
    default: ""
  challenge:
    description:
      - With C(started), 64 hex digits that a run which is started makes its attention test's numbers of. The action
        plugin of this name chooses them, and notes them below O(state_dir) of the controller; without any the host has
        its own.
    type: str
    default: ""
  state_dir:
    description: Where the controller keeps runs; for the action plugin of this name, which keeps challenges there.
    type: path
  minimum_free_bytes:
    description:
      - A run is not started with less free space than this, in bytes, on O(root) or where the engine keeps its images.
      - Without it that is what O(runtime) takes.
    type: int
  runtime:
    description: What the run happens in; a native one needs no room of an engine's.
    choices: [devcontainer, native]
    default: devcontainer
    type: str
  timeout:
    description: How long C(finished) waits at most, in seconds; with C(cancelled), how long a run has to end by itself.
    type: int
    default: 10
  patience:
    description: How long the host may give no answer while it is waited for, in seconds.
    type: int
    default: 0
  watch:
    description: How long a run is waited for in all, in seconds; 0 is without end.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Wait for the run
  provisioner.gpu_hosts.scenario_run:
    root: /var/lib/provisioner/scenario_a
    state: finished
    timeout: 10
  register: finished
  until: finished is failed or finished.scenario_progress.state == "finished"
"""

RETURN = r"""
run_id:
  description: The run that was found or started; null where none is there (C(planned)).
  type: str
  returned: >-
    with C(planned), C(started) and C(finished); with C(listed), where it is the newest; with C(cancelled), where it has
    ended
scenario_progress:
  description: >-
    Where the run stands. Times in seconds since its start; C(done) of C(total) steps of the compile; C(said), the last
    line of its log, where there are no steps to count; C(input_hash), which runs of the same inputs share.
  type: dict
  returned: when there is a run; with C(listed), when one is under way
scenario_planned:
  description: With C(planned), what C(started) would do - C(would) is measure, reuse, attach or refuse - and C(detail).
  type: dict
  returned: with C(planned)
scenario_cancelled:
  description:
    - With C(cancelled), what became of it. C(state) is cancelled; ended, where the run was past its phases; another,
      where O(run_id) is not the run under way; none, where there is none.
    - C(run_id) is the run that this is said of, C(by) who cancelled it, C(outcome) and C(phase) how and where it ended.
  type: dict
  returned: with C(cancelled)
scenario_ended:
  description: Runs that have ended, newest first, each with run_id, started_at, outcome, phase, cause and collected.
  type: list
  returned: with C(listed)
archive:
  description: The run's evidence, a tar.gz in base64.
  type: str
  returned: with C(packed), and with C(listed) where it was asked for and can be had
"""

import subprocess
import time
from contextlib import suppress

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import run_plan as plan
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import variables
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.run_start import start
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.run_stop import stop
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.runs import Runs


def await_change(runs: Runs, run: str, timeout: int) -> None:
    """Return when the run has finished or entered another phase, at the latest after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    before = runs.progress(run)["phase"]
    while time.monotonic() < deadline:
        now = runs.progress(run)
        if now["state"] == "finished" or now["phase"] != before:
            return
        time.sleep(1)
        runs.settle()  # where it was cut short meanwhile


def find_or_start(module: AnsibleModule, runs: Runs) -> tuple[str | None, bool]:
    """Return the run that serves the module's inputs, and whether one had to be started (in check mode: is missing)."""
    options = module.params
    run = plan.serving(Host(), runs, options)
    if run is not None:
        return run, False
    if options["state"] == "planned":
        return None, False
    if module.check_mode:
        return None, True
    run, scenario = options["run_id"], options["scenario"]
    started = start(runs, run, options["input_hash"], options["challenge"], scenario=scenario)
    plan.refuse_other(runs, started, options["input_hash"])
    return started, started == options["run_id"]


def serve(module: AnsibleModule, runs: Runs) -> dict:
    """Plan or start a run."""
    planned = module.params["state"] == "planned"
    if not (planned and module.check_mode):
        runs.settle()
    run, changed = find_or_start(module, runs)
    result = {"changed": changed, "run_id": run}
    if run:
        result["scenario_progress"] = runs.progress(run)
    if planned:
        result["scenario_planned"] = plan.would(runs, run)
    return result


def await_run(module: AnsibleModule, runs: Runs) -> dict:
    """Wait for a run."""
    runs.settle()
    run = module.params["run_id"] or next(iter(runs.newest_first()), None)
    if run is None:
        return {"run_id": None}
    await_change(runs, run, module.params["timeout"])
    return {"run_id": run, "scenario_progress": runs.progress(run)}


def listed(runs: Runs, wanted: str | None) -> dict:
    """Return all runs, as they are found, and the evidence of `wanted` where that has a result."""
    under_way = runs.under_way()
    ended = []
    for run in runs.newest_first():
        if run != under_way and runs.described(run):
            result = runs.result(run) or runs.interruption(run)
            ended.append(
                {"run_id": run, "started_at": runs.described(run)["started_at"], "collected": runs.is_collected(run)}
                | {name: result.get(name) for name in ("outcome", "phase", "cause")}
            )
    found = {"run_id": next(iter(runs.newest_first()), None), "scenario_ended": ended}
    if wanted and runs.result(wanted):
        with suppress(OSError):  # asking for it alone gives the reason
            found["archive"] = runs.packed(wanted)
    return found | ({"scenario_progress": runs.progress(under_way)} if under_way else {})


def cancel(module: AnsibleModule, runs: Runs) -> dict:
    """End the run under way, or only the one that is named."""
    wanted = module.params["run_id"]
    if not module.check_mode:
        runs.settle()
    run = runs.under_way()
    if wanted and run != wanted:
        if runs.result(wanted):
            return ending(runs, wanted, changed=False)
        of = {"run_id": run, "state": "another" if run else "none"}
        return {"run_id": None, "scenario_cancelled": of}
    if run is None or module.check_mode:
        return {"changed": run is not None, "run_id": None, "scenario_cancelled": {"run_id": run, "state": "none"}}
    stop(runs, run, module.params["by"], module.params["timeout"])
    return ending(runs, run, changed=True)


def ending(runs: Runs, run: str, *, changed: bool) -> dict:
    """Return how a run ended: by being cancelled just now, or otherwise."""
    result, by = runs.result(run) or {}, runs.cancelled_by(run)
    cancelled = changed and by is not None and result.get("outcome") == "interrupted"
    told = {"run_id": run, "state": "cancelled" if cancelled else "ended", "by": by}
    told |= {name: result.get(name) for name in ("outcome", "phase")}
    return {"changed": changed, "run_id": run, "scenario_cancelled": told}


def packed(runs: Runs, run: str) -> dict:
    """Return a run's evidence."""
    runs.settle()
    return {"run_id": run, "archive": runs.packed(run)}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "state": {
                "type": "str",
                "default": "started",
                "choices": ["planned", "started", "finished", "listed", "cancelled", "packed", "collected"],
            },
            "scenario": {"type": "str", "default": "a"},
            "input_hash": {"type": "str", "default": ""},
            "fresh": {"type": "bool", "default": False},
            "run_id": {"type": "str"},
            "by": {"type": "str", "default": ""},
            "challenge": {"type": "str", "default": ""},
            "state_dir": {"type": "path"},
            "minimum_free_bytes": {"type": "int"},
            "runtime": {"type": "str", "default": "devcontainer", "choices": ["devcontainer", "native"]},
            "timeout": {"type": "int", "default": 10},
            "patience": {"type": "int", "default": 0},
            "watch": {"type": "int", "default": 0},
        },
        required_if=[("state", state, ("run_id",)) for state in ("packed", "collected")],
        supports_check_mode=True,
    )
    variables.take()
    runs = Runs(module.params["root"])
    run = module.params["run_id"]
    answers = {
        "planned": lambda: serve(module, runs),
        "started": lambda: serve(module, runs),
        "finished": lambda: await_run(module, runs),
        "listed": lambda: listed(runs, run),
        "cancelled": lambda: cancel(module, runs),
        "packed": lambda: packed(runs, run),
        "collected": lambda: {"run_id": run, "changed": runs.note_collected(run)},
    }
    try:
        result = answers[module.params["state"]]()
    except RefusalError as refusal:  # a refusal is a plan, too
        module.fail_json(msg=str(refusal), scenario_planned={"would": "refuse", "detail": str(refusal)})
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        module.fail_json(msg=f"runs of Scenario A: {getattr(error, 'stderr', '') or error}".strip())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
