"""The check that pip took what it installed from its index: no link, no ready wheel, no setting that says otherwise."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from provisioner.audit import dockerfile
from provisioner.audit.checks.surroundings import config_of_container, less_login
from provisioner.audit.checks.wheels import wheels_folder
from provisioner.audit.finding import Findings, failed, passed, skipped
from provisioner.audit.names import DEVCONTAINER, DOCKERFILE, INPUTS, LOG, PIP_LOG

if TYPE_CHECKING:
    from provisioner.runs.evidence import Evidence

__all__ = ["pip_takes_from_its_index"]

ENVIRONMENT = "environment.json"
# How pip may be told to reach an index, on a host whose site says so; none of these gives it something to install.
REACHING = frozenset(
    [
        "cert",
        "client-cert",
        "proxy",
        "trusted-host",
        "index-url",
        "extra-index-url",
        "timeout",
        "default-timeout",
        "retries",
        "resume-retries",
        "keyring-provider",
        "disable-pip-version-check",
        "no-input",
        "no-color",
        "progress-bar",
        "root-user-action",
        "quiet",
        "verbose",
        "break-system-packages",
        "no-cache-dir",
        "cache-dir",
    ]
)
SETTING = re.compile(r"[^.]+\.(?:[\w-]*\.)?([\w-]+)='(.*)'")
# What pip says of where it looks and what it takes.
TAKES = ("Looking in ", "Processing ", "file:")


def pip_takes_from_its_index(evidence: Evidence) -> Findings:
    """pip is told of no place to take from but its index, and took nothing from one: no link, no ready wheel."""
    if not evidence.log:
        yield skipped("there is no log", LOG)
        return
    yield from _told_elsewhere(evidence)
    folder = wheels_folder(evidence) or None
    indexes = _indexes(evidence)
    told = indexes if evidence.runtime == DEVCONTAINER else None
    for name, lines in ((LOG, evidence.log), (PIP_LOG, evidence.text(PIP_LOG).splitlines())):
        for number, line in enumerate(lines, 1):
            if any(word in line for word in TAKES):
                yield from _taken(line, folder, told, f"{name}:{number}")
    yield from _there_already(evidence)
    yield passed("nothing but its index", LOG)


def _told_elsewhere(evidence: Evidence) -> Findings:
    """Say which of pip's settings is not one by which it reaches its index."""
    native = evidence.runtime != DEVCONTAINER
    authorities = _authorities(evidence)
    for line in (evidence.json(ENVIRONMENT) or {}).get("pip_config") or ():
        setting = SETTING.fullmatch(str(line))
        told = setting and (setting[1] in REACHING if native else setting[1] == "cert" and setting[2] in authorities)
        if not told:
            yield failed(f"pip is told {line:.80}", ENVIRONMENT)


def _indexes(evidence: Evidence) -> set[str]:
    """Return every index that the inputs name, among the other words of their calls of pip."""
    inputs = evidence.json(INPUTS) or {}
    words = (str(word) for call in inputs.get("python_packages") or () for word in call)
    return {less_login(re.sub(r"^--[\w-]+=", "", word)) for word in words}


def _taken(line: str, folder: str | None, indexes: set[str] | None, where: str) -> Findings:
    """Say what of a line of pip's output is of a place that it should not take from; without `indexes` any may be."""
    links = re.search(r"\bLooking in links: (.+)", line)
    if links and any(link.strip().rstrip("/") != folder for link in links[1].split(",")):
        yield failed(f"pip looked in links: {links[1]:.60}", where)
    if indexes is not None:
        yield from _of_another_index(line, indexes, where)
    taken = re.search(r"\bProcessing (\S+\.(?:whl|tar\.gz|zip))", line)
    if taken and (folder is None or not taken[1].startswith(f"{folder}/")):
        yield failed(f"pip took {taken[1]:.60}, which lay there", where)


def _of_another_index(line: str, indexes: set[str], where: str) -> Findings:
    """Say where pip looked in an index that the inputs do not name, or took a file from none."""
    told = re.search(r"\bLooking in indexes: (.+)", line)
    for index in told[1].split(", ") if told else ():
        if less_login(index.strip()) not in indexes and not _is_pypi(index):
            yield failed(f"pip looked in the index {index:.60}, which the inputs do not have", where)
    if re.search(r"\b(?:Downloading|Collecting .*@) file:", line):
        yield failed(f"pip took a file: {line[-60:]}", where)


def _there_already(evidence: Evidence) -> Findings:
    """Say which of the packages that are measured was there before the build's own pip installed it."""
    installed: set[str] = set()
    if evidence.runtime != DEVCONTAINER:
        return
    for number, line in evidence.log_of("image_build"):
        installed |= set(re.findall(r"(\S+)-\d", line.partition("Successfully installed ")[2]))
        found = re.search(r"\bRequirement already satisfied: (torch(?:vision|audio)?|triton|xformers)\b", line)
        if found and found[1] not in installed:
            yield failed(f"{found[1]} was there before the build", f"{LOG}:{number}")


def _authorities(evidence: Evidence) -> set[str]:
    """Return the files of authorities that pip is told of by the Dockerfile, or by the base."""
    steps = dockerfile.parse(evidence.text(DOCKERFILE))
    told = (entry for step in steps if step.name == "ENV" for entry in shlex.split(step.arguments))
    entries = (*told, *(config_of_container(evidence).get("Env") or ()))
    return {value for name, _, value in (entry.partition("=") for entry in entries) if name == "PIP_CERT"}


def _is_pypi(url: str) -> bool:
    return less_login(url) == "https://pypi.org/simple"
