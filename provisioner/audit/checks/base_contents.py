"""The check that nothing of what is measured lay in the base image: the image's own build fetched and installed it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from provisioner.audit import dockerfile
from provisioner.audit.checks.base import FILES, unseen_base
from provisioner.audit.engine import size
from provisioner.audit.finding import Findings, failed, passed
from provisioner.audit.names import INPUTS, LOG

if TYPE_CHECKING:
    from provisioner.runs.evidence import Evidence

__all__ = ["nothing_was_ready_in_the_base"]

# What may be found in a base before anything was put on it, by its name in base_files.json, and what is wrong with it.
FOUND = {
    "ready": "{} was there",
    "altered": "{} is not as its package or wheel has it",
    "starts": "{} runs when Python starts, and is of no package",
    "pip_config": "{} tells pip where to look",
    "preloaded": "{} is loaded into every program",
}
# A site's own certificate authorities, put beside those that pip brings: whom pip believes is no tool.
AUTHORITIES = re.compile(r"/.*/certifi/cacert\.pem")
# What the distributions' own images have apt do.
CLEANS = re.compile(r"rm -f(?: /var/cache/apt/[\w./*]+)+(?: \|\| true)?")
# torch 2 without CUDA has more bytes than this, in its libraries alone.
LEAST_TORCH = 150e6
# What is measured, and what it stands on, as pip names it.
MEASURED = ("torch", "torchvision", "torchaudio", "triton", "xformers")


def nothing_was_ready_in_the_base(evidence: Evidence) -> Findings:
    """Before the Dockerfile's first step there was no torch, triton, xformers or object, and nothing that meddles."""
    files = evidence.mapping(FILES)
    if unseen := unseen_base(evidence, files):
        yield unseen
        return
    for key, what in FOUND.items():
        for path in files[key]:
            if not (key == "altered" and AUTHORITIES.fullmatch(path)):
                yield failed(what.format(path), FILES)
    for command in files["hooks"]:
        if not CLEANS.fullmatch(command.strip()):
            yield failed(f"apt runs {command:.60}", FILES)
    yield from _not_installed_by_the_dockerfile(evidence)
    yield passed(f"{files['packages']} packages, {files['files']} files, nothing of what is measured", FILES)


def _not_installed_by_the_dockerfile(evidence: Evidence) -> Findings:
    """Say which of the packages that are measured the image's build did not fetch and install by itself."""
    inputs = evidence.mapping(INPUTS)
    lines = list(evidence.log_of("image_build"))
    words = [str(word) for call in inputs.get("python_packages") or () for word in call]
    asked = {re.split(r"[^\w.-]", word)[0].lower() for word in words}
    installed = " ".join(line.partition("Successfully installed ")[2] for _, line in lines)
    packages = {str(package["name"]).lower(): package["version"] for package in evidence.json("packages.json") or ()}
    for name in filter(asked.__contains__, MEASURED):
        versions = re.findall(rf"(?:^| ){name}-(\d\S*)", installed)
        if not versions:
            yield failed(f"the build did not install {name}", LOG)
            continue
        version = versions[-1]
        if packages and version != packages.get(name):
            yield failed(f"the build installed {name} {version}, and {packages.get(name)} is there", "packages.json")
        named = re.search(rf"(?:^| ){name}==([^\s,;]+)", " ".join(words))
        if named and version.partition("+")[0] != named[1].partition("+")[0]:
            yield failed(f"the build installed {name} {version}, and the inputs ask for {named[1]}", LOG)
    if "torch" in asked:
        yield from _too_small_for_torch(evidence)


def _too_small_for_torch(evidence: Evidence) -> Findings:
    """Say that the layer of the image in which torch was installed is smaller than torch is."""
    for number, row in enumerate(evidence.json_lines("image_history.jsonl"), 1):
        step = dockerfile.built(row["CreatedBy"])
        put = size(row["Size"])
        of_torch = step.name == "RUN" and re.search(r"pip install.* torch\b", step.arguments)
        if of_torch and put is not None and put < LEAST_TORCH:
            yield failed(f"torch was put into {row['Size']}", f"image_history.jsonl:{number}")
