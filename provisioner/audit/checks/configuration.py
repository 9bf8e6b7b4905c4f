"""Checks of the devcontainer's configuration: as it was laid down, as the CLI read it, and as the container got it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from provisioner.audit import devcontainer_keys as allowed
from provisioner.audit.engine import pairs
from provisioner.audit.finding import Findings, failed, match, passed, skipped
from provisioner.audit.names import BUILDERS, CONFIGURATION, DOCKERFILE, INPUTS, MERGED, POST_CREATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provisioner.runs.evidence import Evidence

# As the Dev Container CLI knows it: ${localEnv:HOME}, ${localWorkspaceFolder} and the like.
SUBSTITUTION = re.compile(r"\$\{[^${}]*\}")


def configuration_has_no_shortcut(evidence: Evidence) -> Findings:
    """No `image`, no `cacheFrom`, and nothing else in force that brings software or runs a command of its own."""
    laid_down = evidence.json(CONFIGURATION)
    if not laid_down:
        yield skipped("the configuration was not laid down", CONFIGURATION)
        return
    for path, key in _keys(laid_down):
        if key in {"image", "cacheFrom"} and path[0] not in allowed.INERT | {"containerEnv"}:
            yield failed(f"{'.'.join(path)} is set", CONFIGURATION)
    for unknown in sorted(laid_down.keys() - allowed.KEYS - {"image"}):
        yield failed(f"{unknown} is set, which Scenario A has no use for", CONFIGURATION)
    for unknown in sorted(laid_down.get("build", {}).keys() - allowed.BUILD - {"cacheFrom"}):
        yield failed(f"build.{unknown} is set", CONFIGURATION)
    if laid_down.get("postCreateCommand") != evidence.called(POST_CREATE).removeprefix("files/"):
        yield failed("postCreateCommand is not the one script", CONFIGURATION)
    build_options = laid_down.get("build", {}).get("options", [])
    for where, arguments, known in (
        ("runArgs", laid_down.get("runArgs", []), allowed.RUN_OPTIONS),
        ("build.options", build_options, allowed.BUILD_OPTIONS),
    ):
        for argument in map(str, arguments):
            name = argument.partition("=")[0]
            if argument.startswith("-") and name.removeprefix("--") not in known:
                yield failed(f"{where} has {argument}", CONFIGURATION)
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
            if key in allowed.INERT | {"configFilePath"} or not value:
                continue
            wanted = laid_down.get(key)
            if name == "mergedConfiguration" and key.endswith("Commands"):  # a list of what each source says
                single = laid_down.get(key.removesuffix("s"))
                wanted = [single] if single else []
            if not _is_read_from(_less_proxies(wanted), _less_proxies(value)):
                yield failed(f"{name}.{key} is {json.dumps(value):.60}", MERGED)
    yield passed("the same as was laid down", MERGED)


def container_is_as_configured(evidence: Evidence) -> Findings:
    """The container has the mounts and variables that Scenario A gives it, and no others."""
    container = evidence.inspected("container_inspect.json")
    where = "container_inspect.json"
    image = evidence.inspected("image_inspect.json")
    if not container or not image:
        yield skipped("there was no container, or no image of it", where)
        return
    yield from _foreign_mounts(evidence, container.get("Mounts") or [], where)
    known = dict(pairs(image.get("Config", {}).get("Env")))
    for name, value in pairs(container.get("Config", {}).get("Env")):
        if name not in allowed.VARIABLES and known.get(name) != value:
            yield failed(f"the variable {name} is set", where)
    yield passed("no mount and no variable beyond Scenario A's", where)


def _foreign_mounts(evidence: Evidence, mounts: list[dict[str, Any]], where: str) -> Findings:
    """Say which mount is neither the workspace nor one of the inputs, or can be written to and should not."""
    inputs = evidence.json(INPUTS) or {}
    writable = {evidence.run["workspace"]: True}
    writable |= {mount["source"]: False for mount in inputs.get("mounts") or ()}
    for mount in mounts:
        if mount.get("Destination") == "/scenario-evidence":
            continue
        if mount.get("Source") not in writable:
            yield failed(f"{mount.get('Source') or mount.get('Name')} is mounted", where)
        elif mount.get("RW") and not writable[mount["Source"]]:
            yield failed(f"{mount['Source']} is mounted so that it can be written to", where)


def no_builder_image(evidence: Evidence) -> Findings:
    """Neither builder nor downloader images are referred to in anything that was laid down, merged or built."""
    if not evidence.text(DOCKERFILE):
        yield skipped("the Dockerfile was not laid down", DOCKERFILE)
        return
    names = [DOCKERFILE, CONFIGURATION, MERGED, "image_history.jsonl", "container_image_history.jsonl", "run.json"]
    names += [POST_CREATE, "files/benchmarking/inputs.json", "docker_events.jsonl"]
    for name in names:
        found = match(evidence.text(name), BUILDERS)
        if found:
            yield failed(f"refers to {found[1]}", f"{name}:{found[0]}")
    yield passed("no reference to a builder or downloader image", DOCKERFILE)


def _less_proxies(value: Any) -> Any:
    """Return a value without the proxies, which come from the environment and differ from what a file says."""
    if isinstance(value, dict):
        return {key: _less_proxies(inner) for key, inner in value.items() if key not in allowed.PROXIES and inner != {}}
    return value


def _is_read_from(laid_down: Any, read: Any) -> bool:
    """Return whether the CLI reads that of what was laid down: the same, but for what it puts in place of ${...}."""
    if isinstance(laid_down, dict) and isinstance(read, dict):
        same = laid_down.keys() == read.keys()
        return same and all(_is_read_from(value, read[key]) for key, value in laid_down.items())
    if isinstance(laid_down, list) and isinstance(read, list):
        return len(laid_down) == len(read) and all(map(_is_read_from, laid_down, read))
    if isinstance(laid_down, str) and isinstance(read, str):
        return _fits(SUBSTITUTION.split(laid_down), read)
    return bool(laid_down == read)


def _fits(parts: list[str], text: str) -> bool:
    """Return whether the text is made of the parts, in their order, with anything between them."""
    if len(parts) == 1:
        return text == parts[0]
    first, *between, last = parts
    place, end = len(first), len(text) - len(last)
    if place > end or not text.startswith(first) or not text.endswith(last):
        return False
    for part in between:
        found = text.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True


def _keys(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield every key of nested objects, with the path to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key), key
            yield from _keys(inner, (*path, key))
