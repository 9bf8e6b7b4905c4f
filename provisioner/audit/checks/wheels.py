"""The check of the folder of wheels that pip installs from, where a profile has one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from provisioner.audit.finding import Findings, failed, passed, unwritten
from provisioner.audit.names import DEVCONTAINER, SETTINGS

if TYPE_CHECKING:
    from provisioner.runs.evidence import Evidence

__all__ = ["wheel_sums", "wheels_are_those_of_the_bundle", "wheels_folder"]

ECHOED = re.compile(r" \+ (?:inside )?python3 -m pip install --no-cache-dir --no-index --find-links (/\S+) ")
SUMS = "wheels.txt"
BUNDLE = "bundle.json"


def wheels_are_those_of_the_bundle(evidence: Evidence) -> Findings:
    """Where a folder of wheels is all that pip installs from, each has the sum that the bundle's manifest says."""
    folder = wheels_folder(evidence)
    if not folder:
        yield passed("pip had no folder to install from", SETTINGS)
        return
    wheels, bundle = wheel_sums(evidence), evidence.mapping(BUNDLE)
    if not wheels:
        yield unwritten(evidence, f"the sums of {folder} are not known", SUMS)
        return
    if not bundle and evidence.run.get("profile") == "offline":
        yield failed(f"{folder} is of no bundle", BUNDLE)
    wanted = bundle.get("files") or {}
    for name, digest in wheels.items():
        if bundle and wanted.get(f"wheels/{name}") != digest:
            yield failed(f"{name} is not as the bundle's manifest has it", SUMS)
    yield passed(f"{len(wheels)} wheels" + (", as the bundle has them" if bundle else ", of the site's own"), SUMS)


def wheels_folder(evidence: Evidence) -> str:
    """Return the folder from which alone pip installs, as the scripts echo it; empty where there is none.

    Whoever ran them by hand natively may have named another one than the settings. In a container it is the settings'
    folder as it is mounted there, for pre-commit alone: its Dockerfile installs from no folder.
    """
    set_to = evidence.settings.get("SCENARIO_WHEELS", "")
    if evidence.runtime == DEVCONTAINER and not set_to:
        return ""
    echoed = (ECHOED.search(line) for line in evidence.log if "--find-links" in line)
    told = next(filter(None, echoed), None)
    return (told[1] if told else set_to).rstrip("/")


def wheel_sums(evidence: Evidence) -> dict[str, str]:
    """Return the sums of that folder's files, by name."""
    lines = (line.partition("  ") for line in evidence.text(SUMS).splitlines())
    return {name: digest for digest, _, name in lines}
