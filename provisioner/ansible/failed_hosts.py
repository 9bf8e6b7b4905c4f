"""Remembers which hosts a job left failed or unreachable, so that `--limit @failed` means just those.

One file, <state>/failed.json: {inventory: [hosts]}. A host stays in it until a job on it goes well. Beside it is
not-begun.json, for `--limit @not-begun`: the hosts that the last `--batch` did not begin, until a job begins on them.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from provisioner.ansible.inventory import label
from provisioner.errors import Exit, ProvisionerError
from provisioner.system import files
from provisioner.text import bounds, jsontext
from provisioner.text.ranges import natural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from provisioner.ansible.job import Job
    from provisioner.ansible.target import Target

__all__ = ["FAILED", "NOT_BEGUN", "expand", "remember", "remember_not_begun"]

FAILED, NOT_BEGUN = "@failed", "@not-begun"
"""What --limit is given for them."""
WHY_NONE = {FAILED: "none of {} failed the last time", NOT_BEGUN: "the last --batch left none of {} out"}


def expand(limit: str | None, state: Path, inventory: str) -> str | None:
    """Return `limit`, the hosts named in the place of @failed, !@failed (but those) and &@failed (of these, those).

    The same with @not-begun. Raise ProvisionerError (code 2) where it means none, since there are none.
    """
    for term in (FAILED, NOT_BEGUN):
        limit = _expand(term, limit, state, inventory)
    return limit


def _expand(kept: str, limit: str | None, state: Path, inventory: str) -> str | None:
    terms = re.split(r"[,:](?![^\[]*\])", limit or "")  # not at the colon of web[0:2]
    asked = {term for term in terms if term.lstrip("!&") == kept}
    if not asked:
        return limit
    hosts = _read(state, kept).get(inventory, [])
    if not hosts and asked != {f"!{kept}"}:
        raise ProvisionerError(
            f"--limit {kept} matches no host: {WHY_NONE[kept].format(inventory)}",
            "leave --limit out",
            Exit.BAD_INPUT,
        )
    named = {
        kept: ",".join(hosts),
        f"!{kept}": ",".join(f"!{host}" for host in hosts),
        f"&{kept}": f"&~^({'|'.join(map(re.escape, hosts))})$",  # as separate terms they would leave no host
    }
    # By commas alone: where there is one, a colon separates nothing for Ansible.
    return ",".join(filter(None, (named.get(term, term) for term in terms))) or None


def remember(target: Target, job: Job) -> None:
    """Keep what came of `job`: its hosts that went well are forgotten, those that did not are remembered."""
    if job.invalid:
        return  # no host was touched
    bad = {name for name, host in job.hosts.items() if host.failed or host.unreachable or host.failure}
    _change(target, FAILED, lambda before: (before - set(job.hosts)) | bad)
    _change(target, NOT_BEGUN, lambda before: before - set(job.hosts))


def remember_not_begun(target: Target, hosts: Iterable[str]) -> None:
    """Keep which hosts of a target were not begun, in the place of those of before."""
    _change(target, NOT_BEGUN, lambda _before: set(hosts))


def _change(target: Target, kept: str, change: Callable[[set[str]], set[str]]) -> None:
    """Make other hosts of those that are kept of the target's inventory."""
    known = _read(target.state, kept)
    inventory = label(target.inventory)
    before = set(known.get(inventory, ()))
    after = sorted(change(before), key=natural)
    if set(after) != before:
        others = {name: hosts for name, hosts in known.items() if name != inventory}
        text = json.dumps(others | ({inventory: after} if after else {}), indent=2)
        files.write(_path(target.state, kept), f"{text}\n")


def _path(state: Path, kept: str) -> Path:
    return state / f"{kept.lstrip('@')}.json"


def _read(state: Path, kept: str) -> dict[str, list[str]]:
    """Return what the file has; one that is missing or broken has nothing."""
    try:
        known = jsontext.loads(files.read(_path(state, kept), bounds.JSON_FILE))
        return {str(inventory): [str(host) for host in hosts] for inventory, hosts in known.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
