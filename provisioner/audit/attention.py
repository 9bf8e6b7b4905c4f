"""The check of the attention test: that it ran, where it ran, and what it computed."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from provisioner.audit.finding import Findings, failed, passed, skipped
from provisioner.audit.names import EVENTS

if TYPE_CHECKING:
    from provisioner.evidence import Evidence

LOG = "attention_test.log"
# The shipped test allows 1e-3 in single precision; half precision carries 8 to 11 bits. Nothing that a test may call
# right is further off than this.
LARGEST_TOLERANCE = 0.05


def attention_test_passed(evidence: Evidence) -> Findings:
    """The attention test ran after the compile, in this container, with this extension, on this GPU, and passed."""
    events = [event["event"] for event in evidence.events if event["phase"] == "attention_test"]
    gpus = (evidence.json("machine.json") or {}).get("gpus") or []
    if "skip" in events and not gpus:
        yield skipped("no NVIDIA GPU answered on the host", EVENTS)
        return
    if "skip" in events:
        yield failed(f"it was skipped, and the host has {gpus[0].get('name')}", EVENTS)
        return
    if not {"end", "fail"} & set(events):
        yield skipped("the run did not get to its end", EVENTS)
        return
    if "end" not in events or "fail" in events:
        yield failed("it did not end well", EVENTS)
    result = _result(evidence.text(LOG))
    if not result:
        yield failed("it gave no result", LOG)
        return
    error, tolerance = _figure(result, "max_abs_error"), _figure(result, "tolerance")
    # Written so that NaN, which compares false with everything, fails.
    if result.get("passed") is not True or not error <= tolerance <= LARGEST_TOLERANCE:
        yield failed(f"it failed: largest error {error}, tolerance {tolerance}", LOG)
    compiled = evidence.window("compile")
    tested = evidence.begun("attention_test")
    if compiled is None or tested is None or tested < compiled[1]:
        yield failed("it did not run after the compile", EVENTS)
    wanted = _wanted(evidence, gpus)
    for figure, values in wanted.items():
        if result.get(figure) not in values:
            yield failed(f"its {figure} is {result.get(figure)}, not {' or '.join(map(str, values)) or 'known'}", LOG)
    yield passed(f"on {result['device']}, largest error {error:.2g}", LOG)


def _result(text: str) -> dict[str, Any]:
    """The last line that the test printed, where that is a JSON object; empty where it is not."""
    try:
        result = json.loads(text.splitlines()[-1])
    except (IndexError, ValueError, RecursionError):
        return {}
    return result if isinstance(result, dict) else {}


def _figure(result: dict[str, Any], name: str) -> float:
    """A figure of the result; NaN, which is right nowhere, where it is none."""
    value = result.get(name)
    return float(value) if isinstance(value, int | float) else math.nan


def _wanted(evidence: Evidence, gpus: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """What the result must say of where it was computed: by figure, the values that are right."""
    environment = evidence.json("environment.json") or {}
    host = evidence.inspected("container_inspect.json").get("Config", {}).get("Hostname") or environment.get("host")
    in_use = [extension["path"] for extension in environment.get("extensions") or [] if extension["in_use"]]
    return {"device": [gpu.get("name") for gpu in gpus], "host": [host], "extension": in_use}
