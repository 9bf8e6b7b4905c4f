"""Checks of the extension: the objects of the compile's edges are in it, and its GPU code is what was asked for."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from provisioner.audit import ninja_file
from provisioner.audit.checks.compile import AFTER
from provisioner.audit.checks.edges import GRAIN, LATE
from provisioner.audit.compilation import linked_file, links, name_of, of_the_compile
from provisioner.audit.finding import Finding, Findings, failed, passed, skipped
from provisioner.audit.known_sources import architectures, built_facts, known
from provisioner.audit.names import PIP_LOG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provisioner.audit.compilation import Compilation
    from provisioner.runs.evidence import Evidence

__all__ = ["extension_is_for_its_architectures", "objects_were_linked"]

BUILT = "built.json"
SUMS = "container/extension_sums.txt"
LISTED = "container/extension_elf.txt"
# Of two edges that begin within so many seconds either may come first.
TURN = 2.0
# An object has so many bytes at least; an extension so much of its objects: what several have is linked once.
SMALLEST, SMALLEST_CODE, LINKED = 400, 100, 0.1
# How nvcc is asked for device code that is linked.
RELOCATABLE = re.compile(r"\s-(?:rdc|dc|dlto)\b")
# What nvcc puts before the name of a source for its own files, by which the symbols tell of it.
TEMPORARY = re.compile(r"^tmpxft_[0-9a-f]+_[0-9a-f]+-\d+_")
# So many commands that link one extension are looked at.
MOST_LINKS = 30


@of_the_compile(inside=True)
def objects_were_linked(evidence: Evidence, compiled: Compilation) -> Findings:
    """Each object was left by its edge, and linked into the extension in use, which has the GPU code of each."""
    left = _outputs(evidence, compiled)
    yield from _not_left(evidence, compiled, left)
    extension = _in_use(evidence)
    if not extension:
        yield _not_seen(evidence)
        return
    objects = sum(int(row[1]) for row in left.values())
    if extension["size"] < LINKED * objects:
        yield failed(f"the extension has {extension['size']} bytes, its objects {objects}", BUILT)
    cuda = [edge for edge, _ in compiled.edges if edge.is_cuda]
    relocatable = any(RELOCATABLE.search(edge.command) for edge in cuda)
    gpu_code = _gpu_code(evidence, extension).values()
    code = sum(of.get("bytes", 0) for of in gpu_code)
    if code > objects and not relocatable:
        yield failed(f"the extension has {code} bytes of GPU code, its objects {objects} in all", BUILT)
    yield from _not_linked(evidence, compiled, extension)
    yield from _out_of_turn(compiled, extension)
    pieces = sum(of["elf"] + of["ptx"] for of in gpu_code)
    # Relocatable device code of all objects is linked to one piece.
    least = 1 if relocatable else len(cuda)
    if pieces < least:
        yield failed(f"the extension has {pieces} pieces of GPU code, of {len(cuda)} objects", BUILT)
    yield passed(f"{len(compiled.edges)} objects, {objects} bytes, and {pieces} pieces of GPU code", BUILT)


def _outputs(evidence: Evidence, compiled: Compilation) -> dict[str, list[str]]:
    """Return what ninja left of each output, by its path: the path, its size and when it was written."""
    rows = (line.split("\t") for line in evidence.text(compiled.named("outputs")).splitlines())
    return {row[0]: row for row in rows if len(row) == 3}


def _not_left(evidence: Evidence, compiled: Compilation, left: dict[str, list[str]]) -> Findings:
    """Say which object of those that were `left` is too small, or was not written when its edge ran."""
    where, began = compiled.named("outputs"), compiled.window[0]
    # Version 5 notes when the output was written, later ones when its edge began.
    noted = evidence.text(compiled.named("ninja_log")).startswith(ninja_file.LOG_BEFORE_1_12)
    for edge, step in compiled.edges:
        for output in edge.outputs:
            _, size, modified = left.get(output, (output, "0", "0"))
            if int(size) < SMALLEST:
                yield failed(f"{name_of(edge)} has {size} bytes", where)
            elif not evidence.within(float(modified), (began + step.started, began + step.ended), LATE):
                yield failed(f"{name_of(edge)} was written when its edge did not run", where)
            elif noted and abs(float(modified) - step.modified) > GRAIN:
                yield failed(f"{name_of(edge)} was written again after its edge", where)


def _not_linked(evidence: Evidence, compiled: Compilation, extension: dict[str, Any]) -> Iterator[Finding]:
    """Say which object neither the linker's command nor the extension's own symbols tell of.

    For sources that are known both must: their setup prints the command, and nothing strips the symbols.
    """
    name = PurePosixPath(str(extension["path"])).name
    linked = _commands_that_linked(evidence, name)
    symbols = {_stem(TEMPORARY.sub("", symbol)) for symbol in extension.get("sources") or []}
    for edge, _ in compiled.edges:
        by_command = any(set(edge.outputs) <= words for words in linked)
        by_symbol = _stem(edge.inputs[0] if edge.inputs else edge.outputs[0]) in symbols
        if not by_command and (linked or not by_symbol):
            yield failed(f"{name_of(edge)} is not in the command that linked {name}", PIP_LOG)
        elif not by_symbol and symbols and known(evidence):
            yield failed(f"{name} has no symbols of {name_of(edge)}", BUILT)
    if not known(evidence):
        return
    if not linked:
        yield failed(f"no command linked {name}", PIP_LOG)
    yield from _not_compiled(compiled, extension, name)


def _commands_that_linked(evidence: Evidence, name: str) -> list[set[str]]:
    """Return the words of each command that linked an extension of this name."""
    found = (words for words in links(evidence.text(PIP_LOG)) if PurePosixPath(linked_file(words)).name == name)
    return [set(words) for words in islice(found, MOST_LINKS)]


def _not_compiled(compiled: Compilation, extension: dict[str, Any], name: str) -> Iterator[Finding]:
    """Say of which source the extension has symbols that was not compiled."""
    stems = {_stem(path) for edge, _ in compiled.edges for path in edge.inputs}
    for symbol in extension.get("sources") or []:
        if symbol.endswith(".cpp") and _stem(TEMPORARY.sub("", symbol)) not in stems:
            yield failed(f"{name} has symbols of {symbol:.60}, which was not compiled", BUILT)


def _out_of_turn(compiled: Compilation, extension: dict[str, Any]) -> Iterator[Finding]:
    """Say which edges began in another order than nvcc's processes did, whose numbers the symbols have.

    Numbers go up, and begin again once they are as high as they can be.
    """
    numbers = {
        _stem(TEMPORARY.sub("", name)): name.split("_")[1]
        for name in extension.get("sources") or []
        if TEMPORARY.match(name)
    }
    begun = sorted(
        (step.started, edge) for edge, step in compiled.edges if edge.inputs and _stem(edge.inputs[0]) in numbers
    )
    descents, last = 0, (0.0, -1)
    for started, edge in begun:
        number = int(numbers[_stem(edge.inputs[0])], 16)
        if number > last[1] or started - last[0] > TURN:
            descents += number < last[1]
            last = (started, number)
    if descents > 1:
        yield failed("the edges did not begin in the order of their processes", compiled.named("ninja_log"))


@of_the_compile(inside=True)
def extension_is_for_its_architectures(evidence: Evidence, compiled: Compilation) -> Findings:
    """The extension in use is the one that was compiled, by its sums, with GPU code for what was asked for."""
    extension = _in_use(evidence)
    if not extension:
        yield _not_seen(evidence)
        return
    name = PurePosixPath(extension["path"]).name
    yield from _with_another_sum(evidence, extension)
    yield from _of_another_size(evidence, extension)
    code = _gpu_code(evidence, extension)
    for number, ptx in architectures(evidence):
        of = code.get(f"sm_{number.replace('.', '')}", {})
        if not of.get("elf"):
            yield failed(f"{name} has no machine code for {number}", BUILT)
        if ptx and not of.get("ptx"):
            yield failed(f"{name} has no PTX for {number}", BUILT)
    yield from _listed_otherwise(evidence, compiled, code)
    pieces = ", ".join(f"{of['elf']} for {architecture}" for architecture, of in sorted(code.items()))
    yield passed(f"{name} has {pieces}", BUILT)


def _with_another_sum(evidence: Evidence, extension: dict[str, Any]) -> Iterator[Finding]:
    """Say where the extension in use is told of by another sum than the host saw: after the compile, or at the end."""
    sums = [line.split(None, 1) for line in evidence.text(SUMS).splitlines()]
    right_after = [value for value, path in sums if path.endswith(f"/xformers/{extension['path']}")]
    at_the_end = [one["sha256"] for one in evidence.mapping(AFTER).get("extensions") or [] if one["in_use"]]
    for value, when in ((right_after, SUMS), (at_the_end, AFTER)):
        if value != [extension["sha256"]]:
            yield failed(f"{PurePosixPath(extension['path']).name} has another sum there than the host saw", when)


def _of_another_size(evidence: Evidence, extension: dict[str, Any]) -> Iterator[Finding]:
    """Say where the extension's size is told otherwise, and where it does not hold what it is told to hold."""
    name = PurePosixPath(extension["path"]).name
    there = evidence.mapping(AFTER).get("extensions") or []
    seen = built_facts(evidence)["extensions"]
    if sorted(one["sha256"] for one in there) != sorted(one["sha256"] for one in seen):
        yield failed(f"the host saw {len(seen)} extensions, and {len(there)} are there", BUILT)
    size = max(one["size"] for one in there if one["in_use"])
    if size != extension["size"]:
        yield failed(f"{name} has {size} bytes, and {extension['size']} for the host", AFTER)
    if not extension.get("broken"):
        yield from _without_room(evidence, extension, size)


def _without_room(evidence: Evidence, extension: dict[str, Any], size: int) -> Iterator[Finding]:
    """Say where the parts of an extension of this size are larger than it, or too small."""
    name, sections = PurePosixPath(extension["path"]).name, extension["sections"]
    code = sum(of["bytes"] for of in extension["gpu_code"].values())
    if sum(sections.values()) > size or code > sections[".nv_fatbin"]:
        yield failed(f"{name} of {size} bytes has no room for its sections {sections} with {code} of GPU code", BUILT)
    if any(of["elf"] * SMALLEST_CODE > of["bytes"] for of in extension["gpu_code"].values()):
        yield failed(f"its GPU code has {code} bytes", BUILT)
    source = known(evidence)
    if source and sum(sections.values()) < source.extension_floor:
        yield failed(f"{name} of {source.name} has {sum(sections.values())} bytes of code", BUILT)


def _listed_otherwise(evidence: Evidence, compiled: Compilation, code: dict[str, dict[str, int]]) -> Iterator[Finding]:
    """Say what of cuobjdump's list of the GPU code is of no source of the compile, or not what the host saw."""
    listed = evidence.text(LISTED)
    if not listed.strip():
        yield failed("there is no list of its GPU code, nor why", LISTED)
    stems = {_stem(path) for edge, _ in compiled.edges if edge.is_cuda for path in edge.inputs}
    names = {_stem(TEMPORARY.sub("", row)) for row in re.findall(r"^ELF file +\d+: (\S+)\.sm_", listed, re.MULTILINE)}
    if names & stems and names - stems:  # an older cuobjdump numbers them
        yield failed(f"cuobjdump tells of {min(names - stems):.60}, which was not compiled", LISTED)
    told = {name: (of["elf"], of["ptx"]) for name, of in _listed(listed).items()}
    seen = {name: (of["elf"], of["ptx"]) for name, of in code.items()}
    if told and told != seen:
        yield failed(f"cuobjdump tells of {told} (machine code, PTX), the host saw {seen}", LISTED)


def _not_seen(evidence: Evidence) -> Finding:
    if not evidence.text(AFTER).strip():
        return skipped("what is inside could not be told", AFTER)  # nothing_is_missing asks why
    return failed("xformers._C is not an extension that the host saw", BUILT)


def _in_use(evidence: Evidence) -> dict[str, Any]:
    """Return what the host saw of the extension in use; empty where there is none, or several."""
    used = [one["path"] for one in evidence.mapping(AFTER).get("extensions") or [] if one["in_use"]]
    seen = [one for one in built_facts(evidence).get("extensions") or [] if len(used) == 1]
    found = [one for one in seen if used[0].endswith(f"/xformers/{one['path']}")]
    return found[0] if len(found) == 1 else {}


def _gpu_code(evidence: Evidence, extension: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Return how many pieces there are by architecture: as the host read them, or cuobjdump where it could not."""
    return _listed(evidence.text(LISTED)) if extension.get("broken") else extension.get("gpu_code") or {}


def _listed(text: str) -> dict[str, dict[str, int]]:
    """Return the same of what cuobjdump listed; empty where there is none, or it failed."""
    found: dict[str, dict[str, int]] = {}
    for architecture, kind in re.findall(r"\.(sm_\d+)[af]?\.(cubin|ptx)$", text, re.MULTILINE):
        found.setdefault(architecture, {"elf": 0, "ptx": 0})["elf" if kind == "cubin" else "ptx"] += 1
    return found


def _stem(path: str) -> str:
    return PurePosixPath(path).name.partition(".")[0]
