"""Lookup `distributions`: what is known of each release of a distribution, from the table of them."""

from __future__ import annotations

DOCUMENTATION = r"""
name: distributions
short_description: What is known of each release of a distribution
author: The provisioner authors (!UNKNOWN)
description:
  - A part of the table of distributions, by release, such as C(debian12) or C(ubuntu24.04). Releases that have nothing
    there are left out. distributions/README.md says what the table has.
  - Hosts pick their own entry, so that no facts are needed.
options:
  _terms:
    description: >-
      Where in a release's entry, keys with dots between them. A role's whole part also has C(id), C(name) and
      C(codename), those of the release.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show the packages of each distribution's own Docker engine
  ansible.builtin.debug:
    msg: "{{ lookup('provisioner.gpu_hosts.distributions', 'docker_engine.distribution') }}"
"""

RETURN = r"""
_raw:
  description: For each term what the releases have there, by release.
  type: list
  elements: dict
"""

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.distributions import column


class LookupModule(LookupBase):
    """Gives a dictionary for each of `terms`."""

    def run(self, terms: list[str], *_: Any, **__: Any) -> list[dict[str, Any]]:
        """Raise AnsibleLookupError where the table is wrong."""
        try:
            return [column(term) for term in terms]
        except ValueError as error:
            raise AnsibleLookupError(str(error)) from error
