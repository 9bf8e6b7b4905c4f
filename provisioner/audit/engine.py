"""How a container engine writes what several checks read of it: times, variables, names of images."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["moment", "pairs", "same_image"]


def moment(text: Any) -> float:
    """Return a time of day as seconds since the epoch; an engine writes nine digits, Python reads six."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", str(text))).timestamp()


def pairs(environment: Iterable[str] | None) -> Iterator[tuple[str, str]]:
    """Give the name and the value of each entry NAME=VALUE."""
    for entry in environment or ():
        name, _, value = entry.partition("=")
        yield name, value


def same_image(name: str, base: str) -> bool:
    """Tell whether a name means the base: with or without its registry, the tag latest, or a digest of it."""

    def short(image: str) -> str:
        image = image.removeprefix("docker.io/").removeprefix("library/")
        return image if set(":@") & set(image.rpartition("/")[2]) else f"{image}:latest"

    return short(name) == short(base) or name.partition("@")[0] == base.partition("@")[0].rpartition(":")[0]
