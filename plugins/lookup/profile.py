"""Lookup `profile`: where things come from, by the name of a file in inventory/profiles.

In place of `vars_files`, which Ansible reads anew for each task and host, before it starts any of them.
"""

from __future__ import annotations

DOCUMENTATION = r"""
name: profile
short_description: Where things come from
author: The provisioner authors (!UNKNOWN)
description:
  - A profile by its name, which is that of a file in inventory/profiles.
options:
  _terms:
    description: Names of profiles.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: "{{ lookup('provisioner.gpu_hosts.profile', 'registries') }}"
"""

RETURN = r"""
_raw:
  description: The profiles.
  type: list
  elements: dict
"""

from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase

PROFILES = Path(__file__).parents[2] / "inventory" / "profiles"


class LookupModule(LookupBase):
    """Gives the profiles of the names in `terms`."""

    def run(self, terms: list[str], *_: Any, **__: Any) -> list[dict[str, Any]]:
        """Read each file once in this process; raise AnsibleFileNotFound where there is none of a name."""
        paths = [str(PROFILES / f"{name}.yml") for name in terms]
        return [self._loader.load_from_file(path, cache="all", unsafe=True)["profile"] for path in paths]
