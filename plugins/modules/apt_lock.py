#!/usr/bin/python
"""Ansible module: whether another program has apt's lock. Changes nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: apt_lock
short_description: Whether another program has apt's lock
author: The provisioner authors (!UNKNOWN)
description:
  - For a task that is tried again until the lock is free, so that a person is told of the wait. apt itself waits in
    silence.
"""

EXAMPLES = r"""
- name: Wait until no other program has apt's lock
  provisioner.gpu_hosts.apt_lock:
  register: lock
  until: lock.waiting_for | length == 0
  retries: 60
  delay: 5
"""

RETURN = r"""
waiting_for: {description: Who has which lock; empty where it is free or there is no apt., type: str, returned: always}
msg: {description: What a person is told who waited in vain., type: str, returned: where it is not free}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.apt import waiting_for
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host


def main() -> None:
    """Look, and say who has it."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    who = waiting_for(Host())
    # At the last attempt, this is what failed.
    said = {"msg": f"still waiting for {who}; wait until it is done, or stop it, and run this again"} if who else {}
    module.exit_json(changed=False, waiting_for=who, **said)


if __name__ == "__main__":
    main()
