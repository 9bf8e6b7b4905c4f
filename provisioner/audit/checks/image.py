"""Checks of the image: made in this run, layer by layer, of the Dockerfile that was laid down and nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from provisioner.audit import dockerfile
from provisioner.audit.engine import moment, same_image
from provisioner.audit.finding import Findings, failed, passed, skipped
from provisioner.audit.names import DOCKERFILE, LOG, SHORTCUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provisioner.runs.evidence import Evidence

AT_BUILD = "images_at_build.jsonl"
# The layer of an instruction that changed no file: the same everywhere, and nothing is in it.
EMPTY_LAYER = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
# History has full seconds.
SECOND = 1.0


def no_shortcut_image(evidence: Evidence) -> Findings:
    """No devcontainer, builder or downloader image was on the host when the build began."""
    if AT_BUILD not in evidence.entries:
        yield skipped("the run did not get to the build", AT_BUILD)
        return
    for number, image in enumerate(evidence.json_lines(AT_BUILD), 1):
        for name in [*(image.get("tags") or ()), *(image.get("digests") or ())]:
            if SHORTCUT.search(name):
                yield failed(f"{name} was there", f"{AT_BUILD}:{number}")
    yield passed("none was there", AT_BUILD)


def no_cached_layer(evidence: Evidence) -> Findings:
    """The build said --no-cache, and that it took nothing from a cache, of layers or of pip."""
    lines = list(evidence.log_of("image_build"))
    if not lines or not evidence.ended("image_build"):
        yield skipped("the image was not built", LOG)
        return
    builds = [line for _, line in lines if re.search(r" \+ (?=\S*devcontainer)\S* build ", line)]
    if len(builds) != 1 or " --no-cache" not in builds[0]:
        yield failed("there was not one build, with --no-cache", f"{LOG}:{lines[0][0]}")
    steps: dict[str, str] = {}
    for number, line in lines:
        named = re.search(r"#(\d+) (\[.*)", line)
        if named:
            steps.setdefault(named[1], named[2])
        cached = re.search(r"---> Using cache|#(\d+) CACHED|CACHED (\[.*)", line)
        # BuildKit calls a base that is on the host cached as well; that it may be, and the record tells.
        if cached and not re.match(r"\[[^]]*\] FROM ", cached[2] or steps.get(cached[1], "")):
            yield failed("a layer came from the cache", f"{LOG}:{number}")
        if re.search(r"\bUsing cached \S+\.(?:whl|tar\.gz|zip)\b", line):
            yield failed("pip took a package from its cache", f"{LOG}:{number}")
    yield passed("built with --no-cache, nothing from a cache", f"{LOG}:{lines[0][0]}")


def layers_are_new(evidence: Evidence) -> Findings:
    """Every layer above the base was made within this run's build; none was in any image before it."""
    where = "image_inspect.json"
    layers = _layers(evidence.inspected(where))
    base = _layers(base_before_build(evidence))
    if not layers or not base:
        yield skipped("the image was not built", where)
        return
    if layers[: len(base)] != base or len(layers) == len(base):
        yield failed("the image does not stand on the base", where)
    for found in _seen_before(evidence, layers[len(base) :]):
        yield failed(*found)
    rows = evidence.json_lines("image_history.jsonl")
    above = len(rows) - len(evidence.json_lines("base_image_history.jsonl"))
    for number, row in enumerate(rows[:above], 1):
        if not evidence.within(_created(row), evidence.window("image_build"), SECOND):
            yield failed(f"a layer is of {row['CreatedAt']}, not of this build", f"image_history.jsonl:{number}")
    if above < 1:
        yield failed("the image has nothing above its base", "image_history.jsonl")
    yield passed(f"{len(layers) - len(base)} layers on the base, each made in this build", where)


def image_is_of_the_dockerfile(evidence: Evidence) -> Findings:
    """What put files into the image are the Dockerfile's instructions, all of them, in order, and no others."""
    rows = evidence.json_lines("image_history.jsonl")
    base = evidence.json_lines("base_image_history.jsonl")
    wanted = [step for step in dockerfile.parse(evidence.text(DOCKERFILE)) if step.name in dockerfile.CONTENT]
    if not rows or not base or not wanted:
        yield skipped("the image was not built", "image_history.jsonl")
        return
    above = [dockerfile.built(row["CreatedBy"]) for row in reversed(rows[: len(rows) - len(base)])]
    done = [step for step in above if step.name in dockerfile.CONTENT]
    for is_there, should_be in zip(done, wanted, strict=False):
        same = is_there.arguments == should_be.arguments
        if should_be.name != "RUN":  # a file's sum stands for its name
            same = is_there.arguments.endswith(should_be.arguments.split()[-1])
        if is_there.name != should_be.name or not same:
            yield failed(f"{is_there.name} {is_there.arguments:.60} was run", f"{DOCKERFILE}:{should_be.line}")
    if len(done) != len(wanted):
        yield failed(f"{len(done)} instructions were run, and there are {len(wanted)}", "image_history.jsonl")
    yield passed(f"{len(wanted)} instructions, as the Dockerfile has them", "image_history.jsonl")


def nothing_else_was_pulled(evidence: Evidence) -> Findings:
    """While the run was under way no image came to the host but the base."""
    where = "docker_events.jsonl"
    container = evidence.inspected("container_inspect.json").get("Id")
    events = [event for event in evidence.json_lines(where) if isinstance(event, dict)]
    if not container or not evidence.ended("container_up"):
        yield skipped("the run did not get to its container", where)
        return
    if not any(_acted(event) == ("create", container) for event in events):
        yield failed("the watch did not see this run's own container", where)
    for number, event in enumerate(events, 1):
        action, name = _acted(event)
        if action in {"pull", "load", "import"} and not same_image(name, str(evidence.run.get("base_image"))):
            yield failed(f"{action} of {name}", f"{where}:{number}")
    pulled = any(_acted(event)[0] == "pull" for event in events)
    yield passed("the base was pulled, and nothing else" if pulled else "nothing was pulled", where)


def container_is_of_the_image(evidence: Evidence) -> Findings:
    """The container was created in this run, from the image that this run built."""
    where = "container_image.json"
    container = evidence.inspected("container_inspect.json")
    built = _layers(evidence.inspected("image_inspect.json"))
    layers = _layers(evidence.inspected(where))
    if not container or not built or not layers:
        yield skipped("there was no container", where)
        return
    if container.get("Image") != evidence.inspected(where).get("Id") or layers[: len(built)] != built:
        yield failed("the container's image does not stand on the one that was built", where)
    if not evidence.within(moment(container.get("Created")), evidence.window("container_up")):
        yield failed(f"the container is of {container.get('Created')}", "container_inspect.json")
    rows = evidence.json_lines("container_image_history.jsonl")
    above = rows[: len(rows) - len(evidence.json_lines("image_history.jsonl"))]
    yield from _put_on_the_image(evidence, above)
    added = [layer for layer in layers[len(built) :] if layer != EMPTY_LAYER]
    if len(added) > sum(row["Size"] != "0B" for row in above):
        yield failed(f"{len(added)} layers were put on the image, more than its history tells of", where)
    for found in _seen_before(evidence, added):
        yield failed(*found)
    yield passed("created in this run from the image that it built", where)


def _put_on_the_image(evidence: Evidence, rows: list[dict[str, Any]]) -> Findings:
    """Say which row of the history above the built image is not the Dev Container CLI's own, or of another time."""
    for number, row in enumerate(rows, 1):
        where = f"container_image_history.jsonl:{number}"
        step = dockerfile.built(row["CreatedBy"])
        # The Dev Container CLI gives the container's user the number of the host's: the one thing that it adds.
        if step.name in dockerfile.CONTENT and not (step.name == "RUN" and "NEW_UID" in step.arguments):
            yield failed(f"{step.name} {step.arguments:.60} was put on the image", where)
        if not evidence.within(_created(row), evidence.window("container_up"), SECOND):
            yield failed(f"a layer is of {row['CreatedAt']}", where)


def base_before_build(evidence: Evidence) -> dict[str, Any]:
    """Return the base as it was before the build, or as the build pulled it."""
    return evidence.inspected("base_image_before.json") or evidence.inspected("base_image.json")


def _layers(image: dict[str, Any]) -> list[str]:
    return list(image.get("RootFS", {}).get("Layers") or [])


def _seen_before(evidence: Evidence, layers: list[str]) -> Iterator[tuple[str, str]]:
    """Yield which images of before the build had which of these layers, and where that stands."""
    sought = set(layers) - {EMPTY_LAYER}
    for number, image in enumerate(evidence.json_lines(AT_BUILD), 1):
        for layer in image.get("layers") or ():
            if layer in sought:
                name = next(iter(image.get("tags") or ()), image["id"])
                yield f"layer {layer[:19]} was there before, in {name}", f"{AT_BUILD}:{number}"


def _acted(event: dict[str, Any]) -> tuple[str, str]:
    """Return an event's action and what it was done to, of the engine's older and newer words."""
    actor = event.get("Actor") or {}
    return str(event.get("Action") or event.get("status")), str(actor.get("ID") or event.get("id"))


def _created(row: dict[str, Any]) -> float:
    return moment(row["CreatedAt"])
