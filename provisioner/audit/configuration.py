"""Checks of the devcontainer's configuration: as it was laid down, as the CLI read it, and as the container got it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from provisioner.audit.finding import Findings, failed, match, passed, skipped
from provisioner.audit.names import BUILDERS, CONFIGURATION, DOCKERFILE, MERGED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provisioner.evidence import Evidence

# What a configuration may have, because none of it brings software or runs a command. All else is refused, so that
# what a later specification adds is not let in unseen. https://containers.dev/implementors/json_reference/
HARMLESS = frozenset(
    """
    $schema name build runArgs mounts containerEnv remoteUser containerUser updateRemoteUserUID customizations
    postCreateCommand forwardPorts portsAttributes otherPortsAttributes hostRequirements shutdownAction
    overrideCommand init privileged capAdd securityOpt userEnvProbe waitFor
    """.split()  # noqa: SIM905
)
BUILD = {"dockerfile", "args"}
POST_CREATE_COMMAND = ".devcontainer/post-create-scenario-a.sh"
# Options of `docker run` that limit or name a container, or give it devices; none mounts or sets anything.
RUN_OPTIONS = re.compile(
    r"--(gpus|shm-size|ipc|ulimit|cap-add|cap-drop|security-opt|network|net|hostname|name|memory|cpus|device|init|"
    r"privileged|pids-limit|runtime|memory-swap|add-host|dns|label)(=|$)"
)
PROXIES = frozenset("http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY".split())  # noqa: SIM905
# What Scenario A sets itself, and what changes nothing but how things are written down.
VARIABLES = PROXIES | frozenset(
    """
    SCENARIO_A_EVIDENCE TORCH_CUDA_ARCH_LIST MAX_JOBS NVCC_APPEND_FLAGS XFORMERS_USERNAME XFORMERS_FORK_URL
    XFORMERS_REF     TZ LANG LANGUAGE LC_ALL TERM DEBIAN_FRONTEND FORCE_CUDA
    """.split()  # noqa: SIM905
)


def configuration_has_no_shortcut(evidence: Evidence) -> Findings:
    """No `image`, no `cacheFrom`, and nothing else in force that brings software or runs a command of its own."""
    laid_down = evidence.json(CONFIGURATION)
    if not laid_down:
        yield skipped("the configuration was not laid down", CONFIGURATION)
        return
    for path, key in _keys(laid_down):
        if key in {"image", "cacheFrom"} and path[0] not in {"customizations", "containerEnv"}:
            yield failed(f"{'.'.join(path)} is set", CONFIGURATION)
    for unknown in sorted(laid_down.keys() - HARMLESS - {"image"}):
        yield failed(f"{unknown} is set, which Scenario A has no use for", CONFIGURATION)
    for unknown in sorted(laid_down.get("build", {}).keys() - BUILD - {"cacheFrom"}):
        yield failed(f"build.{unknown} is set", CONFIGURATION)
    if laid_down.get("postCreateCommand") != POST_CREATE_COMMAND:
        yield failed("postCreateCommand is not the one script", CONFIGURATION)
    for argument in laid_down.get("runArgs", []):
        if str(argument).startswith("-") and not RUN_OPTIONS.match(str(argument)):
            yield failed(f"runArgs has {argument}", CONFIGURATION)
    yield passed("no image, no cacheFrom, one post-create script", CONFIGURATION)


def configuration_in_force_is_the_one_laid_down(evidence: Evidence) -> Findings:
    """What the Dev Container CLI merged, image metadata included, adds nothing to what was laid down."""
    laid_down = evidence.json(CONFIGURATION)
    read = evidence.json(MERGED)
    if not laid_down or not read:
        yield skipped("the configuration in force is not known", MERGED)
        return
    for name in ("configuration", "mergedConfiguration"):
        for key, value in (read.get(name) or {}).items():
            if key in {"customizations", "configFilePath"} or not value:
                continue
            wanted = laid_down.get(key)
            if name == "mergedConfiguration" and key.endswith("Commands"):  # a list of what each source says
                single = laid_down.get(key.removesuffix("s"))
                wanted = [single] if single else []
            if _less_proxies(value) != _less_proxies(wanted):
                yield failed(f"{name}.{key} is {json.dumps(value):.60}", MERGED)
    yield passed("the same as was laid down", MERGED)


def container_is_as_configured(evidence: Evidence) -> Findings:
    """The container has the mounts and variables that Scenario A gives it, and no others."""
    container = evidence.inspected("container_inspect.json")
    where = "container_inspect.json"
    if not container:
        yield skipped("there was no container", where)
        return
    inputs = evidence.json("files/benchmarking/inputs.json") or {}
    allowed = {evidence.run["workspace"]: True}
    allowed |= {mount["source"]: False for mount in inputs.get("mounts") or ()}
    for mount in container.get("Mounts") or []:
        own = mount.get("Destination") == "/scenario-a-evidence"
        if not own and mount.get("Source") not in allowed:
            yield failed(f"{mount.get('Source') or mount.get('Name')} is mounted", where)
        elif not own and mount.get("RW") and not allowed[mount["Source"]]:
            yield failed(f"{mount['Source']} is mounted so that it can be written to", where)
    known = dict(_pairs(evidence.inspected("image_inspect.json").get("Config", {}).get("Env")))
    for name, value in _pairs(container.get("Config", {}).get("Env")):
        if name not in VARIABLES and known.get(name) != value:
            yield failed(f"the variable {name} is set", where)
    yield passed("no mount and no variable beyond Scenario A's", where)


def no_builder_image(evidence: Evidence) -> Findings:
    """Neither builder nor downloader images are referred to in anything that was laid down, merged or built."""
    if not evidence.text(DOCKERFILE):
        yield skipped("the Dockerfile was not laid down", DOCKERFILE)
        return
    names = [DOCKERFILE, CONFIGURATION, MERGED, "image_history.jsonl", "container_image_history.jsonl", "run.json"]
    names += ["files/.devcontainer/post-create-scenario-a.sh", "files/benchmarking/inputs.json", "docker_events.jsonl"]
    for name in names:
        found = match(evidence.text(name), BUILDERS)
        if found:
            yield failed(f"refers to {found[1]}", f"{name}:{found[0]}")
    yield passed("no reference to a builder or downloader image", DOCKERFILE)


def _less_proxies(value: Any) -> Any:
    """A value without the proxies, which come from the environment and differ from what a file says."""
    if isinstance(value, dict):
        return {key: _less_proxies(inner) for key, inner in value.items() if key not in PROXIES and inner != {}}
    return value


def _pairs(environment: list[str] | None) -> Iterator[tuple[str, str]]:
    for entry in environment or ():
        name, _, value = entry.partition("=")
        yield name, value


def _keys(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every key of nested objects, with the path to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key), key
            yield from _keys(inner, (*path, key))
