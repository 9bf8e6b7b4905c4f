"""What the rules know of base images and of what they are made of; the data are in known_bases.json.

`digests` has those of registries by name, `toolkits` what the wheels of CUDA make, `wheels` the sums of locked wheels.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ARCHIVE", "DATA", "TOOLKIT", "WHEELS", "known", "toolkit_of"]

DATA = Path(__file__).parent / "known_bases.json"
ARCHIVE, TOOLKIT, WHEELS = "provisioner.archive", "provisioner.toolkit", "provisioner.wheels"
"""The labels of a base that provisioner makes: the sums of what was imported and of its toolkit, and its wheels."""


@cache
def known() -> dict[str, Any]:
    """Return what the rules know of bases: see the file's own words."""
    document: dict[str, Any] = json.loads(DATA.read_text(encoding="utf-8"))
    return document


def toolkit_of(labels: Mapping[str, str]) -> dict[str, Any] | None:
    """Return what is known of a toolkit of the wheels that a base's labels name; None where nothing is."""
    wheels = sorted(labels.get(WHEELS, "").split(","))
    return next((entry for entry in known()["toolkits"] if sorted(entry["wheels"]) == wheels), None)
