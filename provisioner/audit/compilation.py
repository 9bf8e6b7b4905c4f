"""The compile as ninja did it, which many checks look at: its call, and each edge of its build file with its step."""

from __future__ import annotations

from functools import wraps
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from provisioner.audit import ninja_file
from provisioner.audit.finding import Finding, Findings, failed, skipped
from provisioner.audit.known_sources import asked_inside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from provisioner.audit.ninja_file import Edge
    from provisioner.runs.evidence import Evidence, NinjaCall, Step

    OfCompile = Callable[[Evidence, "Compilation"], Findings]

__all__ = ["Compilation", "compiled_by", "linked_file", "links", "name_of", "of_the_compile", "unfinished"]


class Compilation(NamedTuple):
    """The call of ninja that compiled, and each edge of its build file with the step of its log, in the log's order."""

    call: NinjaCall
    edges: list[tuple[Edge, Step]]
    window: tuple[float, float]
    """When ninja began and ended, in uptime."""

    @property
    def wall(self) -> float:
        """How long ninja ran."""
        return self.window[1] - self.window[0]

    def named(self, name: str) -> str:
        """Return the path in the evidence of one of the call's files."""
        return f"{self.call.folder}/{name}"


def compiled_by(evidence: Evidence) -> Compilation | None:
    """Return what compiled; None where no compile was finished, or the run did not write all of its evidence."""
    call = evidence.builds[-1] if evidence.builds else None
    if call is None or call.window is None or not evidence.ended("compile") or evidence.outcome != "ok":
        return None
    steps = {step.output: step for step in call.steps}
    edges = ninja_file.parse(evidence.text(f"{call.folder}/build.ninja"))
    built = [(edge, steps[edge.outputs[0]]) for edge in edges if edge.outputs[0] in steps]
    order = {output: number for number, output in enumerate(steps)}
    return Compilation(call, sorted(built, key=lambda pair: order[pair[0].outputs[0]]), call.window)


def unfinished(evidence: Evidence) -> Finding:
    """Return what is found where nothing compiled: a run that went well has compiled."""
    if not asked_inside(evidence):
        return skipped("what was compiled could not be asked for", "environment.json")
    found = failed if evidence.outcome == "ok" else skipped
    return found("the compile was not finished", "container/events.jsonl")


def of_the_compile(*, inside: bool) -> Callable[[OfCompile], Callable[[Evidence], Findings]]:
    """Make a check of what compiled one of the evidence; where nothing did, it finds that.

    `inside` says that it needs what was asked in the container, or the environment, at the end.
    """

    def asked(check: OfCompile) -> Callable[[Evidence], Findings]:
        @wraps(check)
        def of_evidence(evidence: Evidence) -> Findings:
            compiled = compiled_by(evidence)
            if compiled is None or (inside and not asked_inside(evidence)):
                yield unfinished(evidence)
            else:
                yield from check(evidence, compiled)

        return of_evidence

    return asked


def name_of(edge: Edge) -> str:
    """Return what an edge is called when it is told of: the name of the file that it makes."""
    return PurePosixPath(edge.outputs[0]).name


def links(log: str) -> Iterator[list[str]]:
    """Yield the words of each command that linked a shared object."""
    for line in log.splitlines():
        words = line.split() if " -shared " in line else []
        if "-o" in words[:-1]:
            yield words


def linked_file(words: list[str]) -> str:
    """Return the file that such a command made."""
    return words[words.index("-o") + 1]
