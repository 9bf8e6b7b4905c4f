#!/usr/bin/python
"""Ansible module: whether another program has apt's lock. Changes nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: apt_lock
short_description: Whether another program has apt's lock
description:
  - For a task that is tried again until the lock is free, so that a person is told of the wait. apt itself waits in
    silence.
"""

RETURN = r"""
waiting_for: {description: Who has which lock; empty where it is free or there is no apt., type: str, returned: always}
msg: {description: What a person is told who waited in vain., type: str, returned: where it is not free}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.provisioner_host import Host
from ansible.module_utils.provisioner_packages import lock_holder


def main() -> None:
    """Look, and say who has it."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    path, holder = lock_holder(Host())
    if not path:
        module.exit_json(changed=False, waiting_for="")
    # Where nobody tries again, or for the last time, this is what failed.
    said = f"{holder} still has {path}; wait until it is done, or stop it, and run this again"
    module.exit_json(changed=False, waiting_for=f"{holder}, which has {path}", msg=said)


if __name__ == "__main__":
    main()
