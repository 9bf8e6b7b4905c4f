#!/usr/bin/python
"""What `ansible-doc valid_inputs` and the linters read; the action plugin of this name is what runs."""

DOCUMENTATION = r"""
module: valid_inputs
short_description: Refuse what a person set, before any host is touched
author: The provisioner authors (!UNKNOWN)
description:
  - Fails with the first text of a list that is not empty, and says in its result that the inputs are to blame.
  - Runs on the controller and needs no connection.
options:
  refusals:
    description:
      - The name of a variable that has a list of texts. Each says what is wrong and what to give instead; an empty one
        says nothing.
      - A list that cannot be templated is a wrong input, too.
    type: str
    required: true
  notes:
    description: The name of a variable that has a list of texts, which a person should know where nothing is refused.
    type: str
"""

EXAMPLES = r"""
- name: Check the settings
  provisioner.gpu_hosts.valid_inputs:
    refusals: my_role_refusals
"""

RETURN = r"""
invalid_inputs:
  description: True; by this value a wrong input is told from any other failure.
  type: bool
  returned: where something is refused
input_notes:
  description: The notes.
  type: list
  returned: where nothing is refused
"""
