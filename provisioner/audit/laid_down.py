"""Checks of what was laid down: that it is what this version ships, made from the inputs that were recorded."""

from __future__ import annotations

import hashlib
import shlex
from typing import TYPE_CHECKING, Any

from provisioner.audit import dockerfile
from provisioner.audit.finding import Findings, failed, match, passed, skipped
from provisioner.audit.names import DEVCONTAINER, DOCKERFILE, INPUTS, SHORTCUT, SITE_CA
from provisioner.errors import ProvisionerError
from provisioner.shipped import load, role

if TYPE_CHECKING:
    from provisioner.evidence import Evidence

# What each run makes for itself, and what other checks look at.
OWN = {
    ".devcontainer/devcontainer.json",
    ".devcontainer/Dockerfile.scenario-a",
    ".devcontainer/site-ca.crt",
    "benchmarking/inputs.json",
    "benchmarking/scenario_a.env",
}
# What the run had, which the environment of somebody who started it by hand may have changed.
SETTINGS = ("base_image", "username", "xformers_url", "arch_list", "max_jobs", "nvcc_threads")
CHOSEN_BY_THE_HOST = {"arch_list", "max_jobs"}
# Without these there was no Scenario A.
REQUIRED = {".devcontainer/post-create-scenario-a.sh", ".devcontainer/bin/ninja", "attention_test.py"}


def files_are_as_shipped(evidence: Evidence) -> Findings:
    """The scripts that ran, the post-create script and the test among them, are those that provisioner ships."""
    folder = evidence.folder / "files"
    laid_down = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    if not laid_down or not evidence.ended("lay_down"):
        yield skipped("nothing was laid down", "files")
    versions = load()
    different = ""
    for version, sums in versions.items():
        wrong = sorted(REQUIRED - laid_down.keys())
        for name, path in sorted(laid_down.items()):
            if name not in OWN and hashlib.sha256(path.read_bytes()).hexdigest() != sums.get(name):
                wrong.append(name)
        if not wrong:
            yield passed(f"{len(laid_down.keys() - OWN)} files as version {version} ships them", "files")
        different = different or wrong[0]
    yield failed(f"{different} is not as any version known here ships it", f"files/{different}")


def inputs_are_as_recorded(evidence: Evidence) -> Findings:
    """The inputs have the hash by which runs are compared; the settings and the Dockerfile are what they make them."""
    inputs = evidence.json(INPUTS)
    text = evidence.text(DOCKERFILE)
    if not isinstance(inputs, dict) or (not text and evidence.runtime == DEVCONTAINER):
        yield skipped("the run was not told its inputs", INPUTS)
    if hashlib.sha256(evidence.text(INPUTS).rstrip("\n").encode()).hexdigest() != evidence.run.get("input_hash"):
        yield failed("their hash is not the one that was recorded", INPUTS)
    for name in SETTINGS:
        told, had = str(inputs.get(name, "")), str(evidence.run.get(name, ""))
        if had != told and (told or name not in CHOSEN_BY_THE_HOST):
            yield failed(f"{name} was {had}, and the inputs say {told or 'nothing'}", "run.json")
    if evidence.runtime != DEVCONTAINER:
        yield passed("their hash is right, and the settings follow from them", INPUTS)
    try:
        wanted = _rendered(inputs, site_ca=bool(evidence.text(SITE_CA)) or "site-ca.crt" in text)
    except ProvisionerError as error:
        yield skipped(str(error), DOCKERFILE)
    for number, (is_there, should_be) in enumerate(zip(text.splitlines(), wanted.splitlines(), strict=False), 1):
        if is_there != should_be:
            yield failed(f"says {is_there!r:.60}, the inputs make it {should_be!r:.60}", f"{DOCKERFILE}:{number}")
    if text != wanted:
        yield failed("is longer or shorter than its inputs make it", DOCKERFILE)
    yield passed("their hash is right, and the Dockerfile follows from them", INPUTS)


def dockerfile_takes_nothing_ready(evidence: Evidence) -> Findings:
    """The Dockerfile has one stage, from the base; nothing taken ready (see below), nothing of xformers."""
    instructions = dockerfile.parse(evidence.text(DOCKERFILE))
    if not instructions:
        yield skipped("the Dockerfile was not laid down", DOCKERFILE)
    base = evidence.run.get("base_image")
    stages = [instruction for instruction in instructions if instruction.name == "FROM"]
    for stage in stages:
        if stage.arguments != base or len(stages) > 1:
            yield failed(f"has FROM {stage.arguments}, and the base is {base}", f"{DOCKERFILE}:{stage.line}")
    if SHORTCUT.search(str(base)) or not stages:
        yield failed(f"the base is {base}", DOCKERFILE)
    for instruction in instructions:
        whole = f"{instruction.name} {instruction.arguments}"
        for pattern, what in (
            (r"--from\b|--mount=\S*\b(?:from|source|type=cache)", "takes from another image or a cache"),
            (r"^(?:ADD|ONBUILD)\b|^COPY (?!site-ca\.crt )", "brings a file"),
            (r"\bpip3?\s+(?:download|wheel)\b|--find-links|(?:^|\s)-f\s|\.whl\b|--no-index", "prefetches wheels"),
            (r"\bpip3?\s+install\b(?!\s+--no-cache-dir)", "lets pip use its cache"),
            (r"(?i)xformers", "has xformers"),
        ):
            found = match(whole, pattern)
            if found:
                yield failed(f"{what}: {instruction.name} … {found[1]}", f"{DOCKERFILE}:{instruction.line}")
    yield passed("one stage from the base; nothing taken ready, nothing of xformers", DOCKERFILE)


def _rendered(inputs: dict[str, Any], *, site_ca: bool) -> str:
    """Give the Dockerfile as the role makes it. Raises ProvisionerError where the role is not beside the package."""
    import jinja2  # noqa: PLC0415 - takes a while, and only an audit needs it
    import yaml  # noqa: PLC0415

    source = (role() / "templates" / "Dockerfile.scenario-a.j2").read_text(encoding="utf-8")
    if hashlib.sha256(source.encode()).hexdigest() not in {
        sums.get("templates/Dockerfile.scenario-a.j2") for sums in load().values()
    }:
        raise ProvisionerError("the Dockerfile's template here is not the one that was shipped", "install it again")
    fixed = yaml.safe_load((role() / "vars" / "main.yml").read_text(encoding="utf-8"))
    # As Ansible's template module sets it; a Dockerfile is no HTML.
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, autoescape=False)  # noqa: S701
    environment.filters["quote"] = shlex.quote
    return environment.from_string(source).render(
        scenario_a_base_image=inputs["base_image"],
        scenario_a_system_packages=inputs["system_packages"],
        scenario_a_python_packages=inputs["python_packages"],
        scenario_a_ca_bundle="here" if site_ca else "",
        scenario_a_container_ca=fixed["scenario_a_container_ca"],
        scenario_a_ca_variables=fixed["scenario_a_ca_variables"],
    )
