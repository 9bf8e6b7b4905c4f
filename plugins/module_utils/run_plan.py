"""Which run of Scenario A serves a host's inputs, and what `run` would do there. Starts nothing and changes nothing."""

from __future__ import annotations

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.engine import of as engine_of
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError, refuse_if
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.run_start import exposed, room, too_full
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.runs import Runs


def serving(host: Host, runs: Runs, wanted: dict) -> str | None:
    """Return the run under way, or else the newest that went well, with these inputs; None where one is to be started.

    `wanted` has `input_hash`, `fresh`, `minimum_free_bytes` and `runtime`, as module scenario_run has them. Raises
    RefusalError where a run with other inputs is under way, or none can be started, and RuntimeError where the lock is
    sick.
    """
    run = runs.under_way()
    if run is not None:
        refuse_other(runs, run, wanted["input_hash"])
        return run
    if not wanted["fresh"]:
        run = runs.finished_well(wanted["input_hash"])
        if run is not None:
            return run
    needed = room(wanted["minimum_free_bytes"], wanted["runtime"])
    folders = [runs.root, *(engine_of(host).folders if wanted["runtime"] == "devcontainer" else ())]
    refuse_if(exposed(runs.root) or too_full(folders, needed) or "")
    return None


def refuse_other(runs: Runs, run: str, input_hash: str) -> None:
    """Raise RefusalError where `run`, which is under way, has other inputs."""
    if runs.described(run).get("input_hash") != input_hash:
        raise RefusalError(
            f"run {run}, with other inputs, is under way; wait for it, or stop it by `provisioner cancel`"
        )


def would(runs: Runs, run: str | None) -> dict[str, str]:
    """Return what a run would do that `run` serves: `would` is measure, reuse or attach, and `detail` is its id."""
    if not run:
        return {"would": "measure", "detail": ""}
    return {"would": "reuse" if runs.progress(run)["state"] == "finished" else "attach", "detail": run}


def planned(host: Host, wanted: dict) -> dict[str, str]:
    """Return what `run` would do on the host; that it would be refused is an answer as well."""
    runs = Runs(wanted["root"])
    try:
        return would(runs, serving(host, runs, wanted))
    except RefusalError as refusal:
        return {"would": "refuse", "detail": str(refusal)}
    except (OSError, RuntimeError) as error:
        return {"would": "refuse", "detail": f"runs of Scenario A: {error}"}
