"""The check that the engine tells the same times as the run: of its container, its images and its base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provisioner.audit.checks.times import LAG, LOOK, SECOND
from provisioner.audit.engine import moment as time_of
from provisioner.audit.engine import same_image
from provisioner.audit.finding import Findings, failed, passed, skipped
from provisioner.audit.names import INPUTS
from provisioner.runs.evidence import CLOCK_GRAIN

if TYPE_CHECKING:
    from provisioner.runs.evidence import Evidence

__all__ = ["engine_tells_the_same_times"]

CONTAINER = "container_inspect.json"
OF_IMAGE = ("image_inspect.json", "container_image.json", "base_image.json")


def engine_tells_the_same_times(evidence: Evidence) -> Findings:
    """Image and container were made when their phases ran, by their own dates and by the engine's events."""
    container = evidence.inspected(CONTAINER)
    run, up = evidence.window("run"), evidence.window("container_up")
    cloned = evidence.begun("clone")
    images = {name: evidence.inspected(name) for name in OF_IMAGE}
    kept = {row.get("id") for row in evidence.json_lines("images_after.jsonl")}
    known = container and all(images.values()) and kept
    if evidence.outcome != "ok" or not known or run is None or up is None or cloned is None:
        # The container of a run that failed is begun anew, which ends what still runs in it.
        yield skipped("the run did not get to its end, or the engine did not tell", CONTAINER)
        return
    begun = (container.get("State") or {}).get("StartedAt")
    if container.get("RestartCount") or not evidence.within(time_of(begun), (up[0], cloned), CLOCK_GRAIN):
        yield failed(f"the container was started at {begun}, not once and before the clone", CONTAINER)
    yield from _images_of_another_time(evidence, images, up)
    yield from _base_came_otherwise(evidence, images["base_image.json"])
    for name, image in images.items():
        if image.get("Id") not in kept:
            yield failed("the engine does not list it at the end", name)
    yield from _events_of_another_time(evidence, container, (run[0] - LOOK, run[1] + LOOK))
    yield passed("image and container are of their phases", CONTAINER)


def _images_of_another_time(evidence: Evidence, images: dict[str, dict[str, Any]], up: tuple[float, float]) -> Findings:
    """Say which image was not made in its phase; `up` is when the container's was."""
    image, used = images["image_inspect.json"], images["container_image.json"]
    if not evidence.within(time_of(image.get("Created")), evidence.window("image_build"), SECOND):
        yield failed(f"the image is of {image.get('Created')}", "image_inspect.json")
    if used.get("Id") != image.get("Id") and not evidence.within(time_of(used.get("Created")), up, SECOND):
        yield failed(f"the container's image is of {used.get('Created')}", "container_image.json")


def _base_came_otherwise(evidence: Evidence, base: dict[str, Any]) -> Findings:
    """Say where the base that was there before the run is another, or was there though it is said to have come."""
    before = evidence.inspected("base_image_before.json")
    if before and before.get("Id") != base.get("Id"):
        yield failed("the base was another when the run ended", "base_image.json")
    # The same image may have been there by another name, from another registry.
    name = str(evidence.run.get("base_image"))
    names = "digests" if "@" in name else "tags"
    there = [row for row in evidence.json_lines("images_at_build.jsonl") if row.get("id") == base.get("Id")]
    if not before and any(same_image(called, name) for row in there for called in row.get(names) or ()):
        yield failed("the base is said to have come with the run, and was there", "base_image_before.json")
    if before and evidence.mapping(INPUTS).get("cold_base"):
        yield failed("the base was to be removed first, and was there", "base_image_before.json")


def _events_of_another_time(evidence: Evidence, container: dict[str, Any], window: tuple[float, float]) -> Findings:
    """Say which of the engine's events are not of this run's time, or tell otherwise of its container."""
    where = "docker_events.jsonl"
    events = evidence.json_lines(where)
    moments = [int(event["timeNano"]) / 1e9 for event in events]
    for number, moment in enumerate(moments, 1):
        if not evidence.within(moment, window, LAG):
            yield failed("an event is not of the time of this run", f"{where}:{number}")
    for number, (event, moment) in enumerate(zip(events, moments, strict=True), 1):
        actor = event.get("Actor") or {}
        if actor.get("ID") == container.get("Id") and event.get("Action") == "create":
            if abs(moment - time_of(container.get("Created"))) > LAG:
                yield failed(f"the container was created at {container.get('Created')}", f"{where}:{number}")
            if actor.get("Attributes", {}).get("image") != container["Config"].get("Image"):
                yield failed("the container was created from another image", f"{where}:{number}")
