"""What a lab is, what its parts are called, and what may be asked for."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import Exit, ProvisionerError
from provisioner.lab import releases

__all__ = ["MAX_HOSTS", "Lab", "LabHost", "Report", "check_name", "check_request"]

Report = Callable[[str], None]

MAX_HOSTS = 200  # the smallest network that Docker commonly hands out, a /24, has room for these


@dataclass(frozen=True)
class LabHost:
    """One host: its name in the inventory, IPv4 address, login, Debian release, Docker's word for its state.

    `dress` is the name of the dress that it was made for; empty where it is as it comes. `outside` is set of the one
    that stands in for the outside world, which is in no inventory.
    """

    name: str
    address: str
    user: str
    debian: int
    state: str
    dress: str = ""
    outside: bool = False


@dataclass(frozen=True)
class Lab:
    """Hosts that were made together, and the inventory that names them; `outside` stands in for the outside world."""

    name: str
    inventory: Path
    hosts: tuple[LabHost, ...]
    outside: LabHost | None = None

    def to_dict(self) -> dict[str, object]:
        """Return what `lab up --json` prints."""
        return {"inventory": str(self.inventory), "hosts": [host.name for host in self.hosts]}


def check_name(name: str) -> None:
    """Raise ProvisionerError (code 2) where `name` cannot be a lab's: it becomes part of host names."""
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?", name):
        raise ProvisionerError(
            f"--name: {name!r} cannot be the name of a lab",
            "use at most 32 small letters, digits and dashes, such as 'lab' or 'gpu-2'",
            Exit.BAD_INPUT,
        )


def check_request(name: str, count: int, debian: int, user: str, dressed: int = 0) -> None:
    """Raise ProvisionerError (code 2) where a lab of `count` plain hosts and so many dressed ones cannot be made."""
    check_name(name)
    if count < 0 or not 1 <= count + dressed <= MAX_HOSTS:
        raise ProvisionerError(f"a lab of {count + dressed} hosts", f"ask for 1 to {MAX_HOSTS}", Exit.BAD_INPUT)
    if debian not in releases.numbers():
        known = " or ".join(map(str, releases.numbers()))
        raise ProvisionerError(f"no lab hosts with Debian {debian}", f"choose {known}", Exit.BAD_INPUT)
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", user):
        raise ProvisionerError(
            f"--user: {user!r} is not a user name",
            "use at most 32 small letters, digits, dashes and underscores, a letter first",
            Exit.BAD_INPUT,
        )
