"""Lookup `uncollectable`: why runs cannot be collected on this controller, which takes the Python package."""

from __future__ import annotations

DOCUMENTATION = r"""
name: uncollectable
short_description: Why runs cannot be collected on this controller
author: The provisioner authors (!UNKNOWN)
description:
  - Says in one line what is missing; collecting takes the Python package provisioner beside Ansible.
options:
  _terms:
    description: Nothing.
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: "{{ lookup('provisioner.gpu_hosts.uncollectable') }}"
"""

RETURN = r"""
_raw:
  description: One line, with the remedy; empty where runs can be collected.
  type: list
  elements: str
"""

from typing import Any

from ansible.plugins.lookup import LookupBase

from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.package import missing, uncollectable


class LookupModule(LookupBase):
    """Gives one line, with the remedy; '' where runs can be collected."""

    def run(self, *_: Any, **__: Any) -> list[str]:
        """Look for the packages and import none: each host's worker would do so anew."""
        name = missing()
        return [uncollectable(name) if name else ""]
