"""Checks that all of the evidence is of one run, in the runtime of its inputs, on one host that was not booted anew."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from provisioner.audit.checks.compile import INSTALLED
from provisioner.audit.checks.completeness import OF_CONTAINERS, OF_NATIVE
from provisioner.audit.finding import Findings, failed, passed, skipped
from provisioner.audit.names import CONFIGURATION, DEVCONTAINER, EVENTS, INPUTS, LOG, NATIVE, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provisioner.runs.evidence import Evidence

__all__ = ["it_is_one_run_on_one_host", "runtime_is_that_of_the_inputs"]

BEFORE, AFTER = "container/environment_before.json", "environment.json"
CONTAINER = "container_inspect.json"
NEAR = 9
"""Lines from the log's beginning, or its end."""
VERSION = re.compile(r"\bxformers-(\S+)")
OF_INPUTS = {
    "XFORMERS_USERNAME": "username",
    "XFORMERS_FORK_URL": "xformers_url",
    "XFORMERS_REF": "xformers_ref",
    "TORCH_CUDA_ARCH_LIST": "arch_list",
    "MAX_JOBS": "max_jobs",
    "SCENARIO_NVCC_THREADS": "nvcc_threads",
}
USER = "vscode"
"""Who the devcontainer's user is, where its configuration names none."""
BEGAN = re.compile(r"^\S+ Scenario [A-Z]: run (\S+) in (/.*)$")
DONE = re.compile(r"^\S+ Scenario [A-Z] is done: run (\S+)$")


def runtime_is_that_of_the_inputs(evidence: Evidence) -> Findings:
    """The run happened in what its inputs name, and nothing in it is of another runtime."""
    inputs = evidence.json(INPUTS)
    if not isinstance(inputs, dict):
        yield skipped("the run was not told its inputs", INPUTS)
        return
    runtime = evidence.runtime
    told = inputs.get("runtime") or DEVCONTAINER
    if runtime != told:
        yield failed(f"it ran in {runtime}, and the inputs say {told}", "run.json")
    foreign = {NATIVE: OF_CONTAINERS, DEVCONTAINER: OF_NATIVE}.get(runtime)
    if foreign is None:
        yield failed(f"there is no runtime {runtime}", "run.json")
    for name in sorted((foreign or frozenset()) & evidence.entries.keys()):
        yield failed(f"{name} is of no run in {runtime}", name)
    without_image = any((event["event"], event["phase"]) == ("skip", "image_build") for event in evidence.events)
    if without_image != (runtime == NATIVE) and evidence.ended("container_up"):
        yield failed(f"its image was {'skipped' if without_image else 'built'}, in {runtime}", EVENTS)
    yield passed(runtime, INPUTS)


class Told(NamedTuple):
    """What names the run or its host: what it is, what it says, what it must say, and where."""

    what: str
    value: Any
    wanted: Any
    where: str


def it_is_one_run_on_one_host(evidence: Evidence) -> Findings:
    """Log, mounts, labels, containers and what was seen inside name the run, its host and its boot as run.json does."""
    if evidence.outcome != "ok":
        yield skipped("the run did not get to its end", EVENTS)
        return
    # Evidence that the host could not give names nothing; that it is not there is told by another check.
    for tell in (_of_log, _of_container, _of_engine, _of_inside, _of_result, _of_packages, _of_settings):
        for what, value, wanted, where in tell(evidence):
            if value != wanted:
                yield failed(f"{what} is {value}, not {wanted}", where)
    yield passed(f"run {evidence.run['run_id']}, boot {evidence.run.get('boot_id')}", "run.json")


def _of_log(evidence: Evidence) -> Iterator[Told]:
    """Yield how the log names the run at its beginning and at its end."""
    run = evidence.run
    # A warning may come before, and what something that was left had to say after.
    began = next(filter(None, map(BEGAN.match, evidence.log[:NEAR])), None)
    done = next(filter(None, map(DONE.match, evidence.log[-NEAR:])), None)
    yield Told("the run that the log begins with", began and began[1], run["run_id"], f"{LOG}:1")
    yield Told("the folder that the log begins with", began and began[2], _root(evidence), f"{LOG}:1")
    yield Told("the run that the log ends with", done and done[1], run["run_id"], f"{LOG}:{len(evidence.log)}")


def _of_container(evidence: Evidence) -> Iterator[Told]:
    """Yield how the container and the Dev Container CLI name the run."""
    container = evidence.inspected(CONTAINER)
    if not container:
        return
    labels = container["Config"].get("Labels") or {}
    mounts = {mount.get("Destination"): mount.get("Source") for mount in container.get("Mounts") or []}
    own = f"{_root(evidence)}/runs/{evidence.run['run_id']}/container"
    yield Told("the container's folder for evidence", mounts.get("/scenario-evidence"), own, CONTAINER)
    folder = labels.get("devcontainer.local_folder")
    yield Told("the container's label", folder, evidence.run.get("workspace"), CONTAINER)
    for name in ("build.json", "up.json"):
        said = _said(evidence, name).get("outcome")
        yield Told("what the Dev Container CLI says at its end", said, "success", name)
    up = _said(evidence, "up.json")
    yield Told("the container that came up", up.get("containerId"), container["Id"], "up.json")
    user = evidence.mapping(CONFIGURATION).get("remoteUser") or USER
    yield Told("the user inside", up.get("remoteUser"), user, "up.json")
    image = next(iter(_said(evidence, "build.json").get("imageName") or []), None)
    named = str(container["Config"].get("Image")).removesuffix("-uid")
    yield Told("the image that was built", image, named, "build.json")


def _of_engine(evidence: Evidence) -> Iterator[Told]:
    """Yield how the engine names the host."""
    machine, engine = evidence.mapping("machine.json"), evidence.mapping("docker_version.json").get("Server") or {}
    if machine and engine:
        yield Told("the engine", engine.get("Version"), machine.get("docker"), "docker_version.json")
        yield Told("the engine's kernel", engine.get("KernelVersion"), machine.get("kernel"), "docker_version.json")


def _of_inside(evidence: Evidence) -> Iterator[Told]:
    """Yield how the host was named inside, before the clone and at the end."""
    run, container, machine = evidence.run, evidence.inspected(CONTAINER), evidence.mapping("machine.json")
    host = None if evidence.runtime == DEVCONTAINER else run.get("host")
    if container:
        host = container["Config"]["Hostname"]
    for name in (BEFORE, AFTER):
        inside = evidence.mapping(name)
        if not inside:
            continue
        yield Told("the host inside", inside.get("host"), host or inside.get("host"), name)
        yield Told("the boot inside", inside.get("boot_id"), run.get("boot_id") or "told", name)
        if machine:
            yield Told("the kernel inside", inside.get("kernel"), machine.get("kernel"), name)


def _of_result(evidence: Evidence) -> Iterator[Told]:
    """Yield how the run ended."""
    result = evidence.mapping("result.json")
    yield Told("the exit code", result.get("exit_code"), 0, "result.json")
    yield Told("what stopped it", result.get("phase") or result.get("cause"), None, "result.json")


def _of_packages(evidence: Evidence) -> Iterator[Told]:
    """Yield what was installed: as pip lists it, as Python finds it, as pip said when it installed it."""
    after = evidence.mapping(AFTER)
    versions = after.get("versions") or {}
    listed = {package["name"].lower(): package["version"] for package in evidence.json("packages.json") or []}
    if not versions or not listed:
        return
    for package in ("torch", "triton"):
        yield Told(f"the version of {package}", versions.get(package), listed.get(package), AFTER)
    for distribution in after.get("installed") or []:
        yield Told("the version of xformers", distribution.get("version"), listed.get("xformers"), AFTER)
    said = [found[1] for line in evidence.log if INSTALLED.search(line) and (found := VERSION.search(line))]
    for version in said:
        yield Told("the version of xformers that pip installed", version, listed.get("xformers"), LOG)


def _of_settings(evidence: Evidence) -> Iterator[Told]:
    """Yield the settings, which the role makes of the inputs; who starts the script by hand may have none."""
    run, settings, where = evidence.run, evidence.settings, SETTINGS
    if not settings:
        yield Told("the hash of the inputs", run.get("input_hash") or None, None, where)
        return
    for name, what in (("INPUT_HASH", "input_hash"), ("RUNTIME", "runtime"), ("PROFILE", "profile")):
        told = settings.get(f"SCENARIO_{name}")
        yield Told(f"{what} of the settings", told or None, run.get(what) or None, where)
    inputs = evidence.mapping(INPUTS)
    for name, what in OF_INPUTS.items() if inputs else ():
        yield Told(f"{name} of the settings", settings.get(name) or "", str(inputs.get(what) or ""), where)
    mounts = sorted(f"{mount['source']}:{mount['target']}:ro" for mount in inputs.get("mounts") or [])
    if inputs:
        had = sorted(settings.get("SCENARIO_MOUNTS", "").split())
        yield Told("mounts of the settings", had, mounts, where)
        cold = bool(settings.get("SCENARIO_COLD_BASE"))
        yield Told("whether the base is removed first", cold, bool(inputs.get("cold_base")), where)


def _said(evidence: Evidence, name: str) -> dict[str, Any]:
    """Return what the Dev Container CLI said at the end of a call."""
    lines = evidence.json_lines(name)
    return lines[-1] if lines and isinstance(lines[-1], dict) else {}


def _root(evidence: Evidence) -> str:
    """Return the folder that the run's workspace lies in, on the host."""
    return str(PurePosixPath(str(evidence.run.get("workspace"))).parent)
