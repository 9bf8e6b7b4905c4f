"""What a devcontainer.json of Scenario A may have: by the same data that devcontainer_json.py makes it by on the host.

What earlier versions of that script kept is let in as well: what was accepted stays accepted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioner.system.paths import ansible_dir

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BUILD",
    "BUILDER_IMAGES",
    "BUILD_OPTIONS",
    "INERT",
    "KEYS",
    "PROXIES",
    "RUN_OPTIONS",
    "VARIABLES",
    "source",
    "taken_out",
]

ONCE_KEYS = {"privileged"}
ONCE_BUILD = {"args"}
ONCE_RUN_OPTIONS = frozenset(
    "name net memory memory-swap cpus pids-limit device runtime label privileged ulimit dns cap-drop".split()  # noqa: SIM905
)


def source() -> Path:
    """Return the file of that data, in the role that lays it down. Raise ProvisionerError where it is not there."""
    return ansible_dir() / "roles/scenario/files/xformers-devcontainer/benchmarking/devcontainer_keys.json"


_data: dict[str, Any] = json.loads(source().read_text(encoding="utf-8"))


def _laid_down(table: str) -> frozenset[str]:
    """Return what a file may have once Scenario A has made it: what is kept, and its own."""
    return frozenset(name for name, rule in _data[table].items() if "out" not in rule or rule.get("own"))


def _options(of: str) -> frozenset[str]:
    """Return the options of docker that are kept, without their dashes."""
    kept = _data["options"][of]["kept"]
    return frozenset([*kept["flags"], *kept["values"]])


KEYS = _laid_down("keys") | ONCE_KEYS
INERT = frozenset(name for name, rule in _data["keys"].items() if rule.get("inert"))
"""The keys by which neither the Dev Container CLI nor the container does anything."""
BUILD = _laid_down("build") | ONCE_BUILD
RUN_OPTIONS = _options("runArgs") | {"gpus"} | ONCE_RUN_OPTIONS
BUILD_OPTIONS = _options("build.options")
PROXIES = frozenset(_data["variables"]["proxies"])
VARIABLES = frozenset(name for names in _data["variables"].values() for name in names)
BUILDER_IMAGES: str = _data["builder_images"]
_OUT = frozenset(
    name for out in _data["options"]["runArgs"]["out"].values() for names in out.values() for name in names
) - {"gpus"}  # which Scenario A sets itself


def taken_out(configuration: Mapping[str, Any]) -> set[str]:
    """Return what is in a devcontainer.json that the script takes out now; earlier ones kept some of it."""
    arguments = (str(argument) for argument in configuration.get("runArgs") or [])
    options = {argument.partition("=")[0][2:] for argument in arguments if argument.startswith("--")}
    keys = {name for name, rule in _data["keys"].items() if "out" in rule and not rule.get("own")}
    return {f"runArgs --{name}" for name in options & _OUT} | (configuration.keys() & keys)
