"""Asks the probes of several roles how the host that this runs on differs from what they want. Changes nothing."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.apt import waiting_for
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.busy import busy
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import locked, obstacle
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import MACHINES, Host, RefusalError

RESTART = "/run/reboot-required"
# What mending needs, whatever is off: the host's lock is there.
STATE = "/var/lib/provisioner"
IDLE_REMEDY = "wait until that is done, or leave out --require-idle (provisioner_require_idle)"


def answer(_again: object, **question: object) -> dict:
    """Return the answer to action `look`."""
    return looks(**question)


def looks(wanted: dict, when_busy: str = "", log: str = "", fact: str = "", run: dict | None = None) -> dict:
    """Return the result of action `look`; `wanted` is each role's wanted state. Never raises: a failure is told in it.

    `when_busy` is what comes of work under way on the host that is not ours: "tell", "refuse", or "" not to ask for it.
    `log` is the file that what is changed is noted in, `fact` the one that a run's record is published in. `run` are
    the inputs of a run, for which it is told what `run` would do.
    """
    machine = os.uname().machine
    if machine not in MACHINES:
        return {"failed": True, "msg": f"this is a machine of kind {machine}; use one of {' or '.join(MACHINES)}"}
    host = Host()
    work = busy(host) if when_busy else []
    told = [f"the host is busy: {'; '.join(work)}"] if work else []
    if told and when_busy == "refuse":
        return {"failed": True, "msg": f"{told[0]}; {IDLE_REMEDY}", "busy": work}
    found = {}
    for role, state in wanted.items():
        found[role] = _look(host, role, state)
        if found[role].get("failed"):
            return found[role]
    _note_without_log(found, log)
    off = [change for look in found.values() for change in look["changes"]]
    why = in_the_way(off) or (obstacle(fact, "file") if fact else "")
    if why:
        return {"failed": True, "msg": why}
    answer = {
        "busy": work,
        "looks": found,
        "waiting_for": waiting_for(host),
        "warnings": told + _notes(found),
        "reboot_required": _reboot_required(found),
    }
    return answer | ({"scenario_planned": _planned(host, run)} if run else {})


def _reboot_required(found: dict[str, dict]) -> bool:
    """Return whether the host's packages or a role's probe want a restart, even where nothing is to be done."""
    return Path(RESTART).exists() or any(look.get("reboot_required") for look in found.values())


def _look(host: Host, role: str, state: dict) -> dict:
    """Return what a role's probe finds, or why it failed as a module says it."""
    probe = importlib.import_module(f"{__package__}.{role}")
    try:
        return probe.look(host, state)
    except RefusalError as refusal:
        return {"failed": True, "refused": True, "msg": str(refusal)}
    except Exception as error:  # a probe's fault is told as any other: in one line that says where
        message = f"looking at {role} failed: {type(error).__name__}: {error}; please report this"
        return {"failed": True, "msg": message}


def _notes(found: dict[str, dict]) -> list[str]:
    """Return what all looks say that is no change."""
    return [note for look in found.values() for note in look.get("notes", ())]


def _note_without_log(found: dict[str, dict], log: str) -> None:
    """Add a note to the first look with changes, where the log cannot take them."""
    first = next((look for look in found.values() if look["changes"]), None)
    no_log = obstacle(log, "file") if first and log else ""
    if no_log:
        first["notes"] = [*first.get("notes", ()), f"what is changed will not be in the log: {no_log}"]


def _planned(host: Host, run: dict) -> dict[str, str]:
    from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import run_plan, variables  # noqa: PLC0415 - not for `prepare`

    variables.take()
    return run_plan.planned(host, run)


def in_the_way(off: list[dict[str, str]]) -> str:
    """Return what keeps a host from being mended at all, and the remedy; '' where nothing does, or nothing is off."""
    if not off:
        return ""
    from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.installation import RECORD  # noqa: PLC0415 - seldom needed
    from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.mending import LOCK  # noqa: PLC0415

    packages = any(change["what"].startswith("package ") for change in off)
    ours = obstacle(STATE, "directory") or obstacle(LOCK, "file") or obstacle(RECORD, "file")
    return ours or locked(STATE) or (locked("/usr") if packages else "")
