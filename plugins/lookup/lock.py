"""Lookup `lock`: a file that says by sums what pip or npm may install on hosts, and whether it has what is wanted.

A name without a folder is one of playbooks/locks; a person's own is an absolute path on the controller. pip's is a
requirements file with hashes, as `uv pip compile --generate-hashes` writes it; npm's is a package-lock.json.
"""

from __future__ import annotations

DOCUMENTATION = r"""
name: lock
short_description: What pip or npm may install, by sums
author: The provisioner authors (!UNKNOWN)
description:
  - Reads a lock, and says whether it has what is wanted. A name without a folder is one of playbooks/locks.
options:
  _terms:
    description: Requirements files with hashes, or package-lock.json files.
    type: list
    elements: path
    required: true
  wanted:
    description: Packages at versions that it must have.
    type: list
    elements: str
    required: true
  setting:
    description: The variable by which a person can name another lock.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: >-
      {{ lookup('provisioner.gpu_hosts.lock', 'finder.txt', wanted=['unearth==0.19.0'], setting='finder_lock') }}
"""

RETURN = r"""
_raw:
  description: C(text) and C(refusal), which is empty where the lock will do, for each file.
  type: list
  elements: dict
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase

LOCKS = Path(__file__).parents[2] / "playbooks" / "locks"
HOW = {
    ".txt": "uv pip compile --universal --generate-hashes",
    ".json": "npm install --package-lock-only --save-exact --omit-lockfile-registry-resolved",
}


class LookupModule(LookupBase):
    """Gives {text, refusal} for each file of `terms`; `refusal` is why it will not do, '' where it does."""

    def run(self, terms: list[str], *_: Any, wanted: list[str], setting: str, **__: Any) -> list[dict[str, str]]:
        """Read the files; `wanted` are packages at versions, `setting` the variable that can name another file."""
        return [locked(LOCKS / Path(name).expanduser(), wanted, setting) for name in terms]


def locked(path: Path, wanted: list[str], setting: str) -> dict[str, str]:
    """Return the lock's text, and in words what keeps `wanted` from being installed by it."""
    try:
        text = path.read_text(encoding="utf-8")
        found = set(with_sums(path.suffix, text))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        return {"text": "", "refusal": f"the lock {path} cannot be read: {why}; name another one in {setting}"}
    refusals = [
        f"{each} is not in the lock {path} with its sum, and what root installs is pinned by one; name a lock that has "
        f"it in {setting} (made by '{HOW[path.suffix]}'), or leave the version as it comes"
        for each in wanted
        if normal(each) not in found
    ]
    return {"text": text, "refusal": "".join(refusals[:1])}


def with_sums(suffix: str, text: str) -> Iterator[str]:
    """Yield what a lock of that kind has with a sum, as `normal` writes it; raises an error where it is of none."""
    if suffix == ".json":
        for place, package in json.loads(text)["packages"].items():
            if place and not package.get("integrity"):  # npm would take it as it comes
                raise ValueError(f"{place} has no integrity")
            if place:
                yield f"{place.partition('node_modules/')[2]}@{package['version']}"
    elif suffix == ".txt":
        lines = text.replace("\\\n", " ").splitlines()
        yield from (normal(line.split()[0]) for line in lines if " --hash=" in line and line.strip()[0] != "#")
    else:
        raise ValueError(f"its name ends with none of {' and '.join(HOW)}")


def normal(requirement: str) -> str:
    """Return a requirement as pip compares it: `A_b.c==1` is `a-b-c==1`. npm's stay as they are."""
    name, joint, version = requirement.replace(" ", "").partition("==")
    return re.sub("[-_.]+", "-", name).lower() + joint + version if joint else requirement
