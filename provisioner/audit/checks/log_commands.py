"""The check that the log has no commands but those of the scripts that were laid down."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from provisioner.audit import shipped
from provisioner.audit.checks import laid_down
from provisioner.audit.finding import Findings, failed, passed, skipped
from provisioner.audit.names import LOG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provisioner.runs.evidence import Evidence

__all__ = ["log_has_its_scripts_commands_alone"]

# A command in the log by which something may come to where it is compiled; what else begins so may be any program's.
ECHOED = re.compile(
    r"^\S+ (?:\[\S+\] )?\+ ((?:\S*/)?"
    r"(?:docker|podman|nerdctl|ctr|devcontainer|pip[\d.]*|python[\d.]*|"
    r"cp|mv|rsync|scp|curl|wget|tar|unzip|git|ln|dd|mount) .*)$"
)
EXPANSION = re.compile(r"\$\{[^{}]*\}")
TELLS = re.compile(r"(?:^|\|\||&&|;)\s*(?:run|told)\s+(\S.*)$")


def log_has_its_scripts_commands_alone(evidence: Evidence) -> Findings:
    """Each command that the log echoes is one that the scripts which were laid down run and tell of."""
    if not laid_down.made_of(evidence, shipped.load()) or not evidence.log:
        yield skipped("the scripts are none that are known here, or there is no log", LOG)
        return
    known = [pattern for name in evidence.entries if name.endswith(".sh") for pattern in _told_by(evidence.text(name))]
    seen = 0
    for number, line in enumerate(evidence.log, 1):
        echoed = ECHOED.search(line)
        seen += bool(echoed)
        if echoed and not any(pattern.fullmatch(echoed[1]) for pattern in known):
            yield failed(f"{echoed[1]:.80} was run", f"{LOG}:{number}")
    yield passed(f"{seen} commands", LOG)


def _told_by(script: str) -> Iterator[re.Pattern[str]]:
    """Yield a pattern for each command that a script of ours runs by `run`, or tells of; variables are anything."""
    for line in script.replace("\\\n", " ").splitlines():
        found = TELLS.search(line)
        if not found or line.lstrip().startswith("#"):
            continue
        words = shlex.split(EXPANSION.sub("$", found[1]))
        ends = (at for at, word in enumerate(words) if word in {"|", "||", "&&", "2>&1", ";"})
        words = words[: next(ends, len(words))]
        first = r"\S+" if "$" in words[0] else re.escape(words[0])
        # What is quoted in the log in another way than in the script is as good as a variable.
        rest = ("(?: .*)?" if re.search(r"[^\w./:=@+-]", word) else f" {re.escape(word)}" for word in words[1:])
        if words[0] != "$@":
            yield re.compile(first + re.sub(r"(?:\(\?: \.\*\)\?)+", lambda _: "(?: .*)?", "".join(rest)))
