"""Checks of the tools: that what compiled and what installed belongs to a package or a wheel and is as that has it."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

from provisioner.audit import dockerfile
from provisioner.audit.base import FOLDER, TOOLKIT_FOLDER, vouched_toolkits, wheels_folder
from provisioner.audit.finding import Findings, failed, passed, skipped, unwritten
from provisioner.audit.names import DEVCONTAINER, DOCKERFILE, LOG, PIP_LOG

if TYPE_CHECKING:
    from provisioner.runs.evidence import Evidence

__all__ = [
    "compilers_are_of_packages",
    "nothing_was_put_before_python",
    "pip_takes_from_its_index",
    "the_compile_saw_the_images_variables",
    "tools_are_of_packages",
]

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
# Lines of `docker container diff`; the install of the workspace's clone leaves one such file.
BEFORE_PROGRAMS = re.compile(
    r"[AC] (?:.*/(?:[^/]+\.pth|(?:site|user)customize(?:\.py|/.*)?|pip\.conf|\.?pydistutils\.cfg|distutils\.cfg)|"
    r"/etc/ld\.so\.preload|/etc/profile\.d/.+|.*/\.pip/.*)"
)
# Where compilers, what they read, and torch and its setup lie; Python itself writes what it has read.
OF_TOOLS = re.compile(
    r"(?!.*/__pycache__/)(?:/(?:usr/)?(?:s?bin|lib\w*|include|libexec)/.*|/opt/.*|/usr/local/cuda.*|"
    r".*/(?:dist|site)-packages/(?:torch\w*|functorch|triton|nvidia|setuptools|pkg_resources|_distutils_hack|pip)/.*|"
    r".*/bin/(?:cc|c\+\+|cpp|gcc|g\+\+|clang|clang\+\+|nvcc|cicc|ptxas|as|ld|ninja|git|cmake|python[\d.]*)|"
    r"/(?:home/[^/]+|root)/\.(?:bashrc|profile|bash_profile|bash_login|bash_env|zshenv|pam_environment))"
)
READY = re.compile(r"(?!.*/(?:dist|site)-packages/).*\.(?:o|obj|a|cubin|fatbin|ptx|whl)")
EDITABLE = re.compile(r"A .*/(?:dist|site)-packages/__editable__\.xformers-[^/]+\.pth")
# pip gives itself a folder to note what it builds.
LOOKS_ELSEWHERE = re.compile(r"PIP_(?!BUILD_TRACKER$).*|PYTHON.*|LD_.*|LIBRARY_PATH|BASH_ENV|ENV")
ON_PATH = re.compile(
    rf"{FOLDER}|/usr/local/nvidia/bin|{TOOLKIT_FOLDER}/bin|/workspaces/[^/]+/\.devcontainer/bin|"
    r"(?:/home/[^/]+|/root)/(?:\.local/)?bin|/usr/(?:local/)?games"
)
NOT_ASKED = re.compile(r"^\S+ evidence: .*\bnvcc\b.* gave nothing: ")
SETTING = re.compile(r"[^.]+\.(?:[\w-]*\.)?([\w-]+)='(.*)'")


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


def nothing_was_put_before_python(evidence: Evidence) -> Findings:
    """In the container nothing was written that runs when a program starts, or that tells pip where to look."""
    text = evidence.text(DIFF)
    if not text:
        yield skipped("there was no container", DIFF)
        return
    for number, line in enumerate(text.splitlines(), 1):
        if BEFORE_PROGRAMS.fullmatch(line) and not EDITABLE.fullmatch(line):
            yield failed(f"{line[2:]} was written", f"{DIFF}:{number}")
    written = [line[2:] for line in text.splitlines()]
    folders = {path.rpartition("/")[0] for path in written}
    for number, path in enumerate(written, 1):
        if path not in folders and (OF_TOOLS.fullmatch(path) or READY.fullmatch(path)):
            yield failed(f"{path} was written", f"{DIFF}:{number}")
    yield passed("nothing", DIFF)


def the_compile_saw_the_images_variables(evidence: Evidence) -> Findings:
    """Variables by which Python, pip or the linker look elsewhere are the container's; PATH has its folders."""
    has = dict(entry.partition("=")[::2] for entry in _container(evidence).get("Env") or ())
    if not evidence.builds or not has:
        yield skipped("nothing was compiled", "container/ninja")
        return
    for call in evidence.builds:
        for name, value in call.environment:
            if name == "PATH":
                for folder in value.split(":"):
                    if not ON_PATH.fullmatch(folder):
                        yield failed(f"{folder} is on PATH", f"{call.folder}/environment")
            elif _less_login(has.get(name, "")) != _less_login(value) and (
                name in has or LOOKS_ELSEWHERE.fullmatch(name)
            ):
                yield failed(f"{name} is {value:.60}", f"{call.folder}/environment")
    yield passed("as the container has them", f"{evidence.builds[0].folder}/environment")


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
    with_cuda = any("nvcc" in evidence.text(f"{call.folder}/build.ninja") for call in evidence.builds)
    for name in (*COMPILERS, *INSTALLERS, *(CUDA[:5] if with_cuda else ())):
        if name not in tools and evidence.runtime == DEVCONTAINER:
            yield failed(f"there is no {name}", TOOLS)
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
    written = {line[2:] for line in evidence.text(DIFF).splitlines()}
    for tool in tools.values():
        if {tool["path"], tool["real"]} & written:
            yield failed(f"{tool['real']} was written in the container", DIFF)
    for compiler in (evidence.json(ENVIRONMENT) or {}).get("compilers") or ():
        if tools.get(compiler["name"], compiler)["real"] != compiler["real"]:
            yield failed(f"{compiler['name']} is {compiler['real']} and {tools[compiler['name']]['real']}", TOOLS)
    yield passed(f"{len(tools)} tools as their packages and wheels have them", TOOLS)


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


def pip_takes_from_its_index(evidence: Evidence) -> Findings:
    """pip is told of no place to take from but its index, and took nothing from one: no link, no ready wheel."""
    if not evidence.log:
        yield skipped("there is no log", LOG)
        return
    native = evidence.runtime != DEVCONTAINER
    authorities = _authorities(evidence)
    for line in (evidence.json(ENVIRONMENT) or {}).get("pip_config") or ():
        setting = SETTING.fullmatch(str(line))
        told = setting and (setting[1] in REACHING if native else setting[1] == "cert" and setting[2] in authorities)
        if not told:
            yield failed(f"pip is told {line:.80}", ENVIRONMENT)
    folder = wheels_folder(evidence) or None
    inputs = evidence.json("files/benchmarking/inputs.json") or {}
    words = (str(word) for call in inputs.get("python_packages") or () for word in call)
    indexes = {_less_login(re.sub(r"^--[\w-]+=", "", word)) for word in words}
    for name, lines in ((LOG, evidence.log), (PIP_LOG, evidence.text(PIP_LOG).splitlines())):
        for number, line in enumerate(lines, 1):
            yield from _taken(line, folder, None if native else indexes, f"{name}:{number}")
    yield from _there_already(evidence)
    yield passed("nothing but its index", LOG)


def _taken(line: str, folder: str | None, indexes: set[str] | None, where: str) -> Findings:
    """Say what of a line of pip's output is of a place that it should not take from."""
    if not any(word in line for word in ("Looking in ", "Processing ", "file:")):
        return
    links = re.search(r"\bLooking in links: (.+)", line)
    if links and any(link.strip().rstrip("/") != folder for link in links[1].split(",")):
        yield failed(f"pip looked in links: {links[1]:.60}", where)
    told = re.search(r"\bLooking in indexes: (.+)", line)
    for index in told[1].split(", ") if told and indexes is not None else ():
        if _less_login(index.strip()) not in (indexes or ()) and not _is_pypi(index):
            yield failed(f"pip looked in the index {index:.60}, which the inputs do not have", where)
    if indexes is not None and re.search(r"\b(?:Downloading|Collecting .*@) file:", line):
        yield failed(f"pip took a file: {line[-60:]}", where)
    taken = re.search(r"\bProcessing (\S+\.(?:whl|tar\.gz|zip))", line)
    if taken and (folder is None or not f"{taken[1]}".startswith(f"{folder}/")):
        yield failed(f"pip took {taken[1]:.60}, which lay there", where)


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


def _container(evidence: Evidence) -> dict[str, Any]:
    return evidence.inspected("container_inspect.json").get("Config") or {}


def _authorities(evidence: Evidence) -> set[str]:
    """Return the files of authorities that pip is told of by the Dockerfile, or by the base."""
    steps = dockerfile.parse(evidence.text(DOCKERFILE))
    told = (entry for step in steps if step.name == "ENV" for entry in shlex.split(step.arguments))
    entries = (*told, *(_container(evidence).get("Env") or ()))
    return {value for name, _, value in (entry.partition("=") for entry in entries) if name == "PIP_CERT"}


def _less_login(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url).rstrip("/")


def _is_pypi(url: str) -> bool:
    return _less_login(url) == "https://pypi.org/simple"
