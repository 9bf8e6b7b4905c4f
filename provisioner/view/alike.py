"""Hosts that have the same answer, told once for all of them."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from provisioner.text import display
from provisioner.text.ranges import brief, natural

__all__ = ["counted", "groups", "lines"]

Answer = TypeVar("Answer", bound=Hashable)

FEW = 3
OR_THE_LIKE = " (or the like)"


def groups(answers: Mapping[str, Answer]) -> list[tuple[Answer, list[str]]]:
    """Return each answer, in the order in which they come first, with the hosts that gave it, h9 before h10."""
    found: dict[Answer, list[str]] = {}
    for host, answer in answers.items():
        found.setdefault(answer, []).append(host)
    return [(answer, sorted(hosts, key=natural)) for answer, hosts in found.items()]


def lines(said: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Return texts that hosts gave, pairs of host and text, as groups() does; a host may give several.

    Texts that differ in numbers or in the host's own name only are one, which then says so.
    """
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for host, words in said:
        texts, hosts = found.setdefault(_shape(host, words), ({}, {}))
        texts[words] = hosts[host] = None
    return [
        (next(iter(texts)) + (OR_THE_LIKE if len(texts) > 1 else ""), sorted(hosts, key=natural))
        for texts, hosts in found.values()
    ]


def counted(hosts: Sequence[str]) -> str:
    """Return hosts for a line that is no news of each: their number, where they are more than a few."""
    return display.counted(len(hosts), "host") if len(hosts) > FEW else brief(hosts)


def _shape(host: str, said: str) -> str:
    return re.sub(r"[0-9]+", "0", said.replace(host, "HOST"))
