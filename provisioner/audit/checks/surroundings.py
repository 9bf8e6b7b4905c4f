"""Checks of what surrounds the tools in the container: files that run before them, variables by which they look."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from provisioner.audit.checks.base_settings import FOLDER, TOOLKIT_FOLDER
from provisioner.audit.finding import Findings, failed, passed, skipped

if TYPE_CHECKING:
    from provisioner.runs.evidence import Evidence

__all__ = ["config_of_container", "less_login", "nothing_was_put_before_python", "the_compile_saw_the_images_variables"]

DIFF = "container_diff.txt"
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
    has = dict(entry.partition("=")[::2] for entry in config_of_container(evidence).get("Env") or ())
    if not evidence.builds or not has:
        yield skipped("nothing was compiled", "container/ninja")
        return
    for call in evidence.builds:
        for name, value in call.environment:
            if name == "PATH":
                for folder in value.split(":"):
                    if not ON_PATH.fullmatch(folder):
                        yield failed(f"{folder} is on PATH", f"{call.folder}/environment")
            elif less_login(has.get(name, "")) != less_login(value) and (
                name in has or LOOKS_ELSEWHERE.fullmatch(name)
            ):
                yield failed(f"{name} is {value:.60}", f"{call.folder}/environment")
    yield passed("as the container has them", f"{evidence.builds[0].folder}/environment")


def config_of_container(evidence: Evidence) -> dict[str, Any]:
    """Return what the container sets; empty where there is none."""
    return evidence.inspected("container_inspect.json").get("Config") or {}


def less_login(url: str) -> str:
    """Return a URL without a login, and without a slash at its end."""
    return re.sub(r"//[^/@]*@", "//", url).rstrip("/")
