"""Action `mending`: as its module, with who the controller is; and a lock whose controller is gone is not waited for.

Whether a controller is still there can be seen only where it ran: on this machine, among the processes seen from here.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.package import answers, asking

PROC = Path("/proc")


class ActionModule(ActionBase):
    """What Ansible calls."""

    _VALID_ARGS = frozenset({"state", "before", "after", "log"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Have the module do it, again where it waits for a controller that is gone."""
        result = super().run(tmp, task_vars)
        identity = controller()
        # The same for each task of a play on a host, when it is tried again, too.
        named = repr((sorted(identity.items()), (task_vars or {}).get("inventory_hostname")))
        job = hashlib.sha256(named.encode()).hexdigest()[:16]
        options = {**self._task.args, "job": job, "controller": identity}
        options |= {name: listed(options[name]) for name in ("before", "after") if options.get(name) is not None}

        def ask(**more: Any) -> dict[str, Any]:
            answer = self._execute_module("provisioner.gpu_hosts.mending", options | more, task_vars=task_vars)
            return answers.mending(answer, options["state"])

        with asking(self._connection.transport):
            answer = ask()
            holder = answer.get("holder") or {}
            if is_gone(holder.get("identity") or {}):
                answer = ask(gone=holder["job"])
        # The looks are long, and were shown already.
        return {**result, **answer, "invocation": {"module_args": {"state": options["state"]}}}


def listed(looks: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was off, of the answers of `look` by role: each change with its role."""
    return [{"role": role, **change} for role, look in looks.items() for change in look["changes"]]


def controller() -> dict[str, Any]:
    """Return who this controller is: for people, and so that it can be seen from here whether it is still there."""
    pid = os.getppid()  # Ansible's own; each task is another process
    return {
        "name": platform.node(),
        "user": getpass.getuser(),
        "seen_from": seen_from(),
        "pid": pid,
        "began": began(pid),
    }


def is_gone(identity: dict[str, Any]) -> bool:
    """Return whether that controller is known not to be there any more."""
    here = seen_from()
    if not here or identity.get("seen_from") != here:
        return False
    return began(identity["pid"]) != identity["began"]


def seen_from() -> str:
    """Return the start of this machine and the processes that are seen in it; '' where the system does not tell."""
    with suppress(OSError):
        boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {(PROC / 'self/ns/pid').readlink()}"
    return ""


def began(pid: int) -> str:
    """Return when a process began, in the kernel's ticks; '' where there is none."""
    with suppress(OSError):
        return (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    return ""
