"""Which runs are meant: hosts, a span of time, the newest so many; as options say it."""

import re
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from provisioner.errors import Exit, ProvisionerError

__all__ = ["EVERYTHING", "Selection", "group", "hosts", "instant", "of_options"]

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class Selection:
    """Which runs are meant; a run must fit all that is given."""

    hosts: tuple[str, ...] = ()
    """Names of hosts, `*`, `?` and `[…]` in them; any one may fit. None given: all hosts."""
    since: datetime | None = None
    """Started then or later."""
    until: datetime | None = None
    """Started before then."""
    run_ids: tuple[str, ...] | None = None
    """Only these runs; none where it is empty."""
    min_rules: int | None = None
    """Judged by the audit's rules of this number or a later one."""
    last: int | None = None
    """Of those that fit, only so many: the newest."""


EVERYTHING = Selection()


def of_options(options: Namespace) -> Selection:
    """Give what --host, --limit, --since, --min-rules and --last say; with -i, a host may be one of its groups.

    Raises ProvisionerError (code 2).
    """
    since = instant(options.since, "--since") if options.since is not None else None
    return Selection(
        hosts=hosts([*(options.host or ()), options.limit or ""], options.inventory),
        since=since,
        min_rules=options.min_rules,
        last=options.last,
    )


def hosts(patterns: Iterable[str], source: str | None) -> tuple[str, ...]:
    """Give the patterns of host names apart; with an inventory at `source`, each group of it replaced by its hosts."""
    names = [name for text in patterns for name in re.split(r"[,:]", text) if name]
    groups = _groups(source) if source and names else {}
    return tuple(host for name in names for host in groups.get(name) or (name,))


def instant(text: str, option: str, now: datetime | None = None) -> datetime:
    """Give the time that `text` means: so long ago (30m, 12h, 7d, 2w), or an ISO 8601 time, UTC without a zone.

    `option` names it in the error. Raises ProvisionerError (code 2).
    """
    try:
        if ago := re.fullmatch(r"(\d+)([mhdw])", text):
            return (now or datetime.now(UTC)) - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        then = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise ProvisionerError(
            f"{option} {text!r} is no time", "give 30m, 12h, 7d, 2w or a date such as 2026-11-23", Exit.BAD_INPUT
        ) from error
    return then if then.tzinfo else then.replace(tzinfo=UTC)


def group(source: str, name: str) -> tuple[str, ...]:
    """Give the hosts of a group of the inventory at `source`; none where there is no such group."""
    return _groups(source).get(name, ())


def _groups(source: str) -> dict[str, tuple[str, ...]]:
    from provisioner import inventory  # noqa: PLC0415 - most queries name no inventory

    return {name: tuple(sorted(hosts)) for name, hosts in inventory.read(source).groups.items()}
