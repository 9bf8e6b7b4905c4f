"""Lookup `bundle`: a bundle's sum on the controller, what its manifest says, and the sums that its files may have."""

from __future__ import annotations

DOCUMENTATION = r"""
name: bundle
short_description: What a bundle on the controller is
author: The provisioner authors (!UNKNOWN)
description:
  - The sum of a bundle, what its manifest says, and the sums that its files may have.
options:
  _terms:
    description: Archives on the controller.
    type: list
    elements: path
    required: true
  lock:
    description: The name of the wheels' lock beside the profiles.
    type: str
    required: true
  sdist:
    description: The sum of the source release that it may have.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: "{{ lookup('provisioner.gpu_hosts.bundle', 'bundle.tar', lock='offline-wheels.txt', sdist='') }}"
"""

RETURN = r"""
_raw:
  description: C(sha256), empty where there is no such archive, C(manifest) and C(known), for each archive.
  type: list
  elements: dict
"""

import hashlib
import json
import re
import tarfile
from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase

COLLECTION = Path(__file__).parents[2]
LOCKS = ("node.txt", "package-lock.json")
"""Locks of role devcontainer_cli, whose Node and CLI a bundle may have."""


class LookupModule(LookupBase):
    """Gives {sha256, manifest, known} for each archive of `terms`; `sha256` is '' where there is none."""

    def run(self, terms: list[str], *_: Any, lock: str, sdist: str, **__: Any) -> list[dict[str, Any]]:
        """Return what `found` says of each archive; `lock` is the wheels' lock, `sdist` the source release's sum."""
        texts = [COLLECTION / "inventory/profiles" / lock, *(COLLECTION / "playbooks/locks" / name for name in LOCKS)]
        text = "".join(path.read_text(encoding="utf-8") for path in texts)
        known = [*re.findall("sha256:([0-9a-f]{64})", text), *re.findall('"integrity": "([^"]+)"', text), sdist]
        return [{**found(Path(archive)), "known": known} for archive in terms]


def found(archive: Path) -> dict[str, Any]:
    """Return the sum of an archive and its manifest; that is {} where it cannot be read, which hosts refuse."""
    if not archive.is_file():
        return {"sha256": "", "manifest": {}}
    with archive.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        with tarfile.open(archive, "r:") as tar:
            member = tar.extractfile("manifest.json")
            manifest = json.load(member) if member else {}
    except (OSError, tarfile.TarError, KeyError, ValueError):
        manifest = {}
    return {"sha256": sha256, "manifest": manifest if isinstance(manifest, dict) else {}}
