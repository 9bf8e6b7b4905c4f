"""Hosts in batches, as Ansible's `serial` has them: the next one begins only where enough of those before went well.

Each batch is a job of its own. `serial` would not do: it divides each play by itself, so that all hosts would be
prepared before the first run is judged; and a play of strategy free knows no max_fail_percentage.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from provisioner.errors import Exit, ProvisionerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from provisioner.ansible.target import Target

__all__ = ["Rollout", "Size", "batches"]


class Size(NamedTuple):
    """How many hosts a batch has: so many, or a share of all in percent."""

    number: int
    percent: bool = False

    def of(self, total: int) -> int:
        """Return how many hosts that are of `total`: at least one."""
        return max(1, total * self.number // 100) if self.percent else self.number


def batches(hosts: Sequence[str], sizes: Sequence[Size]) -> Iterator[tuple[str, ...]]:
    """Yield the hosts in batches of these sizes, in their order; the last size is that of all further batches."""
    begun = place = 0
    while begun < len(hosts):
        size = sizes[min(place, len(sizes) - 1)].of(len(hosts))
        yield tuple(hosts[begun : begun + size])
        begun, place = begun + size, place + 1


class Rollout:
    """What is done to a target, batch after batch; without --batch all of it is one.

    Whoever iterates over it gets a target for each batch, and notes what came of that before the next.
    """

    def __init__(self, target: Target, sizes: tuple[Size, ...] | None, max_fail: int | None) -> None:
        """Take --batch and --max-fail, None where not given. Raise ProvisionerError (code 2) for the last alone."""
        if max_fail is not None and not sizes:
            remedy = "give --batch too, such as --batch 1,10%,100%"
            raise ProvisionerError("--max-fail needs --batch", remedy, Exit.BAD_INPUT)
        self.target = target
        self.sizes = sizes or ()
        self.most_failed = max_fail or 0
        self.failed: set[str] = set()
        self.not_begun: tuple[str, ...] = target.hosts
        self._stopped = False

    def __iter__(self) -> Iterator[Target]:
        """Yield the batches, until too many hosts have failed or a job was stopped."""
        if not self.sizes:
            self.not_begun = ()
            yield self.target
            return
        for hosts in batches(self.target.hosts, self.sizes):
            self.not_begun = self.not_begun[len(hosts) :]
            yield replace(self.target, hosts=hosts, limit=",".join(hosts))
            if self._stopped or len(self.failed) > self.most_failed:
                return

    def document(self) -> dict[str, list[str]]:
        """Return what JSON has of it: with --batch, the hosts that were not begun."""
        return {"not_begun": list(self.not_begun)} if self.sizes else {}

    def note(self, failed: Iterable[str], *, stopped: bool = False) -> None:
        """Take note of what came of a batch: which hosts failed, and whether its job was stopped."""
        self.failed |= set(failed)
        self._stopped = stopped
