"""Checks of what the engine made: the container is what this run asked for and no more, and the build is in its events.

What a container has is the engine's own account; what was asked for follows from the run's settings, its inputs and the
configuration that was laid down.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import chain
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from provisioner.audit import devcontainer_keys as allowed
from provisioner.audit import dockerfile
from provisioner.audit.checks.image import EMPTY_LAYER, base_before_build
from provisioner.audit.engine import same_image
from provisioner.audit.finding import Findings, failed, passed, skipped
from provisioner.audit.names import CONFIGURATION, DOCKERFILE, INPUTS, LOG, LOGIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provisioner.runs.evidence import Evidence

CONTAINER = "container_inspect.json"
USED = "container_image.json"
ENGINE_EVENTS = "docker_events.jsonl"
EVIDENCE = "/scenario-evidence"
# Where the image keeps software, or a user's programs: a mount is for sources, and none lies over these.
OF_SOFTWARE = re.compile(r"/|/(?:usr|bin|sbin|lib\w*|etc|root|workspaces)(?:/.*)?|/home(?:/[^/]+(?:/\..*)?)?")
RIGHTS = frozenset({"SYS_PTRACE", "CAP_SYS_PTRACE"})
# What a log's line has before what was said: the time, and the Dev Container CLI's own where it adds one.
STAMP = re.compile(r"^\S+ (?:\[\S+\] )?")
STEP = re.compile(r"Step (\d{1,4})/(\d{1,4}) : [A-Z]")
BUILDKIT_STEP = re.compile(r"#\d{1,4} \[(?:[\w.-]+ )?(\d{1,4})/(\d{1,4})\] [A-Z]")
LAYERS = frozenset({"FROM", *dockerfile.CONTENT, "WORKDIR"})
SECOND = 1.0


# ---- the container ---------------------------------------------------------------------------------------------------


def container_is_what_was_asked_for(evidence: Evidence) -> Findings:
    """Mounts, variables, rights, user and command of the container are what this run asked for, each in its place."""
    container, configuration = evidence.inspected(CONTAINER), evidence.mapping(CONFIGURATION)
    if not container or not configuration or not evidence.inspected(USED):
        yield skipped("there was no container, or no image of it", CONTAINER)
        return
    for name in sorted(allowed.taken_out(configuration)):
        yield failed(f"{name} is set, which Scenario A takes out", CONFIGURATION)
    problems = (
        _mounts(evidence, container),
        _variables(evidence, container, configuration),
        _rights(container["HostConfig"]),
        _start(evidence, container, configuration),
    )
    for problem in chain.from_iterable(problems):
        yield failed(problem, CONTAINER)
    yield passed("as its configuration and its inputs make it", CONTAINER)


def _mounts(evidence: Evidence, container: dict[str, Any]) -> Iterator[str]:
    """Yield what is mounted elsewhere than this run has it."""
    workspace = PurePosixPath(str(evidence.run["workspace"]))
    given = {mount["target"]: mount["source"] for mount in evidence.mapping(INPUTS).get("mounts") or []}
    wanted = given | {
        f"/workspaces/{workspace.name}": str(workspace),
        EVIDENCE: f"{workspace.parent}/runs/{evidence.run['run_id']}/container",
    }
    sources = {PurePosixPath(target): PurePosixPath(source) for target, source in wanted.items()}
    mounts = container.get("Mounts") or []
    for mount in mounts:
        target, source = str(mount.get("Destination")), str(mount.get("Source"))
        if sources.get(PurePosixPath(target)) != PurePosixPath(source):
            yield f"{source} is mounted at {target}"
    for target, times in Counter(mount.get("Destination") for mount in mounts).items():
        if times > 1:
            yield f"two folders are mounted at {target}"
    for target in given:
        if OF_SOFTWARE.fullmatch(target.rstrip("/") or "/"):
            yield f"a folder of the host lies over {target}"
    for name in ("Binds", "VolumesFrom", "Tmpfs", "Links"):
        if container["HostConfig"].get(name):
            yield f"{name} are {container['HostConfig'][name]!r:.60}"


def _variables(evidence: Evidence, container: dict[str, Any], configuration: dict[str, Any]) -> Iterator[str]:
    """Yield which of Scenario A's own variables have another value than the run; a login in a URL is not shown."""
    run = evidence.run
    threads = run.get("nvcc_threads")
    wanted = {
        "SCENARIO_EVIDENCE": EVIDENCE,
        "TORCH_CUDA_ARCH_LIST": run.get("arch_list"),
        "MAX_JOBS": run.get("max_jobs"),
        "XFORMERS_USERNAME": run.get("username"),
        "XFORMERS_FORK_URL": run.get("xformers_url"),
        "XFORMERS_REF": run.get("xformers_ref"),
        "NVCC_APPEND_FLAGS": f"--threads={threads}" if threads else "",
    }
    inside = dict(entry.split("=", 1) for entry in container["Config"].get("Env") or [])
    for name, value in wanted.items():
        for has in (inside, configuration.get("containerEnv") or {}):
            if LOGIN.sub("", str(has.get(name) or "")) != LOGIN.sub("", str(value or "")):
                yield f"{name} is {has.get(name)}, and the run has {value or 'none'}"


def _rights(host: dict[str, Any]) -> Iterator[str]:
    """Yield what the container may do that Scenario A never asks for."""
    if host.get("Privileged"):
        yield "it is privileged"
    for name in ("PidMode", "UTSMode"):
        if host.get(name) not in {None, "", "private"}:
            yield f"{name} is {host[name]}"
    for device in host.get("Devices") or []:
        if not str(device.get("PathOnHost")).startswith("/dev/nvidia"):
            yield f"it has the device {device.get('PathOnHost')}"
    for right in sorted(set(host.get("CapAdd") or []) - RIGHTS):
        yield f"it may {right}"


def _start(evidence: Evidence, container: dict[str, Any], configuration: dict[str, Any]) -> Iterator[str]:
    """Yield what is another program, user or name than the Dev Container CLI starts a container with."""
    config, image = container["Config"], evidence.inspected(USED)["Config"]
    yield from _command(container, image)
    if config.get("User") not in {image.get("User"), configuration.get("containerUser")}:
        yield f"its user is {config.get('User')}"
    if config.get("WorkingDir") != image.get("WorkingDir"):
        yield f"it works in {config.get('WorkingDir')}"
    own_file = f"{evidence.run['workspace']}/.devcontainer/devcontainer.json"
    told = (config.get("Labels") or {}).get("devcontainer.config_file")
    if told != own_file:
        yield f"its configuration is {told}"
    name = config.get("Hostname")
    told_name = any(str(name) in str(one) for one in configuration.get("runArgs") or [])
    of_host = evidence.run.get("host") if container["HostConfig"].get("NetworkMode") == "host" else None
    if name not in {container["Id"][:12], of_host} and not told_name:
        yield f"it calls itself {name}"
    if not (container.get("State") or {}).get("Running"):
        yield "it did not run any more when it was asked"


def _command(container: dict[str, Any], image: dict[str, Any]) -> Iterator[str]:
    """Yield where a container was not started by the command that the Dev Container CLI gives one."""
    config = container["Config"]
    command = [container.get("Path"), *(container.get("Args") or [])]
    if command != [*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])]:
        yield f"it was started by {command!r:.80}, not as it is configured"
    # The shell waits, and names no file; what follows is the image's own command, where that is to run.
    shell, option, script, *rest = [*map(str, command), "", "", ""][: max(3, len(command))]
    own = {"-", *(image.get("Entrypoint") or []), *(image.get("Cmd") or [])}
    if (shell, option) != ("/bin/sh", "-c") or "/" in script or set(rest) - own:
        yield f"it was started by {command!r:.80}"


# ---- the build -------------------------------------------------------------------------------------------------------


def build_is_in_log_and_events(evidence: Evidence) -> Findings:
    """Log and engine tell of the same build: each step once, a container for each that ran, each layer by a step."""
    window = evidence.window("image_build")
    image, used = evidence.inspected("image_inspect.json"), evidence.inspected(USED)
    steps = dockerfile.parse(evidence.text(DOCKERFILE))
    if evidence.outcome != "ok" or not image or not used or not steps or window is None:
        yield skipped("the image was not built, or the engine did not tell", LOG)
        return
    log = _log_of_build(evidence)
    counted = sum(not log.by_buildkit or step.name in LAYERS for step in steps)
    if log.numbers != [*range(1, log.total + 1)] or log.total < counted:
        yield failed(f"the log has {len(log.numbers)} steps of {log.total}, the Dockerfile {counted}", LOG)
    ran = 0 if log.by_buildkit else sum(step.name == "RUN" for step in steps)
    events = _engine_events(evidence)
    made = sum(_made_a_container(evidence, event, window) for _, event in events)
    if made < ran:
        yield failed(f"the engine made {made} containers in the build, and {ran} steps ran", ENGINE_EVENTS)
    yield from _tagged_otherwise(evidence, events, image, used)
    yield from _not_in_history(evidence, image, "image_history.jsonl", "base_image_history.jsonl")
    yield from _not_in_history(evidence, used, "container_image_history.jsonl", "image_history.jsonl")
    yield passed(f"{log.total} steps, {made} containers", ENGINE_EVENTS)


def _engine_events(evidence: Evidence) -> list[tuple[int, dict[str, Any]]]:
    """Return the engine's events, each with the number of its line."""
    rows = enumerate(evidence.json_lines(ENGINE_EVENTS), 1)
    return [(number, event) for number, event in rows if isinstance(event, dict)]


def _made_a_container(evidence: Evidence, event: dict[str, Any], window: tuple[float, float]) -> bool:
    """Return whether an event says that the engine made a container within a window of uptimes."""
    if event.get("Action") != "create" or event.get("Type", "container") != "container":
        return False
    return evidence.within(int(event["timeNano"]) / 1e9, window, SECOND)


class BuildLog(NamedTuple):
    """What the log tells of the build: whether BuildKit did it, the numbers of its steps, and how many there are."""

    by_buildkit: bool
    numbers: list[int]
    total: int


def _log_of_build(evidence: Evidence) -> BuildLog:
    # A line may have been cut in two on its way.
    said = "".join(STAMP.sub("", line, count=1) for _, line in evidence.log_of("image_build"))
    # BuildKit counts only what makes layers, and has no container of the engine's for a step.
    by_buildkit = not STEP.search(said) and bool(BUILDKIT_STEP.search(said))
    told = [(int(number), int(total)) for number, total in (BUILDKIT_STEP if by_buildkit else STEP).findall(said)]
    return BuildLog(by_buildkit, [number for number, _ in told], max((total for _, total in told), default=0))


def _not_in_history(evidence: Evidence, image: dict[str, Any], history: str, below: str) -> Findings:
    """Say where an image's history is that of another, or tells of fewer layers above that of the image `below`."""
    rows = evidence.json_lines(history)
    if rows and rows[0].get("ID") not in {image.get("Id"), "<missing>"}:
        yield failed(f"it is the history of {rows[0].get('ID')}", history)
    above = [dockerfile.built(row["CreatedBy"]).name for row in rows[: len(rows) - len(evidence.json_lines(below))]]
    layers = _new_layers(evidence, image, history)
    if layers > sum(step in {*dockerfile.CONTENT, "WORKDIR"} for step in above):
        yield failed(f"{layers} layers were put on the image, more than its history tells of", history)


def _new_layers(evidence: Evidence, image: dict[str, Any], history: str) -> int:
    """Return how many layers with something in them lie above the base, or above the image that was built."""
    below = base_before_build(evidence) if history.startswith("image_") else evidence.inspected("image_inspect.json")
    layers = (image.get("RootFS") or {}).get("Layers") or []
    known = len((below.get("RootFS") or {}).get("Layers") or [])
    return sum(layer != EMPTY_LAYER for layer in layers[known:])


def _tagged_otherwise(
    evidence: Evidence, events: list[tuple[int, dict[str, Any]]], image: dict[str, Any], used: dict[str, Any]
) -> Findings:
    """Say which other image got the name of the base, or of what was built, during the run."""
    base = evidence.inspected("base_image.json")
    built = str(evidence.inspected(CONTAINER).get("Config", {}).get("Image")).removesuffix("-uid")
    for number, event in events:
        actor = event.get("Actor") or {}
        name = str((actor.get("Attributes") or {}).get("name") or "")
        if event.get("Action") != "tag" or not name:
            continue
        if same_image(name, str(evidence.run.get("base_image"))) and actor.get("ID") != base.get("Id"):
            yield failed(f"{name} became another image", f"{ENGINE_EVENTS}:{number}")
        if name.removesuffix(":latest").removesuffix("-uid") == built and actor.get("ID") not in {
            image.get("Id"),
            used.get("Id"),
        }:
            yield failed(f"{name} was another image meanwhile", f"{ENGINE_EVENTS}:{number}")
