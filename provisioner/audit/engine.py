"""How a container engine writes what several checks read of it: times, sizes, variables, names of images."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["moment", "pairs", "same_image", "size"]

SIZE = re.compile(r"([\d.]+)([kMGT]?B)")
UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


def moment(text: Any) -> float:
    """Return a time of day as seconds since the epoch; an engine writes nine digits, Python reads six."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", str(text))).timestamp()


def size(text: Any) -> float | None:
    """Return the bytes of a size such as 1.5GB; None where it is none."""
    found = SIZE.fullmatch(str(text))
    return float(found[1]) * UNITS[found[2]] if found else None


def pairs(environment: Iterable[str] | None) -> Iterator[tuple[str, str]]:
    """Yield the name and the value of each entry NAME=VALUE."""
    for entry in environment or ():
        name, _, value = entry.partition("=")
        yield name, value


def same_image(name: str, base: str) -> bool:
    """Return whether a name means the base: with or without its registry, the tag latest, or a digest of it."""

    def short(image: str) -> str:
        image = image.removeprefix("docker.io/").removeprefix("library/")
        return image if set(":@") & set(image.rpartition("/")[2]) else f"{image}:latest"

    return short(name) == short(base) or name.partition("@")[0] == base.partition("@")[0].rpartition(":")[0]
