"""Lookup `uncollectable`: why runs cannot be collected on this controller, which takes the Python package."""

from __future__ import annotations

from typing import Any

from ansible.plugins.lookup import LookupBase

from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.package import missing, uncollectable


class LookupModule(LookupBase):
    """Gives one line, with the remedy; '' where runs can be collected."""

    def run(self, *_: Any, **__: Any) -> list[str]:
        """Look for the packages and import none: each host's worker would do so anew."""
        name = missing()
        return [uncollectable(name) if name else ""]
