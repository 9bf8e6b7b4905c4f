"""Who gives a command, as the system knows it: for hosts and records to tell."""

import os
import platform
import pwd

from provisioner.text.display import printable

__all__ = ["CANCELLED", "at_this_machine"]

CANCELLED = "cancelled by a person"
"""How the cause begins that a host gives for a run which was cancelled there; by whom follows."""

LONGEST = 200
"""Characters."""


def at_this_machine() -> str:
    """Return USER@MACHINE; a user without a name is told by the number."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = str(number)
    return printable(f"{name}@{platform.node()}", LONGEST)
