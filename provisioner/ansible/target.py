"""What a job is done to: as the options say it, and as it is once they are checked."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Target", "TargetOptions"]

FORKS = 8
"""Each costs this machine about 18 MB: the default keeps all of it within 300 MB."""


@dataclass(frozen=True)
class TargetOptions:
    """The options of a command that goes to hosts, as they were given; None is not given."""

    inventory: tuple[str, ...] = ()
    limit: str | None = None
    profile: str | None = None
    runtime: str | None = None
    extra_vars: tuple[str, ...] = ()
    """What -e was given, each time."""
    forks: int = FORKS
    state_dir: str | None = None
    verbosity: int = 0


@dataclass(frozen=True)
class Target:
    """What a job is done to, checked: the hosts, and how they are reached."""

    inventory: tuple[str, ...]
    """What Ansible's -i is given, each time."""
    hosts: tuple[str, ...]
    state: Path
    limit: str | None = None
    forks: int = FORKS
    """Hosts at a time."""
    verbosity: int = 0
    extra_vars: dict[str, Any] = field(default_factory=dict)
    local: frozenset[str] = frozenset()
    """Those of `hosts` that are this machine."""
    profiles: frozenset[str] = frozenset()
    """The profiles that `hosts` have."""
