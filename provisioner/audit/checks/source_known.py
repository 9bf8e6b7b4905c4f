"""The check that a source which the rules know is that, all of it, and what is told of one that they do not know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provisioner.audit import ninja_file
from provisioner.audit.checks.source import BUILT, CLONED, COMMIT, COMPILED, TREE, told_by_git, unfinished
from provisioner.audit.finding import Findings, failed, passed
from provisioner.audit.known_sources import asked_inside, built_facts, clone_folder, load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provisioner.audit.known_sources import KnownSource
    from provisioner.runs.evidence import Evidence

__all__ = ["remarks", "source_is_known"]


def source_is_known(evidence: Evidence) -> Findings:
    """What was compiled are files of the clone; for a commit that the rules know they are its own, all of them."""
    if not evidence.builds or evidence.outcome != "ok" or not asked_inside(evidence):
        yield unfinished()
        return
    commit = evidence.text(COMMIT).strip()
    where = f"{evidence.builds[-1].folder}/build.ninja"
    compiled = _compiled(evidence, where)
    if "" in compiled:
        yield failed("it compiled what is not in the clone", where)
    seen = built_facts(evidence).get("sources")
    if built_facts(evidence) and seen is None:
        yield failed("the host did not look at what was compiled", BUILT)
    if seen is not None and compiled - seen.keys():
        yield failed(f"the host did not see {min(compiled - seen.keys()):.60}", BUILT)
    known = next((one for one in load() if commit in one.commits), None)
    if known is None:
        yield passed(remarks(evidence)[0], COMMIT)
        return
    yield from _of_another_tree(evidence, known, commit)
    yield from _of_other_sources(known, compiled, seen or {}, where)
    yield passed(f"{known.name}, {len(compiled)} sources", COMMIT)


def _compiled(evidence: Evidence, build_file: str) -> set[str]:
    """Return what was compiled, by its path in the clone; an empty path where it does not lie there."""
    edges = ninja_file.parse(evidence.text(build_file))
    made = {path for edge in edges for path in edge.outputs}
    inputs = {path for edge in edges for path in edge.inputs} - made
    clone = f"{clone_folder(evidence)}/"
    return {_below(path, clone) if path.startswith("/") else path for path in inputs}


def _of_another_tree(evidence: Evidence, known: KnownSource, commit: str) -> Findings:
    """Say where a known commit is told of with another tree, or with other submodules."""
    tree = evidence.text(TREE).strip()
    if tree and tree != known.commits[commit]:
        yield failed(f"{commit} has another tree than {tree:.60}", TREE)
    for name in (CLONED, COMPILED):
        git = told_by_git(evidence, name)
        if git and {path: value for _, value, path in git.submodules} != known.submodules:
            yield failed(f"{known.name} has other submodules", name)


def _of_other_sources(known: KnownSource, compiled: set[str], seen: Mapping[str, str], where: str) -> Findings:
    """Say which sources of a known version were not compiled, which others were, and which are not as it has them."""
    for path in sorted(known.sources.keys() - compiled):
        yield failed(f"{path} of {known.name} was not compiled", where)
    for path in sorted(compiled - known.sources.keys()):
        yield failed(f"{path} is not what {known.name} compiles", where)
    for path, value in sorted(seen.items()):
        if value != known.sources.get(path, value):
            yield failed(f"{path} is not as {known.name} has it", BUILT)


def remarks(evidence: Evidence) -> list[str]:
    """Return what must be told beside the verdict: that the rules do not know what was compiled, where that is so."""
    commit, seen = evidence.text(COMMIT).strip(), built_facts(evidence).get("sources") or {}
    if not evidence.builds or evidence.outcome != "ok" or not commit or any(commit in one.commits for one in load()):
        return []
    same = next((one for one in load() if seen.items() >= one.sources.items()), None)
    likeness = f"; its sources are those of {same.name}" if same else ""
    return [f"source not known to the rules: {commit:.64}{likeness}"]


def _below(path: str, folder: str) -> str:
    return path.removeprefix(folder) if path.startswith(folder) else ""
