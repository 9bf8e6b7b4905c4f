"""Asks the probes of several roles how the host that this runs on differs from what they want. Changes nothing."""

from __future__ import annotations

import importlib
from pathlib import Path

from ansible.module_utils.provisioner_host import Host, RefusalError
from ansible.module_utils.provisioner_packages import waiting_for

RESTART = "/run/reboot-required"


def looks(wanted: dict) -> dict:
    """The result of action `look`; `wanted` is each role's wanted state. Never raises: a failure is told in it."""
    host = Host()
    found = {}
    for role, state in wanted.items():
        probe = importlib.import_module(f"ansible.module_utils.provisioner_{role}")
        try:
            found[role] = probe.look(host, state)
        except RefusalError as refusal:
            return {"failed": True, "msg": str(refusal)}
        except Exception as error:  # a probe's fault is told as any other: in one line that says where
            message = f"looking at {role} failed: {type(error).__name__}: {error}; please report this"
            return {"failed": True, "msg": message}
    warnings = [note for look in found.values() for note in look.get("notes", ())]
    # What the host's packages or a role's probe want, told even where nothing is to be done.
    restart = Path(RESTART).exists() or any(look.get("reboot_required") for look in found.values())
    return {"looks": found, "waiting_for": waiting_for(host), "warnings": warnings, "reboot_required": restart}
