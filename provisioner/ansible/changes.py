"""What is off on a host, as looks tell it: a list of changes, each with what, from and to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["CHANGED", "differences", "digest", "once"]

CHANGED = "what is off on it is not what its plan has"
"""How a host is refused that is to be changed by a plan."""

Change = Mapping[str, Any]


def once(changes: Iterable[Change]) -> list[Change]:
    """Return the changes, each once: two roles may need the same package."""
    told: dict[str, Change] = {}
    for change in changes:
        told.setdefault(_key(change), change)
    return list(told.values())


def digest(changes: Iterable[Change]) -> str:
    """Return what is the same for the same changes, in whatever order and by whichever role they were told."""
    return hashlib.sha256("\n".join(sorted({_key(change) for change in changes})).encode()).hexdigest()


def differences(planned: Iterable[Change], now: Iterable[Change]) -> list[str]:
    """Return, a text each, what was planned and is off no more, then what is off now and was not planned."""
    then = {_key(change): change for change in planned}
    new = {_key(change): change for change in now}
    gone = [f"no more {_text(change)}" for key, change in then.items() if key not in new]
    return gone + [f"now {_text(change)}" for key, change in new.items() if key not in then]


def _key(change: Change) -> str:
    return json.dumps([change["what"], change["from"], change["to"]])


def _text(change: Change) -> str:
    return f"{change['what']}: {change['from']} -> {change['to']}"
