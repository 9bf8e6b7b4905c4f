"""Many host names as a few words: gpu-01, gpu-02 and gpu-07 are gpu-[01-02,07]."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["brief", "folded", "natural"]

LONGEST = 24
"""Characters within one pair of brackets, about: a line can be broken between two pairs only."""
WORDS = 4
"""So many words name hosts where all of them would fill a screen."""

Parts = tuple[str, ...]
"""A name, cut where its numbers begin and end: those have the odd places."""


def folded(names: Iterable[str]) -> list[str]:
    """Return `names` as words that mean all of them, numbers of one place together; each word can be read alone."""
    found = {tuple(re.split(r"([0-9]+)", name)) for name in names}
    for place in range(max(map(len, found), default=0) - 2, 0, -2):
        found = _fold(found, place)
    return ["".join(parts) for parts in sorted(found, key=_order)]


def brief(names: Sequence[str]) -> str:
    """Return `names` for a line: all of them where a few words can say them, else those and how many are left out."""
    words = folded(names)
    if len(words) <= WORDS:
        return ", ".join(words)
    return f"{', '.join(words[:WORDS])} and more, {len(set(names))} in all"


def natural(name: str) -> list[tuple[int, str]]:
    """Return what to sort names by so that h9 comes before h10."""
    return _order(tuple(re.split(r"([0-9]+)", name)))


def _fold(names: set[Parts], place: int) -> set[Parts]:
    """Return the names with the numbers at `place` put together where all else is equal."""
    alike: dict[tuple[Parts, Parts], list[str]] = {}
    for parts in names:
        alike.setdefault((parts[:place], parts[place + 1 :]), []).extend(parts[place : place + 1])
    return {
        (*before, *word, *after)
        for (before, after), numbers in alike.items()
        for word in ([(one,) for one in _brackets(numbers)] if numbers else [()])
    }


def _brackets(numbers: list[str]) -> list[str]:
    """Return numbers as ranges in brackets, in as many pairs as it takes; a lone number as it is."""
    if len(numbers) == 1:
        return numbers
    pairs = [""]
    for first, last in _ranges(sorted(numbers, key=lambda number: (int(number), len(number)))):
        one = first if first == last else f"{first}-{last}"
        if len(pairs[-1]) + len(one) > LONGEST:
            pairs.append("")
        pairs[-1] += f",{one}" if pairs[-1] else one
    return [f"[{pair}]" if re.search("[-,]", pair) else pair for pair in pairs]


def _ranges(numbers: list[str]) -> list[tuple[str, str]]:
    """Return sorted numbers as first and last of those that follow each other, written with as many zeros."""
    found: list[tuple[str, str]] = []
    for number in numbers:
        if found and number == str(int(found[-1][1]) + 1).zfill(len(found[-1][1])):
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return found


def _order(parts: Parts) -> list[tuple[int, str]]:
    return [(int(found[0]) if (found := re.findall(r"[0-9]+", part)) else -1, part) for part in parts]
