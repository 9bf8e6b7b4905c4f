"""A plan in a file: what `plan --out` found off on each host, for `prepare --plan` to do that and nothing else.

JSON: `version`; `provisioner`, whose plan it is; `inputs`, the digest of each kind of what decides what is wanted; and
`hosts`, with the `changes` of each as `plan --json` has them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioner import __version__
from provisioner.ansible import inventory
from provisioner.ansible.inputs import profile_files
from provisioner.errors import Exit, ProvisionerError, of_option
from provisioner.system import files
from provisioner.system.paths import given
from provisioner.text import bounds, jsontext, names
from provisioner.text.display import counted
from provisioner.text.ranges import brief

if TYPE_CHECKING:
    from provisioner.ansible.target import Target

__all__ = ["Plan", "place", "read", "target_of", "write"]

VERSION = 1
INPUTS = {
    "inventory": "the variables of its hosts in the inventory are others now",
    "options": "-e, --profile or --runtime are not those that `plan` was given",
    "profiles": "the profiles' files are others now",
    "environment": "SSL_CERT_FILE, its content, or a proxy has changed",
}
"""What decides what is wanted of a host, and what is said where that has changed."""
NOT_WANTED = ("provisioner_state_dir", "provisioner_require_idle")
"""Variables of a command's own that decide nothing of that."""
ANEW = "make a new plan"

Change = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What a file has; `hosts` are the changes of each."""

    path: Path
    inputs: dict[str, str]
    hosts: dict[str, list[Change]]


def place(text: str) -> Path:
    """Return where --out leads. Raise ProvisionerError (code 2) where no file can be, before hosts are looked at."""
    with of_option("--out"):
        path = given(text)
        if not path.parent.is_dir():
            raise _bad(f"there is no folder {path.parent}", "make it, or name another place")
    return path


def write(path: Path, target: Target, hosts: Mapping[str, Collection[Change]]) -> None:
    """Write the changes of these hosts of a target. Raise ProvisionerError where it cannot be, or is too much."""
    kept = {name: {"changes": list(changes)} for name, changes in hosts.items()}
    document = {"version": VERSION, "provisioner": __version__, "inputs": _inputs(target, kept), "hosts": kept}
    text = f"{jsontext.dumps(document)}\n"
    with of_option("--out"):
        if len(text.encode()) > bounds.JSON_FILE:
            many = f"a plan of {counted(len(hosts), 'host')} is larger than {bounds.JSON_FILE >> 20} MiB"
            raise _bad(many, "make several, with --limit")
        files.write(path, text, private=True)


def read(text: str) -> Plan:
    """Return the plan of the file that --plan names. Raise ProvisionerError (code 2) where it is none of ours."""
    with of_option("--plan"):
        path = given(text)
        try:
            content = files.read(path, bounds.JSON_FILE, follow=True)
        except OSError as error:
            raise _bad(f"cannot read {path}: {error.strerror or error}", "name a file of `plan --out`") from error
        except ValueError as error:
            raise _bad(str(error), "name a file of `plan --out`") from error
        try:
            return _parsed(path, jsontext.loads(content))
        except ValueError as error:
            raise _bad(f"{path} is not a plan: {error}", "name a file of `plan --out`") from error


def target_of(plan: Plan, target: Target, *, limited: bool) -> Target:
    """Return the plan's hosts as a target, of those of an inventory; where they are `limited`, those that are meant.

    Raise ProvisionerError (code 2) where they are others, or other inputs decide what is wanted of them.
    """
    meant = set(target.hosts)
    strangers = sorted(meant - plan.hosts.keys() if limited else plan.hosts.keys() - meant)
    with of_option("--plan"):
        if strangers:
            where = f"{plan.path}, and --limit means them" if limited else "the inventory"
            raise _bad(f"{brief(strangers)}: not in {where}", ANEW)
        now = _inputs(target, plan.hosts)
        changed = [said for name, said in INPUTS.items() if now[name] != plan.inputs[name]]
        if changed:
            raise _bad(f"{plan.path} was made from other inputs: {'; '.join(changed)}", ANEW)
    hosts = tuple(name for name in target.hosts if name in plan.hosts)
    return replace(target, hosts=hosts, limit=",".join(hosts))


def _inputs(target: Target, hosts: Collection[str]) -> dict[str, str]:
    """Return the digest of each of INPUTS, for these hosts."""
    of_hosts = inventory.variables(target.inventory)
    found = {
        "inventory": {name: of_hosts.get(name, {}) for name in hosts},
        "options": {name: value for name, value in target.extra_vars.items() if name not in NOT_WANTED},
        "profiles": {path.name: path.read_text(encoding="utf-8") for path in profile_files().values()},
        "environment": _environment(),
    }
    return {name: _digest(json.dumps(found[name], sort_keys=True).encode()) for name in INPUTS}


def _environment() -> dict[str, str]:
    """Return what role site takes of this machine: its CA bundle's digest, and its proxies."""
    proxies = ("http_proxy", "https_proxy", "no_proxy")
    known = {name: os.environ.get(name) or os.environ.get(name.upper(), "") for name in proxies}
    bundle = os.environ.get("SSL_CERT_FILE", "")
    try:
        content = _digest(files.read(Path(bundle), bounds.FILE, follow=True)) if bundle else ""
    except (OSError, ValueError):
        content = ""
    return {**known, "SSL_CERT_FILE": bundle, "content": content}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# --- what a stranger may have written ---


def _parsed(path: Path, value: Any) -> Plan:
    """Return a plan. Raise ValueError where the value is none, ProvisionerError where it is one of another version."""
    if not isinstance(value, dict) or "version" not in value:
        raise ValueError("it has no version")
    made_by = value.get("provisioner")
    if value["version"] != VERSION or made_by != __version__:
        shown = made_by if isinstance(made_by, str) else "another"
        raise _bad(f"{path} is a plan of provisioner {shown}, and this is {__version__}", ANEW)
    _exactly(value, {"version", "provisioner", "inputs", "hosts"}, "the plan")
    inputs = _exactly(value["inputs"], set(INPUTS), "inputs")
    if not all(isinstance(digest, str) for digest in inputs.values()):
        raise ValueError("inputs are not digests")
    if not isinstance(value["hosts"], dict) or not value["hosts"]:
        raise ValueError("it has no hosts")
    return Plan(path, inputs, {names.host(name): _changes(name, of_host) for name, of_host in value["hosts"].items()})


def _changes(host: str, value: Any) -> list[Change]:
    """Return the changes of a host."""
    changes = _exactly(value, {"changes"}, host)["changes"]
    if not isinstance(changes, list) or len(changes) > bounds.LISTED:
        raise ValueError(f"{host}: changes is not a list of at most {bounds.LISTED}")
    for change in changes:
        _exactly(change, {"role", "what", "from", "to"}, f"{host}: a change")
        names.role(change["role"])
        if any(isinstance(value, dict | list) for value in change.values()) or not isinstance(change["what"], str):
            raise ValueError(f"{host}: the fields of a change must be texts")
    return changes


def _exactly(value: Any, keys: set[str], what: str) -> dict[str, Any]:
    """Return an object that has these keys and no others."""
    if not isinstance(value, dict) or set(value) != keys:
        raise ValueError(f"{what} is not an object of {', '.join(sorted(keys))}")
    return value


def _bad(message: str, remedy: str) -> ProvisionerError:
    return ProvisionerError(message, remedy, Exit.BAD_INPUT)
