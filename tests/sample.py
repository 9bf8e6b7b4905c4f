"""Of tests that take long, which a test run takes: some, others each day, or those that are asked for."""

import datetime
import hashlib
from collections.abc import Sequence

ALL = "all"
TODAY = datetime.datetime.now(datetime.UTC).date()


def chosen(asked: str, names: Sequence[str], day: datetime.date, size: int) -> list[str]:
    """Return the names that this run takes. `asked` is a list with commas, "all", or empty for the day's sample.

    Day by day the samples go round all names, in an order that mixes them. Raise ValueError for an unknown name.
    """
    if asked == ALL:
        return sorted(names)
    if asked:
        wanted = [name.strip() for name in asked.split(",")]
        if unknown := sorted(set(wanted) - set(names)):
            raise ValueError(f"there is no {', '.join(unknown)}; there are {', '.join(sorted(names))}")
        return wanted
    mixed = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    first = day.toordinal() * size
    return [mixed[(first + step) % len(mixed)] for step in range(min(size, len(mixed)))]


def release(releases: Sequence[int], asked: str, day: datetime.date) -> int:
    """Return which of a dress's releases is tested: the one asked for where it fits, else another each day."""
    if asked and int(asked) in releases:
        return int(asked)
    return releases[day.toordinal() % len(releases)]
