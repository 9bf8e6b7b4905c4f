#!/usr/bin/python
"""What is off on a host, by the probes of several roles; the action of this name asks the same ones more quickly."""

from __future__ import annotations

DOCUMENTATION = r"""
module: look
short_description: What is off on a host, for several roles at once
author: The provisioner authors (!UNKNOWN)
description:
  - Asks the probe of each role, C(plugins/module_utils/ROLE.py), how the host differs from what the role wants,
    which is the variable C(ROLE_wanted). It holds no secrets.
  - The action plugin of this name sends the probes to the host's Python by themselves. Where the connection takes no
    input, it runs this module.
  - Changes nothing. It needs no gathered facts, so that a host that needs nothing costs one round trip.
options:
  roles:
    description: Names of the roles, or the name of a variable that has the list of them.
    type: raw
    required: true
  known:
    description: >-
      What an earlier look found, its C(looks). Where all of the roles are in it, that is given and the host is not
      asked. For the action plugin only.
    type: dict
  depends_on:
    description: >-
      Roles that these stand on. Where one of them has changes in O(known), which were made since, the host is asked
      nevertheless. For the action plugin only.
    type: list
    elements: str
  wanted:
    description: What each of the roles wants. The action plugin takes it from their variables.
    type: dict
  busy:
    description: >-
      Whether to ask what the host is busy with too, and what comes of it: C(tell) warns of it, C(refuse) fails.
    type: str
    choices: [tell, refuse]
  run:
    description: >-
      The inputs of a run, C(root), C(input_hash), C(fresh), C(minimum_free_bytes) and C(runtime) as of module
      C(scenario_run), or the name of the variable that has them: what a run would do is told, too. The action plugin
      takes the name alone.
    type: raw
  planned:
    description: >-
      The digest of the changes that are planned, as the command C(prepare) makes it of a plan. A host on which other
      things are off is refused, with what was found. For the action plugin only, which needs the Python package
      C(provisioner) for it.
    type: str
  log:
    description: The file on the host that what is changed will be noted in; a warning where something is in its way.
    type: path
  fact:
    description: The file on the host that a record will be published in; refused where something is in its way.
    type: path
"""

EXAMPLES = r"""
- name: See what is off about the engine
  provisioner.gpu_hosts.look:
    roles: [site, docker_engine]
  register: looked

- name: See what is off about the container toolkit, unless that is known
  provisioner.gpu_hosts.look:
    roles: [nvidia_container_toolkit]
    known: "{{ looked.looks }}"
    depends_on: [docker_engine]
  register: toolkit_looked
"""

RETURN = r"""
looks:
  description: >-
    For each role C(changes), a list of what, from and to, empty where there is nothing to do; and what else the role's
    tasks need.
  type: dict
  returned: always
"off":
  description: The changes of all of these roles together, each with what, from and to.
  type: list
  elements: dict
  returned: always
busy:
  description: What is under way on the host and is not ours, a line for each kind; empty where nothing is.
  type: list
  elements: str
  returned: when the host was asked
waiting_for:
  description: Who has which of apt's locks; empty where they are free or there is no apt.
  type: str
  returned: when the host was asked
scenario_planned:
  description: What a run would do, C(would) and C(detail) as of module C(scenario_run).
  type: dict
  returned: with O(run)
reboot_required:
  description: Whether the host's packages, or the look of a role, want a restart.
  type: bool
  returned: when the host was asked
"""

from ansible.module_utils.basic import AnsibleModule

# Ansible sends them along.
# pylint: disable-next=unused-import
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import probes  # noqa: F401
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.look import looks


def main():
    """Look, and exit with what was found."""
    module = AnsibleModule(
        argument_spec={
            "roles": {"type": "raw", "required": True},
            "known": {"type": "dict"},
            "depends_on": {"type": "list", "elements": "str"},
            "wanted": {"type": "dict"},
            "busy": {"type": "str", "choices": ["tell", "refuse"]},
            "run": {"type": "raw"},
            "planned": {"type": "str"},
            "log": {"type": "path"},
            "fact": {"type": "path"},
        },
        supports_check_mode=True,
    )
    given = module.params
    options = {"when_busy": given["busy"] or "", "log": given["log"] or "", "fact": given["fact"] or ""}
    answer = looks(given["wanted"] or {}, run=given["run"], **options)
    if answer.pop("failed", False):
        module.fail_json(**answer)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
