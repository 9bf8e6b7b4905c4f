"""Checks of the commands of the compile: who was called, with what, and that nothing else was put beside it."""

from __future__ import annotations

import posixpath
import re
import shlex
import struct
from typing import TYPE_CHECKING

from provisioner.audit.checks.compile import CACHES
from provisioner.audit.compilation import linked_file, links, name_of, of_the_compile
from provisioner.audit.finding import Findings, failed, passed, skipped
from provisioner.audit.known_sources import clone_folder, known
from provisioner.audit.names import DEVCONTAINER, LOG, PIP_LOG
from provisioner.audit.ninja_file import LOG_BEFORE_1_12

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provisioner.audit.compilation import Compilation
    from provisioner.audit.known_sources import KnownSource
    from provisioner.audit.ninja_file import Edge
    from provisioner.runs.evidence import Evidence

__all__ = ["commands_are_of_the_compile", "nothing_else_was_run", "the_linker_took_the_objects"]

# Where a path begins in a word of a command: -I/usr/include, -isystem=/usr, a,b=/x.
PATH = re.compile(r"(?:^|[=,:'\"]|^-[A-Za-z]+)(/[^\s,:;='\"]+)")
# Where the image has what a command of torch's setup names, beside the clone and the folder that pip builds in.
OF_IMAGE = re.compile(r"/usr/(?:include|lib\w*|share|bin|local/(?:cuda(?:-[\d.]+)?|lib/python[\d.]+))(?:/.*)?")
# What makes a compiler start another program, read arguments from a file, or compile nothing.
INSTEAD = re.compile(
    r"-B.*|-specs=.*|-wrapper|-fplugin=.*|-?-ccbin.*|--compiler-bindir.*|@.*|--options-file.*|-optf.*|-?-dryrun|"
    r"-fsyntax-only|-E|-M|-S|-?-ptx|-?-cubin|-include|-imacros|-?-pre-include.*"
)
SOURCES = (".cu", ".cpp", ".cc", ".cxx", ".c")
# What a linker may be given that is an object, or has some.
LINKED = re.compile(r".*\.(?:o|obj|a|lo|so(?:\.[\d.]+)?)|-l:.*")
ECHO = re.compile(r"^\S+Z (?:\[\S+Z\] )?\+ (.*)$")
# What the post-create script runs, by phase.
RUNS = {
    "clone": re.compile(
        r"git (?:clone --recurse-submodules |config --global (?:--add safe\.directory|protocol\.file\.allow) |"
        r"-C .+/xformers submodule --quiet foreach --recursive git\\ config).*"
    ),
    "compile": re.compile(r"env FORCE_CUDA=1 .*python3 -m pip install .* -e .+"),
    "pre_commit": re.compile(r"python3 -m pip install --no-cache-dir .*pre-commit|pre-commit install"),
}


@of_the_compile(inside=True)
def commands_are_of_the_compile(evidence: Evidence, compiled: Compilation) -> Findings:
    """Each edge calls a compiler that was on PATH, for its own input, with nothing of a place of nobody's."""
    where = compiled.named("build.ninja")
    on_path = {found for tool in compiled.call.tools for found in (tool.name, tool.path)}
    source = known(evidence)
    clone = clone_folder(evidence)
    for edge, _ in compiled.edges:
        words = _words(edge.command)
        yield from _not_of_its_source(edge, words, on_path, where)
        if evidence.runtime == DEVCONTAINER:
            yield from _elsewhere(name_of(edge), words, {clone, *_folders(edge)}, where)
        if source:
            yield from _not_as_known(evidence, source, edge, words, where)
    yield from _logged_otherwise(evidence, compiled)
    yield passed(f"{len(compiled.edges)} commands", where)


def _not_of_its_source(edge: Edge, words: list[str], on_path: set[str], where: str) -> Findings:
    """Say where an edge's command is not of a compiler that was on PATH, or not for its own source."""
    if words[0] not in on_path:
        yield failed(f"{name_of(edge)} was made by {words[0]:.60}, which was not on PATH", where)
    others = {word for word in words if word.endswith(SOURCES)} - set(edge.inputs)
    if others or not {*edge.inputs, edge.outputs[0]} <= set(words):
        yield failed(f"{name_of(edge)} was not made of its own source: {min(others, default='')}", where)


def _not_as_known(evidence: Evidence, source: KnownSource, edge: Edge, words: list[str], where: str) -> Findings:
    """Say where an edge's command is not as the setup of a known source makes it."""
    for word in source.foreign_flags(words, edge.is_cuda):
        yield failed(f"{name_of(edge)} was not compiled as {source.name} is: {word:.60}", where)
    for target in _targets(evidence) if edge.is_cuda else ():
        if target not in edge.command:
            yield failed(f"{name_of(edge)} was not compiled for {target}", where)


def _logged_otherwise(evidence: Evidence, compiled: Compilation) -> Findings:
    """Say where ninja's log is not one of its version, or has other commands."""
    log = compiled.named("ninja_log")
    version = re.match(r"1\.(\d+)", str((evidence.mapping("environment.json").get("versions") or {}).get("ninja")))
    if version and (int(version[1]) < 12) != evidence.text(log).startswith(LOG_BEFORE_1_12):
        yield failed(f"ninja {version[0]} writes no such log", log)
    hashes = _hashes(evidence.text(log))
    for edge, _ in compiled.edges:
        if hashes and hashes.get(edge.outputs[0]) != murmur(edge.command.encode()):
            yield failed(f"ninja's log has the hash of another command for {name_of(edge)}", log)


@of_the_compile(inside=True)
def the_linker_took_the_objects(evidence: Evidence, compiled: Compilation) -> Findings:
    """What was linked into an extension are the objects of the compile's edges, by a compiler, and nothing that lay."""
    made = {output for edge, _ in compiled.edges for output in edge.outputs}
    folders = {clone_folder(evidence), *(folder for edge, _ in compiled.edges for folder in _folders(edge))}
    count = 0
    for words in links(evidence.text(PIP_LOG)):
        count += 1
        target = linked_file(words)
        for word in words[1:]:
            if LINKED.fullmatch(word) and word not in made and word != target:
                yield failed(f"the linker took {word:.60}", PIP_LOG)
        # setuptools links by the name that Python was built with, which is on PATH as gcc is.
        if words[0].startswith("/") and not words[0].startswith("/usr/bin/"):
            yield failed(f"{words[0]:.60} linked", PIP_LOG)
        if evidence.runtime == DEVCONTAINER:
            others = [word for word in words if word != target]
            yield from _elsewhere("the extension", others, folders, PIP_LOG)
    yield passed(f"{count} links", PIP_LOG)


def nothing_else_was_run(evidence: Evidence) -> Findings:
    """In the clone, the compile and pre-commit the script ran what is its own, and each echo is of its phase."""
    if evidence.outcome != "ok":
        yield skipped("the run did not get to its end", LOG)
        return
    cloned = 0
    for phase, own in RUNS.items():
        for number, line in evidence.log_of(phase):
            echo = ECHO.match(line)
            if echo and not own.fullmatch(echo[1]):
                yield failed(f"{echo[1]:.80} was run in {phase}", f"{LOG}:{number}")
            cloned += bool(echo and phase == "clone" and echo[1].startswith("git clone "))
    if not cloned:
        yield failed("nothing was cloned in the phase of the clone", LOG)
    for package in evidence.json("packages.json") or () if evidence.runtime == DEVCONTAINER else ():
        if CACHES.fullmatch(str(package["name"])):
            yield failed(f"{package['name']} is installed", "packages.json")
    yield passed("the script's own commands", LOG)


def _elsewhere(what: str, words: list[str], folders: set[str], where: str) -> Findings:
    """Say which word of a command is a path elsewhere, or lets another program work."""
    for word in words[1:]:
        if INSTEAD.fullmatch(word.removeprefix("-Xcompiler=").removeprefix("-Wp,")):
            yield failed(f"{what} was made with {word:.60}", where)
        for path in map(posixpath.normpath, PATH.findall(word)):
            if not (OF_IMAGE.fullmatch(path) or any(f"{path}/".startswith(f"{folder}/") for folder in folders)):
                yield failed(f"{what} was made with {path:.60}, of nobody's place", where)


def _words(command: str) -> list[str]:
    """Return a command's words. Raise ValueError where it has none, or a quote that does not end."""
    words = shlex.split(command)
    if not words:
        raise ValueError("a command of build.ninja is empty")
    return words


def _folders(edge: Edge) -> Iterator[str]:
    """Yield the folder that an edge writes to, of pip's own."""
    if re.match(r"/tmp/[^/]+/", edge.outputs[0]):  # noqa: S108 - where pip builds
        yield posixpath.dirname(edge.outputs[0])


def _targets(evidence: Evidence) -> list[str]:
    return [f"sm_{each.replace('.', '')}" for each in re.findall(r"[\d.]+[af]?", str(evidence.run.get("arch_list")))]


def _hashes(log: str) -> dict[str, int]:
    """Return the hash of each output's command; none of versions that hash otherwise."""
    lines = log.splitlines()
    if not lines or lines[0].strip() != LOG_BEFORE_1_12:
        return {}
    return {fields[3]: int(fields[4], 16) for fields in (line.split("\t") for line in lines[1:]) if len(fields) == 5}


def murmur(data: bytes) -> int:
    """Return MurmurHash64A of bytes, with ninja's seed: what its log of version 5 has of each command."""
    times, mask = 0xC6A4A7935BD1E995, 2**64 - 1
    value = (0xDECAFBADDECAFBAD ^ (len(data) * times)) & mask
    whole = len(data) // 8 * 8
    for (block,) in struct.iter_unpack("<Q", data[:whole]):
        mixed = block * times & mask
        value = (value ^ ((mixed ^ mixed >> 47) * times & mask)) * times & mask
    if data[whole:]:
        value = (value ^ int.from_bytes(data[whole:], "little")) * times & mask
    value = (value ^ value >> 47) * times & mask
    return value ^ value >> 47
