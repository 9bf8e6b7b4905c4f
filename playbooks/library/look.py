#!/usr/bin/python
"""Ansible module: what is not as it is wanted on a host, for all roles in one call. Changes nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: look
short_description: What is off on a host, for several roles at once
description:
  - Asks the probe of each role, C(module_utils/provisioner_ROLE.py), how the host differs from what the role wants.
  - It needs no gathered facts, so that a host that needs nothing costs one round trip.
options:
  wanted:
    description: For each role its wanted state, as the role's C(ROLE_wanted) has it. It holds no secrets.
    type: dict
    required: true
"""

RETURN = r"""
looks:
  description: >-
    For each role C(changes), a list of what, from and to, empty where there is nothing to do; and what else the role's
    tasks need.
  type: dict
  returned: always
ansible_facts:
  description: C(provisioner_reboot_required), where the host's packages, or the look of a role, want a restart.
  type: dict
  returned: where they do
"""

import importlib
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.provisioner_host import Host, RefusalError

RESTART = "/run/reboot-required"


def probes() -> None:
    """Never called: Ansible reads imports to know what a host needs, so each role's probe is named here."""
    from ansible.module_utils import (  # noqa: F401, PLC0415
        provisioner_devcontainer_cli,
        provisioner_docker_engine,
        provisioner_gpu_driver,
        provisioner_local_sources,
        provisioner_nvidia_container_toolkit,
        provisioner_site,
    )


def main() -> None:
    """Look, and say what is off."""
    module = AnsibleModule(argument_spec={"wanted": {"type": "dict", "required": True}}, supports_check_mode=True)
    host = Host()
    looks = {}
    for role, wanted in module.params["wanted"].items():
        probe = importlib.import_module(f"ansible.module_utils.provisioner_{role}")
        try:
            looks[role] = probe.look(host, wanted)
        except RefusalError as refusal:
            module.fail_json(msg=str(refusal))
        except Exception as error:  # a probe's fault is told as any other: in one line that says where
            module.fail_json(msg=f"looking at {role} failed: {type(error).__name__}: {error}; please report this")
        for note in looks[role].get("notes", ()):
            module.warn(note)
    # What the host's packages or a role's probe want, told even where nothing is to be done.
    wants = Path(RESTART).exists() or any(found.get("reboot_required") for found in looks.values())
    restart = {"ansible_facts": {"provisioner_reboot_required": True}} if wants else {}
    # Nothing is said of what was wanted: it is long.
    module.exit_json(changed=False, looks=looks, invocation={"module_args": {"wanted": sorted(looks)}}, **restart)


if __name__ == "__main__":
    main()
