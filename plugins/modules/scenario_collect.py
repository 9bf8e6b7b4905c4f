#!/usr/bin/python
"""What `ansible-doc scenario_collect` and the linters read; the action plugin of this name is what runs."""

DOCUMENTATION = r"""
module: scenario_collect
short_description: Bring the runs of a host to the controller
author: The provisioner authors (!UNKNOWN)
description:
  - Brings the run that is asked for, and those that nobody has collected yet, with their evidence, and makes the
    record.
  - Needs the Python package provisioner beside Ansible on the controller.
options:
  root:
    description: The scenario's folder on the host.
    type: path
    required: true
  state_dir:
    description: Where the controller keeps runs.
    type: path
    required: true
  run_id:
    description: The run whose record becomes the fact; empty is the newest.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Bring the runs to the controller
  provisioner.gpu_hosts.scenario_collect:
    root: /var/lib/provisioner/scenario_a
    state_dir: ~/.local/state/provisioner
"""

RETURN = r"""
ansible_facts:
  description: The record of the run that was asked for, as C(scenario_a_record).
  type: dict
  returned: where that run has ended
scenario_recovered:
  description:
    - The other runs that came along, each with C(run_id), C(outcome) and C(phase), or with C(error) where no record can
      be made of it.
  type: list
  elements: dict
  returned: always
"""
