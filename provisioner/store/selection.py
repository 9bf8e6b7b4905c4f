"""Which runs are meant: hosts, a span of time, the newest so many; as options say it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from provisioner.errors import Exit, ProvisionerError

if TYPE_CHECKING:
    from provisioner.ansible.inventory import Inventory

__all__ = ["EVERYTHING", "RunOptions", "Selection", "group", "hosts", "instant", "of_options"]

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
    named_by: tuple[str, ...] = field(default=(), compare=False)
    """The options that named the hosts."""


EVERYTHING = Selection()


@dataclass(frozen=True)
class RunOptions:
    """The options that say which runs are meant, as they were given; None is not given."""

    hosts: tuple[str, ...] = ()
    """What --host was given, each time."""
    limit: str | None = None
    inventory: tuple[str, ...] = ()
    since: str | None = None
    min_rules: int | None = None
    last: int | None = None


def of_options(options: RunOptions) -> Selection:
    """Return what --host, --limit, --since, --min-rules and --last say; with -i, a host may be one of its groups.

    Raise ProvisionerError (code 2).
    """
    since = instant(options.since, "--since") if options.since is not None else None
    return Selection(
        hosts=hosts([*options.hosts, options.limit or ""], options.inventory),
        since=since,
        min_rules=options.min_rules,
        last=options.last,
        named_by=tuple(flag for flag, value in (("--host", options.hosts), ("--limit", options.limit)) if value),
    )


def hosts(patterns: Iterable[str], sources: Sequence[str]) -> tuple[str, ...]:
    """Return the patterns of host names apart; with an inventory of `sources`, what they mean there, as --limit does.

    A host that is in the store and no longer in the inventory is still meant by its name.
    """
    texts = [text for text in patterns if text]
    if not sources or not texts:
        return tuple(name for text in texts for name in _apart(text))
    found = _inventory(sources)
    return tuple(dict.fromkeys(host for text in texts for host in _of_pattern(found, text)))


def instant(text: str, option: str, now: datetime | None = None) -> datetime:
    """Return the time that `text` means: so long ago (30m, 12h, 7d, 2w), or an ISO 8601 time, UTC without a zone.

    `option` names it in the error. Raise ProvisionerError (code 2).
    """
    try:
        if ago := re.fullmatch(r"(\d+)([mhdw])", text):
            return (now or datetime.now(UTC)) - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        then = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise ProvisionerError(
            f"{option} {text!r} is not a time", "give 30m, 12h, 7d, 2w or a date such as 2026-11-23", Exit.BAD_INPUT
        ) from error
    return then if then.tzinfo else then.replace(tzinfo=UTC)


def group(sources: Sequence[str], name: str) -> tuple[str, ...]:
    """Return the hosts of a group of the inventory of `sources`, or of a pattern; none where there is no such group."""
    found = _inventory(sources)
    return _select(found, name) if name in found.groups or _is_pattern(name) else ()


def _apart(text: str) -> list[str]:
    """Return the patterns in a text, at commas; at colons where there is none and it is no IPv6 address."""
    if "," in text:
        return [name for part in text.split(",") if (name := part.strip())]
    at = r":(?![^\[]*\])"  # not at that of web[0:2]
    return [text] if _is_ipv6(text) else [name for name in re.split(at, text) if name]


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _of_pattern(found: Inventory, text: str) -> Iterable[str]:
    terms = _apart(text)
    if any(term[0] in "!&" for term in terms):
        return _select(found, text)
    hosts: list[str] = []
    for term in terms:
        meant = _select(found, term)
        # Other patterns than Ansible's own may name hosts that only the store knows.
        hosts += meant if term in found.groups or (meant and _is_pattern(term)) else (*meant, term)
    return hosts


def _is_pattern(text: str) -> bool:
    """Return whether it may mean something to Ansible that it does not as a name, or as one with wildcards."""
    return bool(re.search(r"[~\[\]!&,]", text)) or (":" in text and not _is_ipv6(text))


def _select(found: Inventory, pattern: str) -> tuple[str, ...]:
    from provisioner.ansible import inventory  # noqa: PLC0415 - most queries name no inventory

    try:
        return tuple(sorted(inventory.select(found, pattern)))
    except ProvisionerError:  # it means none
        return ()


def _inventory(sources: Sequence[str]) -> Inventory:
    from provisioner.ansible import inventory  # noqa: PLC0415 - as above

    return inventory.read(sources)
