"""Lookup `cuda_architectures`: a list of architectures as people write it, with torch's names for them as numbers."""

from __future__ import annotations

DOCUMENTATION = r"""
name: cuda_architectures
short_description: GPU architectures in numbers
author: The provisioner authors (!UNKNOWN)
description:
  - A list of architectures as people write it, with torch's names for them as numbers.
options:
  _terms:
    description: Lists of architectures, each a text.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: "{{ lookup('provisioner.gpu_hosts.cuda_architectures', 'Hopper') }}"
"""

RETURN = r"""
_raw:
  description: Each list in numbers, such as 9.0+PTX.
  type: list
  elements: str
"""

from typing import Any

from ansible.plugins.lookup import LookupBase

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import cuda  # the same file as on hosts


class LookupModule(LookupBase):
    """Gives each list of `terms` in numbers: "Hopper" is 9.0+PTX."""

    def run(self, terms: list[str], *_: Any, **__: Any) -> list[str]:
        """Replace the names."""
        return [cuda.numbers(str(text)) for text in terms]
