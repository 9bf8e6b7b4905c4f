"""Environment variables in a file that only root reads, where a command line, or a unit, would tell them to every user.

A file is read alike by systemd (EnvironmentFile), by sh and here: a line NAME="VALUE" for each, in which a backslash
stands before what means something in double quotes.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import content

SITE = Path("/etc/provisioner/environment")
"""The site's proxies and CA bundle, as role site keeps them."""

_LINE = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"', re.DOTALL)


def as_file(variables: dict[str, str]) -> str:
    """Return the text of a file with these variables."""
    return "".join(f'{name}="{_escaped(value)}"\n' for name, value in variables.items())


def from_file(path: Path) -> dict[str, str]:
    """Return the variables in a file; none where it is not there."""
    try:
        text = content(path).decode()
    except (OSError, ValueError):
        return {}
    return {name: re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL) for name, value in _LINE.findall(text)}


def take() -> None:
    """Give this process, and what it starts, the site's variables; one that it has already stays."""
    for name, value in from_file(SITE).items():
        os.environ.setdefault(name, value)


def _escaped(value: str) -> str:
    return re.sub(r'([\\"$`])', r"\\\1", value)
