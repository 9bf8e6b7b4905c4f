"""Checks of what was laid down: that it is what this version ships, made from the inputs that were recorded."""

from __future__ import annotations

import hashlib
import shlex
from typing import TYPE_CHECKING, Any

from provisioner.audit import dockerfile
from provisioner.audit.finding import Findings, failed, match, passed, skipped
from provisioner.audit.names import CONFIGURATION, DEVCONTAINER, DOCKERFILE, INPUTS, SETTINGS, SHORTCUT, SITE_CA
from provisioner.audit.shipped import TEMPLATE, load

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from provisioner.audit.shipped import ShippedSet
    from provisioner.runs.evidence import Evidence

# What each run makes for itself, and what other checks look at.
OWN = (CONFIGURATION, DOCKERFILE, SITE_CA, INPUTS, SETTINGS)
PREFIXES = ("scenario_", "scenario_a_")
"""How the role's variables begin, and began when the templates of earlier sets were written."""
# What the run had, which the environment of somebody who started it by hand may have changed.
SET = ("base_image", "username", "xformers_url", "xformers_ref", "arch_list", "max_jobs", "nvcc_threads")
CHOSEN_BY_THE_HOST = {"arch_list", "max_jobs"}


def made_of(evidence: Evidence, sets: Iterable[ShippedSet]) -> ShippedSet | None:
    """Return the set whose files are just those that were laid down, the newest such; None where no set is.

    Where sets have the same files and another template, it is the one that makes the Dockerfile that was laid down.
    """
    laid_down = _laid_down(evidence)
    same = [one for one in sets if not _differing(laid_down, one.files)]
    right = [one for one in same if len(same) > 1 and evidence.text(DOCKERFILE) == _dockerfile(evidence, one)]
    return next(iter(right or same), None)


def own(evidence: Evidence) -> set[str]:
    """Return the files in the workspace that a run makes for itself."""
    return {evidence.called(name).removeprefix("files/") for name in OWN}


def files_are_as_shipped(evidence: Evidence) -> Findings:
    """The scripts that ran, the post-create script and the test among them, are those that provisioner ships."""
    laid_down = _laid_down(evidence)
    if not laid_down or not evidence.ended("lay_down"):
        yield skipped("nothing was laid down", "files")
        return
    # What matters is how it differs from the set that it is closest to; from its own it does not.
    nearest = min((_differing(laid_down, one.files) for one in load()), key=len)
    for name in nearest:
        yield failed(f"{name} is not as any version known here ships it", f"files/{name}")
    yield passed(f"{len(laid_down)} files as they were shipped together", "files")


def _laid_down(evidence: Evidence) -> dict[str, str]:
    """Return the sums of the files that the run did not make for itself, by path."""
    paths = {path.removeprefix("files/"): path for path in evidence.entries if path.startswith("files/")}
    made = own(evidence)
    return {
        name: hashlib.sha256(evidence.content(path)).hexdigest()
        for name, path in sorted(paths.items())
        if name not in made and evidence.entries[path]
    }


def _differing(laid_down: Mapping[str, str], shipped: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {*laid_down, *shipped} - {TEMPLATE} if laid_down.get(name) != shipped.get(name))


def inputs_are_as_recorded(evidence: Evidence) -> Findings:
    """The inputs have the hash by which runs are compared; the settings and the Dockerfile are what they make them."""
    inputs = evidence.json(INPUTS)
    text = evidence.text(DOCKERFILE)
    if not isinstance(inputs, dict) or (not text and evidence.runtime == DEVCONTAINER):
        yield skipped("the run was not told its inputs", INPUTS)
        return
    if hashlib.sha256(evidence.text(INPUTS).rstrip("\n").encode()).hexdigest() != evidence.run.get("input_hash"):
        yield failed("their hash is not the one that was recorded", INPUTS)
    yield from _set_otherwise(evidence, inputs)
    if evidence.runtime != DEVCONTAINER:
        yield passed("their hash is right, and the settings follow from them", INPUTS)
        return
    # Where the files are of no set, that is told by another check; the newest template is as good as any.
    wanted = _dockerfile(evidence, made_of(evidence, load()) or load()[0])
    if text != wanted:
        yield from _made_otherwise(text, wanted)
    yield passed("their hash is right, and the Dockerfile follows from them", INPUTS)


def _set_otherwise(evidence: Evidence, inputs: Mapping[str, Any]) -> Findings:
    """Say which setting the run had that its inputs do not make."""
    for name in SET:
        if name == "base_image" and evidence.runtime != DEVCONTAINER:
            continue  # a site's settings for both
        told, had = str(inputs.get(name, "")), str(evidence.run.get(name, ""))
        if had != told and (told or name not in CHOSEN_BY_THE_HOST):
            yield failed(f"{name} was {had}, and the inputs say {told or 'nothing'}", "run.json")


def _made_otherwise(text: str, wanted: str) -> Findings:
    """Say where a Dockerfile is not the wanted one."""
    lines = zip(text.splitlines(), wanted.splitlines(), strict=False)
    for number, (is_there, should_be) in enumerate(lines, 1):
        if is_there != should_be:
            where = f"{DOCKERFILE}:{number}"
            yield failed(f"says {is_there!r:.60}, the inputs make it {should_be!r:.60}", where)
    if len(text.splitlines()) != len(wanted.splitlines()):
        yield failed("is longer or shorter than its inputs make it", DOCKERFILE)
    yield failed("is not what its inputs make it", DOCKERFILE)


def dockerfile_takes_nothing_ready(evidence: Evidence) -> Findings:
    """The Dockerfile has one stage, from the base; nothing taken ready (see below), nothing of xformers."""
    instructions = dockerfile.parse(evidence.text(DOCKERFILE))
    if not instructions:
        yield skipped("the Dockerfile was not laid down", DOCKERFILE)
        return
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
            (r"--from\b|(?<!\S)--mount=\S*\b(?:from|source|type=cache)", "takes from another image or a cache"),
            (r"^(?:ADD|ONBUILD)\b|^COPY (?!site-ca\.crt )", "brings a file"),
            (r"\bpip3?\s+(?:download|wheel)\b|--find-links|(?:^|\s)-f\s|\.whl\b|--no-index", "prefetches wheels"),
            (r"\bpip3?\s+install\b(?!\s+--no-cache-dir)", "lets pip use its cache"),
            (r"(?i)xformers", "has xformers"),
        ):
            found = match(whole, pattern)
            if found:
                yield failed(f"{what}: {instruction.name} … {found[1]}", f"{DOCKERFILE}:{instruction.line}")
    yield passed("one stage from the base; nothing taken ready, nothing of xformers", DOCKERFILE)


def _dockerfile(evidence: Evidence, shipped: ShippedSet) -> str:
    """Return the Dockerfile as the role of that set makes it of the run's inputs; empty where those are of no shape."""
    import jinja2  # noqa: PLC0415 - takes a while, and only an audit needs it

    inputs = evidence.json(INPUTS)
    if not isinstance(inputs, dict) or not {"base_image", "system_packages", "python_packages"} <= inputs.keys():
        return ""
    site_ca = bool(evidence.text(SITE_CA)) or "site-ca.crt" in evidence.text(DOCKERFILE)
    # As Ansible's template module sets it; a Dockerfile is no HTML.
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, autoescape=False)  # noqa: S701
    environment.filters["quote"] = shlex.quote
    given = {name: inputs[name] for name in ("base_image", "system_packages", "python_packages")}
    given["ca_bundle"] = "here" if site_ca else ""
    variables = {f"{prefix}{name}": value for prefix in PREFIXES for name, value in given.items()}
    return environment.from_string(shipped.template).render(**variables, **shipped.variables)
