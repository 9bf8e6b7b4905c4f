"""Checks of the source: what was compiled is what was cloned, that is what was asked for, and nothing changed it."""

from __future__ import annotations

import re
import shlex
from datetime import datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from provisioner.audit.checks.compile import INSTALLED
from provisioner.audit.finding import Finding, Findings, failed, passed, skipped
from provisioner.audit.known_sources import asked_inside, built_facts, load
from provisioner.audit.names import DEFAULT_USERNAME, DEVCONTAINER, LOG, LOGIN, PIP_LOG

if TYPE_CHECKING:
    from provisioner.runs.evidence import Evidence

CLONED = "container/source_after_clone.txt"
COMPILED = "container/source_after_compile.txt"
COMMIT, TREE = "commit.txt", "tree.txt"
PACKAGES, ENVIRONMENT = "packages.json", "environment.json"
BUILT = "built.json"
HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
CLONE = re.compile(r"\+ (git clone .*)$")
# xformers' own version names the commit that it was made of: 0.0.35+7f05920.d20261129.
VERSION = re.compile(r"\+([0-9a-f]{7,40})\.d(\d{8})\b")
# What is compiled, and what says how. Other tracked files a build may write anew, such as lists of what is installed.
SOURCE = re.compile(r".*\.(?:c|cc|cpp|cxx|cu|cuh|h|hh|hpp|inl|ipp)|(?:.*/)?(?:setup\.(?:py|cfg)|pyproject\.toml)")
# As built_facts.py has it.
MOST_WRITTEN = 2000
SECOND = 1.0
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


def told_by_git(evidence: Evidence, name: str) -> Source | None:
    """Return what git said at one of the two moments; None where it said no commit or tree."""
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


def unfinished() -> Finding:
    """Return what is found where a run did not come to tell of its source."""
    return skipped("the run did not write all of its evidence", "result.json")


def source_is_what_was_cloned(evidence: Evidence) -> Findings:
    """Commit, tree and submodules are the same from the clone to the end, each submodule at its commit."""
    cloned, compiled = told_by_git(evidence, CLONED), told_by_git(evidence, COMPILED)
    if evidence.outcome != "ok" or not asked_inside(evidence):
        yield unfinished()
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
    if evidence.outcome != "ok" or not asked_inside(evidence):
        yield unfinished()
        return
    url, ref = _url(evidence), str(evidence.run.get("xformers_ref") or "")
    echoed = [found[1] for found in map(CLONE.search, evidence.log) if found]
    if not echoed:
        yield failed("no command cloned anything", LOG)
    for command in echoed:
        yield from _cloned_otherwise(evidence, command, url, ref)
    commit = evidence.text(COMMIT).strip()
    if not commit:
        yield skipped("what there is at the end could not be told", COMMIT)
        return
    if not HASH.fullmatch(commit):
        yield failed(f"{commit:.60} is no commit", COMMIT)
    yield from _of_another_version(evidence, commit)
    told = dict(evidence.builds[-1].environment if evidence.builds else ()).get("XFORMERS_FORK_URL")
    if told and evidence.runtime == DEVCONTAINER and LOGIN.sub("", told) != url:
        yield failed(f"the compile was told of {told:.60}", f"{evidence.builds[-1].folder}/environment")
    yield passed(f"{url:.200} {ref}".strip(), LOG)


def _url(evidence: Evidence) -> str:
    """Return what the run clones, without a login."""
    run = evidence.run
    default = f"https://github.com/{run.get('username') or DEFAULT_USERNAME}/xformers.git"
    return LOGIN.sub("", str(run.get("xformers_url") or default))


def _cloned_otherwise(evidence: Evidence, command: str, url: str, ref: str) -> Findings:
    """Say what a command that cloned has otherwise than the run: its options, its folder, its URL or its branch."""
    words = shlex.split(LOGIN.sub("", command))
    options = words[2 : words.index("--")] if "--" in words else words[2:]
    if options[:1] != ["--recurse-submodules"] or options[1:] not in ([], ["--branch", ref]):
        yield failed(f"it was cloned with {' '.join(options):.60}", LOG)
    if not words[-1].endswith(folder_of(evidence).rstrip("/")):
        yield failed(f"it was cloned into {words[-1]:.60}", LOG)
    branch, named, wanted = _word_after("--branch", words), _word_after("--", words), url
    # Natively a mount's target is its source; the name stays.
    if evidence.runtime != DEVCONTAINER and wanted.startswith("file://"):
        named, wanted = PurePosixPath(named).name, PurePosixPath(wanted).name
    if (named, branch) != (wanted, ref):
        yield failed(f"{named:.60} {branch:.20} was cloned, and the run has {wanted:.60} {ref:.20}", LOG)


def _word_after(option: str, words: list[str]) -> str:
    """Return the word that follows an option; empty where there is none."""
    return words[words.index(option) + 1] if option in words[:-1] else ""


def _of_another_version(evidence: Evidence, commit: str) -> Findings:
    """Say where a version is told that is not the commit's, not of this run's day, or another than elsewhere."""
    told = _installed_by_pip(evidence)
    if not told and evidence.ended("compile"):
        yield failed("pip did not say that it installed xformers", LOG)
    listed = [one["version"] for one in evidence.json(PACKAGES) or () if one["name"].lower() == "xformers"]
    inside = [one["version"] for one in evidence.mapping(ENVIRONMENT).get("installed") or ()]
    told |= dict.fromkeys(listed, PACKAGES) | dict.fromkeys(inside, ENVIRONMENT)
    for other in sorted(told.keys() - set(listed)):
        yield failed(f"xformers {other:.60} is told of, and pip lists {', '.join(listed):.60}", told[other])
    for version, where in told.items():
        yield from _of_another_commit(evidence, version, commit, where)


def _installed_by_pip(evidence: Evidence) -> dict[str, str]:
    """Return the versions of xformers that pip says it installed, each with where that stands."""
    installed = "Successfully installed"
    lines = [line.partition(installed)[2] for line in evidence.log if INSTALLED.search(line)]
    lines += [line.partition(installed)[2] for line in evidence.text(PIP_LOG).splitlines() if installed in line]
    return {found[1]: LOG for line in lines for found in re.finditer(r"\bxformers-(\d\S*)", line)}


def _of_another_commit(evidence: Evidence, version: str, commit: str, where: str) -> Findings:
    """Say where a version names another commit or day than the run's, or none though its setup names one."""
    found = VERSION.search(version)
    if not found:
        if any(commit in one.commits for one in load()):
            yield failed(f"xformers {version:.60} does not name the commit", where)
        return
    if not commit.startswith(found[1]):
        yield failed(f"pip installed a version of {found[1]}, and the commit is {commit:.60}", where)
    # A container may have another time zone, and a run may go on past midnight.
    if not -1 <= (datetime.fromisoformat(found[2]).date() - evidence.started.date()).days <= 2:
        yield failed(f"xformers {version:.60} was made on another day", where)


def source_was_left_alone(evidence: Evidence) -> Findings:
    """Nothing but the commit's own files was there before the compile, and no source of it was written after."""
    cloned, compiled = told_by_git(evidence, CLONED), told_by_git(evidence, COMPILED)
    if evidence.outcome != "ok" or not asked_inside(evidence):
        yield unfinished()
        return
    if cloned is None or compiled is None:
        yield failed("git did not say how the clone was", CLONED if cloned is None else COMPILED)
        return
    yield from _seen_by_git(cloned, compiled)
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
    yield from _not_made(evidence, compiled, written)
    yield passed(f"{len(written)} files were written since, and no source", BUILT)


def _seen_by_git(cloned: Source, compiled: Source) -> Findings:
    """Say what git saw: files that it was told not to look at, others before the compile, sources changed in it."""
    for moment, name in ((cloned, CLONED), (compiled, COMPILED)):
        for path in moment.hidden:
            yield failed(f"git was told not to look at {path:.60}", name)
    for letters, path in cloned.changed:
        yield failed(f"{path:.60} was {'there' if letters in UNTRACKED else 'changed'} before the compile", CLONED)
    for letters, path in compiled.changed:
        if letters not in UNTRACKED and SOURCE.fullmatch(path):
            yield failed(f"{path:.60} was changed during the compile", COMPILED)


def _not_made(evidence: Evidence, compiled: Source, written: list[tuple[str, float]]) -> Findings:
    """Say which extension was not written by the compile, as the host and git see it."""
    files, folders = compiled.untracked()
    for extension in evidence.mapping(ENVIRONMENT).get("extensions") or ():
        name = str(extension["path"]).partition(folder_of(evidence))[2]
        if name not in files and not name.startswith(folders):
            yield failed(f"{name:.60} is of the commit, or git does not see it", COMPILED)
        when = [float(moment) for path, moment in written if path == name]
        if len(written) < MOST_WRITTEN and not any(abs(one - float(extension["changed"])) < SECOND for one in when):
            yield failed(f"the host did not see {name:.60} written by the compile", BUILT)


def folder_of(evidence: Evidence) -> str:
    """Return how the path of every file of the clone has its folder, on the host and inside."""
    return f"/{PurePosixPath(str(evidence.run.get('workspace'))).name}/xformers/"
