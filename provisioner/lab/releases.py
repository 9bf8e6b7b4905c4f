"""The releases of Debian that lab hosts can have: those of the collection's table, distributions/."""

import re
from functools import cache
from pathlib import Path

import yaml

from provisioner.system.paths import ansible_dir

__all__ = ["codenames", "numbers"]


def numbers() -> list[int]:
    """Return the numbers of the releases, in order, by the names of the table's files alone."""
    return sorted(_files())


@cache
def codenames() -> dict[int, str]:
    """Return what each release is called, by its number, in order."""
    files = _files()
    return {number: yaml.safe_load(files[number].read_bytes())["codename"] for number in numbers()}


def _files() -> dict[int, Path]:
    paths = (ansible_dir() / "distributions").glob("debian*.yml")
    return {int(match[1]): path for path in paths if (match := re.fullmatch(r"debian(\d+)", path.stem))}
