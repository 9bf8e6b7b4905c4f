"""The Python package `provisioner`, where this controller has it: what the actions take from it, or do without.

With it what a host answers is held to its types and bounds before Ansible sees it, and a run is started with a
challenge. A role alone works without it; a host's answer then counts as that of any module of Ansible's does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["answers", "asking", "challenge", "changes", "missing", "person", "printable", "uncollectable"]

COLLECTION = Path(__file__).resolve().parents[2]
if (COLLECTION / "provisioner" / "errors.py").is_file():
    sys.path.append(str(COLLECTION))  # a checkout, whose package need not be installed

NEEDED = ("provisioner.runs.archive", "pydantic")
"""What collecting imports: ours, and what that imports of others."""


class Unchecked:
    """In place of the package's `answers`: each function gives the answer as it is."""

    parse = staticmethod(json.loads)

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        """Return a function that takes whatever the one of that name takes."""
        return lambda answer, *_, **__: dict(answer)


def unbounded(transport: str) -> AbstractContextManager[None]:  # noqa: ARG001 - as `asking` takes it
    """Do nothing, in place of the package's `asking`."""
    return nullcontext()


def one_line(text: object) -> str:
    """Return it on one line, in place of the package's `printable`."""
    return " ".join(str(text).split())


def missing() -> str:
    """Return what of NEEDED cannot be imported here, the first; '' where all of it can."""
    for name in NEEDED:
        try:
            if find_spec(name) is None:
                return name.partition(".")[0]
        except ImportError:
            return name.partition(".")[0]
    return ""


def uncollectable(name: str) -> str:
    """Return in one line, with the remedy, why runs cannot be collected where the package `name` is missing."""
    return (
        f"runs cannot be collected here, since the Python of this Ansible has no package {name}: install provisioner "
        "there, or give this checkout's bin/provisioner run"
    )


answers: Any
asking: Callable[[str], AbstractContextManager[None]]
printable: Callable[[object], str]
challenge: Any
changes: Any
person: Any

try:
    from provisioner.ansible import answers, changes
    from provisioner.ansible.worker import asking
    from provisioner.runs import challenge
    from provisioner.system import person
    from provisioner.text.display import printable
except ImportError:
    answers, asking, printable = Unchecked(), unbounded, one_line
    challenge = changes = person = None
