"""Checks of the source: what was compiled is what was cloned, that is what was asked for, and nothing changed it."""

from __future__ import annotations

import re
import shlex
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from provisioner.audit import ninja_file
from provisioner.audit.compile import INSTALLED
from provisioner.audit.finding import Finding, Findings, failed, passed, skipped
from provisioner.audit.known_sources import built_facts, load
from provisioner.audit.names import DEVCONTAINER, LOG

if TYPE_CHECKING:
    from provisioner.evidence import Evidence

CLONED = "container/source_after_clone.txt"
COMPILED = "container/source_after_compile.txt"
COMMIT, TREE = "commit.txt", "tree.txt"
BUILT = "built.json"

DEFAULT_USERNAME = "alexchesser"
HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
CLONE = re.compile(r"\+ (git clone .*)$")
LOGIN = re.compile(r"(?<=://)[^/@\s]*@")
# xformers' own version names the commit that it was made of: 0.0.35+7f05920.d20261129.
VERSION = re.compile(r"\+([0-9a-f]{7,40})\.d\d{8}\b")
# What is compiled, and what says how. Other tracked files a build may write anew, such as lists of what is installed.
SOURCE = re.compile(r".*\.(?:c|cc|cpp|cxx|cu|cuh|h|hh|hpp|inl|ipp)|(?:.*/)?(?:setup\.(?:py|cfg)|pyproject\.toml)")
# As built_facts.py has it.
MOST_WRITTEN = 2000
UNTRACKED = frozenset(["??", "!!"])


class Source(NamedTuple):
    """What git said of the clone at a time; see source_facts.sh."""

    commit: str
    tree: str
    submodules: tuple[tuple[str, str, str], ...]
    """Mark, commit and path of each."""
    hidden: tuple[str, ...]
    changed: tuple[tuple[str, str], ...]
    """Two letters, and the path; that of a folder ends in a slash."""

    def untracked(self) -> tuple[set[str], tuple[str, ...]]:
        """Return the files that are none of the commit's, and the folders."""
        names = {name for letters, name in self.changed if letters in UNTRACKED}
        return names, tuple(name for name in names if name.endswith("/"))


def _source(evidence: Evidence, name: str) -> Source | None:
    lines = [line.partition(" ")[::2] for line in evidence.text(name).splitlines()]
    of = {word: [rest for other, rest in lines if other == word] for word, _ in lines}
    if not (len(of.get("commit", ())) == len(of.get("tree", ())) == 1):
        return None
    changed = [(rest[:2], _path(rest[3:])) for rest in of.get("changed", ())]
    submodules = [(mark, commit, path) for mark, commit, path in (row.split(" ", 2) for row in of.get("submodule", ()))]
    hidden = tuple(of.get("hidden", ()))
    return Source(of["commit"][0], of["tree"][0], tuple(submodules), hidden, tuple(changed))


def _path(told: str) -> str:
    """Return a path without the quotes that git puts around one with a blank."""
    return told.strip('"')


def _unfinished() -> Finding:
    return skipped("the run did not write all of its evidence", "result.json")


def source_is_what_was_cloned(evidence: Evidence) -> Findings:
    """Commit, tree and submodules are the same from the clone to the end, each submodule at its commit."""
    cloned, compiled = _source(evidence, CLONED), _source(evidence, COMPILED)
    if evidence.outcome != "ok":
        yield _unfinished()
        return
    if cloned is None:
        yield failed("git did not say what was cloned", CLONED)
        return
    if not (HASH.fullmatch(cloned.commit) and HASH.fullmatch(cloned.tree)):
        yield failed(f"{cloned.commit:.60} is no commit, or {cloned.tree:.60} no tree", CLONED)
    for mark, _, path in cloned.submodules:
        if mark != "ok":
            yield failed(f"submodule {path} is not at its commit", CLONED)
    if compiled is None or compiled[:3] != cloned[:3]:
        yield failed("commit, tree or submodules are others than before the compile", COMPILED)
    for name, value in ((COMMIT, cloned.commit), (TREE, cloned.tree)):
        if not evidence.text(name).strip():
            yield skipped("what there is at the end could not be told", name)  # nothing_is_missing asks why
        elif evidence.text(name).strip() != value:
            yield failed(f"it is {evidence.text(name).strip():.60} at the end, and was {value}", name)
    yield passed(f"{cloned.commit}, tree {cloned.tree}, {len(cloned.submodules)} submodules", CLONED)


def source_is_what_was_asked_for(evidence: Evidence) -> Findings:
    """What was cloned is of the run's URL and branch, and the version that pip installed names its commit."""
    if evidence.outcome != "ok":
        yield _unfinished()
        return
    run, echoed = evidence.run, [found[1] for found in map(CLONE.search, evidence.log) if found]
    url = str(run.get("xformers_url") or f"https://github.com/{run.get('username') or DEFAULT_USERNAME}/xformers.git")
    ref = str(run.get("xformers_ref") or "")
    if not echoed:
        yield failed("no command cloned anything", LOG)
    for command in echoed:
        words = shlex.split(LOGIN.sub("", command))
        branch = words[words.index("--branch") + 1] if "--branch" in words[:-1] else ""
        named, wanted = words[words.index("--") + 1] if "--" in words[:-1] else "", LOGIN.sub("", url)
        # Natively a mount's target is its source; the name stays.
        if evidence.runtime != DEVCONTAINER and wanted.startswith("file://"):
            named, wanted = PurePosixPath(named).name, PurePosixPath(wanted).name
        if (named, branch) != (wanted, ref):
            yield failed(f"{named:.60} {branch:.20} was cloned, and the run has {wanted:.60} {ref:.20}", LOG)
    commit = evidence.text(COMMIT).strip()
    if not commit:
        yield skipped("what there is at the end could not be told", COMMIT)
        return
    if not HASH.fullmatch(commit):
        yield failed(f"{commit:.60} is no commit", COMMIT)
    for line in evidence.log:
        version = VERSION.search(line) if INSTALLED.search(line) else None
        if version and not commit.startswith(version[1]):
            yield failed(f"pip installed a version of {version[1]}, and the commit is {commit:.60}", LOG)
    yield passed(f"{LOGIN.sub('', url):.200} {ref}".strip(), LOG)


def source_was_left_alone(evidence: Evidence) -> Findings:
    """Nothing but the commit's own files was there before the compile, and no source of it was written after."""
    cloned, compiled = _source(evidence, CLONED), _source(evidence, COMPILED)
    if evidence.outcome != "ok":
        yield _unfinished()
        return
    if cloned is None or compiled is None:
        yield failed("git did not say how the clone was", CLONED if cloned is None else COMPILED)
        return
    for moment, name in ((cloned, CLONED), (compiled, COMPILED)):
        for path in moment.hidden:
            yield failed(f"git was told not to look at {path:.60}", name)
    for letters, path in cloned.changed:
        yield failed(f"{path:.60} was {'there' if letters in UNTRACKED else 'changed'} before the compile", CLONED)
    for letters, path in compiled.changed:
        if letters not in UNTRACKED and SOURCE.fullmatch(path):
            yield failed(f"{path:.60} was changed during the compile", COMPILED)
    written = built_facts(evidence).get("written")
    if written is None:
        yield failed("the host did not look at what was written", BUILT)
        return
    if len(written) > MOST_WRITTEN:
        raise ValueError("the host writes down no more than some thousand files")
    files, folders = compiled.untracked()
    for path, when in written:
        # A clock that was set while git wrote is no writer.
        while_cloning = evidence.within(float(when), evidence.window("clone"))
        if SOURCE.fullmatch(path) and path not in files and not path.startswith(folders) and not while_cloning:
            yield failed(f"{path:.60} was written after the clone", BUILT)
    yield passed(f"{len(written)} files were written since, and no source", BUILT)


def source_is_known(evidence: Evidence) -> Findings:
    """What was compiled are files of the clone; for a commit that the rules know they are its own, all of them."""
    if not evidence.builds or evidence.outcome != "ok":
        yield _unfinished()
        return
    commit, tree = evidence.text(COMMIT).strip(), evidence.text(TREE).strip()
    where = f"{evidence.builds[-1].folder}/build.ninja"
    edges = ninja_file.parse(evidence.text(where))
    made = {path for edge in edges for path in edge.outputs}
    inputs = {path for edge in edges for path in edge.inputs} - made
    below = f"/{PurePosixPath(str(evidence.run.get('workspace'))).name}/xformers/"
    compiled = {path.partition(below)[2] if path.startswith("/") else path for path in inputs}
    if "" in compiled:
        yield failed("it compiled what is not in the clone", where)
    seen = built_facts(evidence).get("sources")
    if seen is not None and compiled - seen.keys():
        yield failed(f"the host did not see {min(compiled - seen.keys()):.60}", BUILT)
    known = next((one for one in load() if commit in one.commits), None)
    if known is None:
        same = next((one for one in load() if (seen or {}).items() >= one.sources.items()), None)
        likeness = f"; its sources are those of {same.name}" if same else ""
        yield passed(f"source not known to the rules: {commit}{likeness}", COMMIT)
        return
    if tree and tree != known.commits[commit]:
        yield failed(f"{commit} has another tree than {tree:.60}", TREE)
    for path in sorted(known.sources.keys() - compiled):
        yield failed(f"{path} of {known.name} was not compiled", where)
    for path in sorted(compiled - known.sources.keys()):
        yield failed(f"{path} is not what {known.name} compiles", where)
    for path, value in sorted((seen or {}).items()):
        if value != known.sources.get(path, value):
            yield failed(f"{path} is not as {known.name} has it", BUILT)
    yield passed(f"{known.name}, {len(compiled)} sources", COMMIT)
