"""Remembers which hosts a job left failed or unreachable, so that `--limit @failed` means just those.

One file, <state>/failed.json: {inventory: [hosts]}. A host stays in it until a job on it goes well.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from provisioner import bounds, files, jsontext
from provisioner.errors import Exit, ProvisionerError
from provisioner.inventory import label

if TYPE_CHECKING:
    from pathlib import Path

    from provisioner.inputs import Target
    from provisioner.job import Job

__all__ = ["FAILED", "expand", "remember"]

FAILED = "@failed"
"""What --limit is given for them."""


def expand(limit: str | None, state: Path, inventory: str) -> str | None:
    """Give `limit`, the hosts named in the place of @failed, !@failed (but those) and &@failed (of these, those).

    Raises ProvisionerError (code 2) where it means none, since none failed.
    """
    terms = re.split(r"[,:](?![^\[]*\])", limit or "")  # not at the colon of web[0:2]
    asked = {term for term in terms if term.lstrip("!&") == FAILED}
    if not asked:
        return limit
    hosts = _read(state).get(inventory, [])
    if not hosts and asked != {f"!{FAILED}"}:
        raise ProvisionerError(
            f"--limit {FAILED} matches no host: none of {inventory} failed the last time",
            "leave --limit away",
            Exit.BAD_INPUT,
        )
    named = {
        FAILED: ",".join(hosts),
        f"!{FAILED}": ",".join(f"!{host}" for host in hosts),
        f"&{FAILED}": f"&~^({'|'.join(map(re.escape, hosts))})$",  # each name a term of its own would leave none
    }
    # By commas alone: where there is one, a colon separates nothing for Ansible.
    return ",".join(filter(None, (named.get(term, term) for term in terms))) or None


def remember(target: Target, job: Job) -> None:
    """Keep what came of `job`: its hosts that went well are forgotten, those that did not are remembered."""
    if job.invalid:
        return  # no host was touched
    known = _read(target.state)
    inventory = label(target.inventory)
    before = set(known.get(inventory, ()))
    bad = {name for name, host in job.hosts.items() if host.failed or host.unreachable or host.failure}
    after = sorted((before - set(job.hosts)) | bad)
    if after != sorted(before):
        kept = {name: hosts for name, hosts in known.items() if name != inventory}
        files.write(_path(target.state), json.dumps(kept | ({inventory: after} if after else {}), indent=2) + "\n")


def _path(state: Path) -> Path:
    return state / "failed.json"


def _read(state: Path) -> dict[str, list[str]]:
    """A file that is missing or broken remembers nothing."""
    try:
        known = jsontext.loads(files.read(_path(state), bounds.JSON_FILE))
        return {str(inventory): [str(host) for host in hosts] for inventory, hosts in known.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
