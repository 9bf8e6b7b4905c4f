"""Checks of the compile: once, for real, by the image's own compilers, and what it made is what is in use."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from provisioner.audit.finding import Findings, failed, match, passed, skipped
from provisioner.audit.names import LOG, PIP_LOG
from provisioner.runs.evidence import CLOCK_GRAIN

if TYPE_CHECKING:
    from provisioner.runs.evidence import Evidence, NinjaCall

BEFORE = "container/environment_before.json"
AFTER = "environment.json"
# The files that names of compilers end in, with their target and version: x86_64-linux-gnu-g++-12, clang-19, nvcc.
COMPILER = re.compile(r"(?:[a-z0-9_]+-linux-gnu-)?(?:gcc|g\+\+|cpp|cc|c\+\+|clang|clang\+\+|nvcc)(?:-[\d.]+)?")
# Those that environment_facts.py tells of, where they are; what else is on PATH no command may call.
TOLD = frozenset(["cc", "c++", "gcc", "g++", "nvcc"])
CACHES = re.compile(r"\b(?:s?ccache|distcc|icecc|buildcache|fastbuild)\b")
# What works while a compiler compiles: the parts of GCC, Clang and nvcc that read, optimise, assemble and join.
PARTS = frozenset(["cc1", "cc1plus", "clang", "clang++", "cudafe++", "cicc", "ptxas", "fatbinary", "nvlink", "as"])
# Variables that put another program, or more arguments, before or after a compiler's own; torch reads PYTORCH_NVCC.
MEDDLING = re.compile(
    r"CC|CXX|CPP|LD|AR|CUDAHOSTCXX|CUDACXX|.*NVCC(?!_THREADS$).*|.*FLAGS(_.*)?|.*CCACHE.*|.*DISTCC.*|ICECC.*|"
    r".*LAUNCHER.*|LD_PRELOAD|COMPILER_PATH|GCC_.*|NINJA.*|PIP_(FIND_LINKS|NO_INDEX|CACHE_DIR|CONSTRAINT|REQUIREMENT).*"
)
# Of the samples at one a second while ninja worked. A compiler is at work in nearly all of an honest compile's, in
# none of one that takes its objects from a cache or another machine; half leaves room for slow starts on a busy host.
AT_WORK = 0.5
# What pip says where it takes a wheel, or anything from its cache, instead of building.
# Each word is looked at once, from its beginning: a long one would take the square of its length.
READY = re.compile(r"(?<!\S)(?=\S*xformers)\S*\.whl (?:from|\()|Using cached \S+|Processing (?=\S*xformers)\S*\.whl")
INSTALL = re.compile(r"^(?>.*?\+ )(?>.*?\bpip install\b).* -e ")
INSTALLED = re.compile(r"^(?>.*?Successfully installed\b).*\bxformers")
STEP = re.compile(r"^[^\S\n]*\[(\d+)/(\d+)\] (.*)$", re.MULTILINE)


def nothing_was_there_before(evidence: Evidence) -> Findings:
    """Before the clone nothing of xformers was installed in the container."""
    before = evidence.json(BEFORE)
    if not before:
        yield skipped("the run did not get to its post-create script", BEFORE)
        return
    if not {"installed", "package"} <= before.keys():
        yield failed("it does not tell what was there", BEFORE)
    for found in (before.get("installed") or []) + (before.get("package") or []):
        yield failed(f"xformers was there: {found}", BEFORE)
    yield passed("no xformers was installed", BEFORE)


def compiled_once(evidence: Evidence) -> Findings:
    """One call of ninja, within the compile phase, made every object, each once."""
    begun = [event["phase"] for event in evidence.events if event["event"] == "begin"].count("compile")
    window = evidence.window("compile")
    if window is None or not evidence.ended("compile"):
        yield skipped("the compile was not finished", "container/events.jsonl")
        return
    if begun != 1:
        yield failed(f"the phase began {begun} times", "container/events.jsonl")
    if len(evidence.builds) != 1:
        yield failed(f"{len(evidence.builds)} calls of ninja built objects", "container/ninja")
    for call in evidence.builds:
        yield from _not_built_once(evidence, call, window)
    told = STEP.findall(evidence.text(PIP_LOG))
    steps = sum(len(call.steps) for call in evidence.builds)
    if len(told) != steps or {total for _, total, _ in told} != {str(steps)}:
        yield failed(f"pip's output has {len(told)} steps, ninja's log {steps}", PIP_LOG)
    yield passed(f"one call of ninja built {steps} objects", "container/ninja")


def _not_built_once(evidence: Evidence, call: NinjaCall, compile_window: tuple[float, float]) -> Findings:
    """Say what of a call of ninja was made twice, or not by it, or not within the compile."""
    where = f"{call.folder}/ninja_log"
    for output in call.rebuilt:
        yield failed(f"{PurePosixPath(output).name} was built more than once", where)
    if call.window is None or not compile_window[0] <= call.window[0] <= call.window[1] <= compile_window[1]:
        yield failed("ninja was not called within the compile", f"{call.folder}/call.json")
    for step in call.steps:
        if not evidence.within(step.modified, call.window):
            yield failed(f"{PurePosixPath(step.output).name} was not made by this call", where)


def compiled_as_told(evidence: Evidence) -> Findings:
    """What was compiled is what the run says: for each of its architectures, at its number of jobs, for CUDA."""
    if not evidence.builds:
        yield skipped("nothing was compiled", "container/ninja")
        return
    for call in evidence.builds:
        variables = dict(call.environment)
        for name, value in (
            ("TORCH_CUDA_ARCH_LIST", evidence.run.get("arch_list")),
            ("MAX_JOBS", evidence.run.get("max_jobs")),
            ("FORCE_CUDA", "1"),
            *([_threads(evidence)] if evidence.run.get("nvcc_threads") else []),
        ):
            if variables.get(name) != value:
                yield failed(f"{name} was {variables.get(name)}, and the run has {value}", f"{call.folder}/environment")
        if call.jobs is not None and str(call.jobs) != evidence.run.get("max_jobs"):
            yield failed(f"ninja was told {call.jobs} jobs", f"{call.folder}/arguments")
        where = f"{call.folder}/build.ninja"
        targets = set(re.findall(r"\bsm_\w+", evidence.text(where)))
        for architecture in re.findall(r"[\d.]+[af]?", str(evidence.run.get("arch_list"))):
            target = f"sm_{architecture.replace('.', '')}"
            if target not in targets:
                yield failed(f"nothing was compiled for {target}", where)
    yield passed(f"for {evidence.run.get('arch_list')}, {evidence.run.get('max_jobs')} jobs at a time", "run.json")


def installed_once(evidence: Evidence) -> Findings:
    """One editable install, of the workspace's clone; no wheel, no second install, no other xformers."""
    after = evidence.json(AFTER)
    if not after or not evidence.ended("compile"):
        yield skipped("the compile was not finished", AFTER)
        return
    yield from _installed_otherwise(evidence)
    listed = [package for package in evidence.json("packages.json") or [] if package["name"].lower() == "xformers"]
    if len(listed) != 1 or not str(listed[0].get("editable_project_location", "")).endswith("/xformers"):
        yield failed("pip does not list one editable xformers", "packages.json")
        return
    source = str(listed[0]["editable_project_location"])
    yield from _installed_elsewhere(after, source)
    yield passed(f"one editable install, of {source}", "packages.json")


def _installed_elsewhere(after: dict[str, Any], source: str) -> Findings:
    """Say where Python finds an xformers that is not the clone in the folder `source`."""
    for found_at in after.get("package") or ["nowhere"]:
        if not f"{found_at}/".startswith(f"{source}/"):
            yield failed(f"xformers is imported from {found_at}", AFTER)
    for distribution in after.get("installed") or []:
        own = str(distribution.get("metadata", "")).rstrip("/") == source
        if not own and not (distribution.get("editable") and str(distribution.get("url")).endswith(source)):
            yield failed(f"another xformers is in {distribution.get('metadata')}", AFTER)


def _installed_otherwise(evidence: Evidence) -> Findings:
    """Say where the log and pip's output tell of another install than one, or of a wheel that was taken."""
    installs = [line for line in evidence.log if INSTALL.search(line)]
    if len(installs) != 1:
        yield failed(f"{len(installs)} editable installs were echoed", LOG)
    done = [line for line in evidence.log if INSTALLED.search(line)]
    if len(done) > 1:
        yield failed(f"pip installed xformers {len(done)} times", LOG)
    found = match(evidence.text(PIP_LOG), READY)
    if found:
        yield failed(f"a ready wheel was taken: {found[1]:.60}", f"{PIP_LOG}:{found[0]}")


def no_compiler_cache(evidence: Evidence) -> Findings:
    """No compiler cache, launcher or remote compiler: not installed, not in a variable, not in a command."""
    if not evidence.builds:
        yield skipped("nothing was compiled", "container/ninja")
        return
    for call in evidence.builds:
        yield from _cached(evidence, call)
    for name in (*(f"{call.folder}/build.ninja" for call in evidence.builds), PIP_LOG):
        found = match(evidence.text(name), CACHES)
        if found:
            yield failed(f"{found[1]} appears", f"{name}:{found[0]}")
    for number, _, command in STEP.findall(evidence.text(PIP_LOG)):
        if not COMPILER.fullmatch(PurePosixPath(command.split(maxsplit=1)[0]).name):
            yield failed(f"step {number} ran {command:.60}", PIP_LOG)
    yield passed("none installed, set or called", f"{evidence.builds[0].folder}/tools")


def _cached(evidence: Evidence, call: NinjaCall) -> Findings:
    """Say which variable, tool or sample of a call of ninja tells of a compiler cache, or of another program."""
    for name, value in call.environment:
        meddles = MEDDLING.fullmatch(name) and (name, value) != _threads(evidence)
        if meddles or (name != "PATH" and CACHES.search(value)):
            yield failed(f"{name} is set to {value:.60}", f"{call.folder}/environment")
    for tool in call.tools:
        if CACHES.search(tool.name) or not COMPILER.fullmatch(PurePosixPath(tool.real).name):
            yield failed(f"{tool.path} is {tool.real}", f"{call.folder}/tools")
    seen = {name for sample in call.samples for name in sample.at_work if CACHES.search(name)}
    if seen:
        yield failed(f"{min(seen)} was at work", f"{call.folder}/samples")


def compilers_are_genuine(evidence: Evidence) -> Findings:
    """The compilers are those that came with the base or the distribution, unaltered since."""
    compilers = (evidence.json(AFTER) or {}).get("compilers") or []
    if not compilers or not evidence.builds:
        yield skipped("nothing was compiled", AFTER)
        return
    written = {line[2:] for line in evidence.text("container_diff.txt").splitlines() if line[:1] in "AC"}
    for compiler in compilers:
        if compiler["altered"]:
            yield failed(f"{compiler['real']} is not as package {compiler['package']} has it", AFTER)
        if not compiler["binary"] and compiler["name"] != "nvcc":
            yield failed(f"{compiler['path']} is a script", AFTER)
        for path in sorted({compiler["path"], compiler["real"]} & written):
            yield failed(f"{path} was written in the container", "container_diff.txt")
    now = {compiler["name"]: compiler["real"] for compiler in compilers}
    for call in evidence.builds:
        yield from _others_than_now(call, now)
    yield passed(f"{len(compilers)} programs as they came", AFTER)


def _others_than_now(call: NinjaCall, now: dict[str, str]) -> Findings:
    """Say which compiler a call of ninja had that is none of those at the end; `now` has their files by name."""
    for name in sorted({tool.name for tool in call.tools} & TOLD - now.keys()):
        yield failed(f"of {name}, which was there then, nothing is told at the end", AFTER)
    # The first of a name is the one that PATH gives.
    for tool in {tool.name: tool for tool in reversed(call.tools)}.values():
        if now.get(tool.name, tool.real) != tool.real:
            yield failed(f"{tool.path} was {tool.real} then, and is not now", f"{call.folder}/tools")


def compilers_were_at_work(evidence: Evidence) -> Findings:
    """While ninja ran, compilers did: the objects were computed here, not taken from somewhere."""
    if not evidence.builds:
        yield skipped("nothing was compiled", "container/ninja")
        return
    samples = [sample for call in evidence.builds for sample in call.samples]
    where = f"{evidence.builds[0].folder}/samples"
    busy = sum(bool(sample.at_work & PARTS) for sample in samples)
    if not samples or busy < AT_WORK * len(samples):
        yield failed(f"a compiler was at work in {busy} of {len(samples)} samples", where)
    yield passed(f"a compiler was at work in {busy} of {len(samples)} samples", where)


def extension_is_of_this_compile(evidence: Evidence) -> Findings:
    """The extension in use was linked by this compile, after its objects, and has not been touched since."""
    after = (evidence.json(AFTER) or {}).get("extensions")
    left = {extension["path"]: extension for extension in evidence.json_lines("container/extensions.jsonl")}
    window = evidence.window("compile")
    if after is None or window is None or not evidence.ended("compile") or not evidence.builds:
        yield skipped("the compile was not finished", AFTER)
        return
    used = [extension for extension in after if extension["in_use"]]
    if len(used) != 1:
        yield failed("xformers._C is not an extension in the workspace", AFTER)
    call = evidence.builds[-1]
    for extension in after:
        name = extension["path"]
        yield from _written_since(extension, left.get(name, {}))
        modified = extension["modified"]
        # setuptools copies what was linked into the workspace with its time, less the fraction of a second.
        grain = 1.0 if modified.endswith(".000000000") else CLOCK_GRAIN
        if not evidence.within(float(modified), (_last(call), window[1]), grain):
            yield failed(f"{name} was not linked after this compile's objects", AFTER)
    yield passed("linked after the last object and not touched since", AFTER)


def _written_since(extension: dict[str, Any], then: dict[str, Any]) -> Findings:
    """Say where an extension is not the one that the compile left; `then` is what was told of it right after."""
    if not then:
        yield failed(f"{extension['path']} was not made by the compile", "container/extensions.jsonl")
    elif any(then[figure] != extension[figure] for figure in ("size", "inode", "modified", "changed")):
        yield failed(f"{extension['path']} was written after the compile", AFTER)


def _last(call: NinjaCall) -> float:
    """Return when the call's last object was made, in uptime."""
    return (call.window or (0.0,))[0] + max(step.ended for step in call.steps)


def _threads(evidence: Evidence) -> tuple[str, str]:
    """Return the variable by which the run itself tells each nvcc how many threads to use."""
    return "NVCC_APPEND_FLAGS", f"--threads={evidence.run.get('nvcc_threads') or 0}"
