"""Checks of the tools: that what compiled and what installed belongs to a package or a wheel and is as that has it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from provisioner.audit.checks.base import vouched_toolkits
from provisioner.audit.finding import Findings, failed, passed, skipped, unwritten
from provisioner.audit.names import DEVCONTAINER, PIP_LOG

if TYPE_CHECKING:
    from provisioner.runs.evidence import Evidence

__all__ = ["compilers_are_of_packages", "tools_are_of_packages"]

ENVIRONMENT = "environment.json"
TOOLS = "toolchain.json"
DIFF = "container_diff.txt"
BASE_CUDA = "base_image_cuda.txt"
# Those that an image's compile cannot do without; nvcc is looked at where it is.
COMPILERS = ("cc", "c++", "gcc", "g++", "cc1", "cc1plus", "as", "ld")
CUDA = ("nvcc", "cicc", "ptxas", "cudafe++", "fatbinary", "nvlink", "cuobjdump")
INSTALLERS = ("ninja", "python", "pip")
# None of these is a script, in any distribution; nvcc, ninja and pip may be.
PROGRAMS = frozenset((*COMPILERS, *CUDA[1:], "python"))
# A distribution's packages put nothing elsewhere; those of NVIDIA have a folder for the toolkit.
OF_PACKAGES = re.compile(r"/(?:usr/(?!local/)|etc/|bin/|lib\w*/|usr/local/cuda[^/]*/).*")
OF_WHEELS = re.compile(r"/(?:usr|home|root)/(?:.*/(?:dist|site)-packages|local/bin|.*\.local/bin)/.*")
NOT_ASKED = re.compile(r"^\S+ evidence: .*\bnvcc\b.* gave nothing: ")


def compilers_are_of_packages(evidence: Evidence) -> Findings:
    """Every compiler of the image is a program of one of the distribution's packages; a script is so at least."""
    compilers = (evidence.json(ENVIRONMENT) or {}).get("compilers") or []
    if not compilers or not evidence.builds:
        yield skipped("nothing was compiled", ENVIRONMENT)
        return
    by_name = {compiler["name"]: compiler for compiler in compilers}
    for name in COMPILERS:
        if name not in by_name:
            yield failed(f"there is no {name}", ENVIRONMENT)
    for compiler in compilers:
        if not compiler["package"] and (compiler["name"] != "nvcc" or not compiler["binary"]):
            yield failed(f"{compiler['real']} is of no package", ENVIRONMENT)
    yield from _said_otherwise(evidence)
    yield passed(f"{len(compilers)} compilers", ENVIRONMENT)


def _said_otherwise(evidence: Evidence) -> Findings:
    """Say where the base's nvcc called itself another one than that of the compile."""
    before = re.findall(r"^Cuda compilation tools, .*$", evidence.text(BASE_CUDA), re.MULTILINE)
    now = ((evidence.json(ENVIRONMENT) or {}).get("versions") or {}).get("nvcc")
    seen = any(path.endswith("/nvcc") for path in evidence.mapping("base_files.json").get("tools") or {})
    # Where the engine did not come to ask the base, the log says so.
    if seen and not before and not any(NOT_ASKED.match(line) for line in evidence.log):
        yield failed("the base's nvcc said nothing, and it has one", BASE_CUDA)
    if before and before[0] != now:
        yield failed(f"nvcc was {before[0]!r:.70} in the base, and is {now!r:.70}", BASE_CUDA)


def tools_are_of_packages(evidence: Evidence) -> Findings:
    """Compilers and what they call, ninja, Python and pip are as their package or their wheel has them."""
    found = evidence.mapping(TOOLS)
    if not evidence.builds or not evidence.ended("compile"):
        yield skipped("nothing was compiled", TOOLS)
        return
    if not found:
        yield unwritten(evidence, "whose the tools are is not known", TOOLS)
        return
    tools = {tool["name"]: tool for tool in found["tools"]}
    if evidence.runtime == DEVCONTAINER:
        yield from _lacking(evidence, tools)
    if not found["starts"]:
        yield failed("nothing is told to run when Python starts, and the install of the clone does", TOOLS)
    yield from _told_otherwise(evidence, tools)
    for tool in tools.values():
        yield from _not_vouched_for(evidence, tool, f"{tool['name']}, {tool['real']},")
    for file in found["starts"]:
        # The environment of a native run has the site's Python behind it, by a file of the run's own.
        own = evidence.runtime != DEVCONTAINER and file["path"].endswith("/site-packages/site.pth")
        if not own:
            yield from _not_vouched_for(evidence, file, f"{file['path']}, which runs when Python starts,")
    yield from _put_in_place(evidence, tools)
    yield passed(f"{len(tools)} tools as their packages and wheels have them", TOOLS)


def _lacking(evidence: Evidence, tools: dict[str, dict[str, Any]]) -> Findings:
    """Say which tool is not told of that a compile calls."""
    with_cuda = any("nvcc" in evidence.text(f"{call.folder}/build.ninja") for call in evidence.builds)
    for name in (*COMPILERS, *INSTALLERS, *(CUDA[:5] if with_cuda else ())):
        if name not in tools:
            yield failed(f"there is no {name}", TOOLS)


def _put_in_place(evidence: Evidence, tools: dict[str, dict[str, Any]]) -> Findings:
    """Say which tool was written in the container, or is another file than the compiler of its name."""
    written = {line[2:] for line in evidence.text(DIFF).splitlines()}
    for tool in tools.values():
        if {tool["path"], tool["real"]} & written:
            yield failed(f"{tool['real']} was written in the container", DIFF)
    for compiler in (evidence.json(ENVIRONMENT) or {}).get("compilers") or ():
        if tools.get(compiler["name"], compiler)["real"] != compiler["real"]:
            yield failed(f"{compiler['name']} is {compiler['real']} and {tools[compiler['name']]['real']}", TOOLS)


def _told_otherwise(evidence: Evidence, tools: dict[str, dict[str, Any]]) -> Findings:
    """Say which tool is told of otherwise elsewhere: by another sum, as of another package, or as another pip."""
    sums: dict[str, str] = {}
    for tool in tools.values():
        if sums.setdefault(tool["real"], tool["sha256"]) != tool["sha256"]:
            yield failed(f"{tool['real']} has two sums", TOOLS)
    for compiler in evidence.mapping(ENVIRONMENT).get("compilers") or ():
        tool = tools.get(compiler["name"], compiler)
        for fact in ("path", "package", "altered", "binary"):
            if tool[fact] != compiler[fact]:
                yield failed(f"{fact} of {compiler['name']} is {compiler[fact]} and {tool[fact]}", TOOLS)
    if evidence.runtime != DEVCONTAINER:
        return
    for name in sorted(PROGRAMS & tools.keys()):
        if not tools[name]["binary"]:
            yield failed(f"{tools[name]['path']} is a script", TOOLS)
    seen = evidence.mapping("base_files.json").get("tools") or {}
    for name in filter(tools.__contains__, CUDA[:-1]):
        if seen and seen.get(tools[name]["real"]) != tools[name]["sha256"]:
            yield failed(f"{tools[name]['real']} is not what the host saw of it in the base", TOOLS)
    yield from _another_pip(evidence, tools)


def _another_pip(evidence: Evidence, tools: dict[str, dict[str, Any]]) -> Findings:
    """Say where the pip that was called is not the one that is vouched for."""
    version = (evidence.mapping(ENVIRONMENT).get("versions") or {}).get("pip")
    for one in evidence.json("packages.json") or ():
        if one["name"] == "pip" and version not in {None, one["version"]}:
            yield failed(f"pip is {version} and {one['version']}", ENVIRONMENT)
    called = re.search(r"^Using pip (\S+) from (\S+) ", evidence.text(PIP_LOG), re.MULTILINE)
    if called and (called[1] != version or not tools["pip"]["path"].startswith(f"{called[2]}/")):
        yield failed(f"pip {called[1]} of {called[2]:.60} was called", PIP_LOG)


def _not_vouched_for(evidence: Evidence, file: dict[str, Any], what: str) -> Findings:
    """Say of a file that it is altered, or of no package and no wheel. A native host's may be its site's own."""
    if file["altered"]:
        yield failed(f"{what} is not as {file['package'] or file['wheel']} has it", TOOLS)
    if evidence.runtime != DEVCONTAINER:
        return
    if file["package"] or file["wheel"]:
        if not (OF_PACKAGES if file["package"] else OF_WHEELS).fullmatch(file["real"]):
            yield failed(f"{what} is where {file['package'] or file['wheel']} puts nothing", TOOLS)
        return
    toolkits = vouched_toolkits(evidence)
    sums = evidence.mapping("base_files.json").get("tools") or {}
    of_base = any(file["real"].startswith(f"{folder}/") for folder in toolkits)
    if not of_base or sums.get(file["real"]) != file["sha256"]:
        yield failed(f"{what} is of no package and of no wheel", TOOLS)
