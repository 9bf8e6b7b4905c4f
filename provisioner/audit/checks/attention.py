"""The checks of the attention test: that it ran, where it ran, that the container had a GPU, and what was computed."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from provisioner.audit import attention_rows as right
from provisioner.audit.finding import Finding, Findings, failed, passed, skipped
from provisioner.audit.names import DEVCONTAINER, EVENTS
from provisioner.audit.names import LOG as SCENARIO_LOG

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from provisioner.runs.evidence import Evidence

LOG = "attention_test.log"
ROWS = "container/attention.jsonl"
CONTAINER = "container_inspect.json"
GPUS_INSIDE = "gpus.txt"
CHALLENGE = re.compile(r"[0-9a-f]{64}")
LEAST_BYTES = 16
"""Of 32 random bytes so many differ, but for once in 10^15 times."""
# A GPU's name, as nvidia-smi and the driver's own files write it; a slice's name begins with MIG.
UUID = re.compile(r"\bGPU-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
# What two ways of adding up the same in double precision may differ by.
SLACK = 1e-9
# The shipped test allows 1e-3 in single precision; half precision carries 8 to 11 bits. Nothing that a test may call
# right is further off than this.
LARGEST_TOLERANCE = 0.05


def container_had_the_gpu(evidence: Evidence) -> Findings:
    """The test's container was given the host's GPUs, and the driver answered for them inside."""
    gpus = evidence.mapping("machine.json").get("gpus") or []
    not_tested = _not_tested(evidence, gpus)
    if not_tested:
        yield not_tested
        return
    if not evidence.text("environment.json") or (evidence.runtime == DEVCONTAINER and not evidence.text(CONTAINER)):
        yield skipped("the host could not look inside", CONTAINER)
        return
    if evidence.runtime == DEVCONTAINER and not _given(evidence.inspected(CONTAINER)):
        yield failed(f"it was given no GPU, and the host has {gpus[0].get('name')}", CONTAINER)
    uuids = [gpu.get("uuid") for gpu in gpus]
    if len(set(uuids)) < len(uuids):
        yield failed("the host names a GPU twice", "machine.json")
    for uuid in sorted(_asked_for(evidence.inspected(CONTAINER)) - set(uuids)):
        yield failed(f"the container was given {uuid}, which is not a GPU of the host", CONTAINER)
    inside = set(UUID.findall(evidence.text(GPUS_INSIDE)))
    if not inside:
        yield failed("no driver answered inside", GPUS_INSIDE)
    for uuid in sorted(inside - set(uuids)):
        yield failed(f"inside was {uuid}, which is not a GPU of the host", GPUS_INSIDE)
    yield passed(f"{len(inside)} GPUs, of {len(gpus)} of the host", GPUS_INSIDE)


def attention_was_computed_for_this_run(evidence: Evidence) -> Findings:
    """Of numbers that the run's own challenge gives, the test returned what plain Python computes of them."""
    not_tested = _not_tested(evidence, evidence.mapping("machine.json").get("gpus") or [])
    if not_tested:
        yield not_tested
        return
    challenge = str(evidence.run.get("challenge"))
    if not CHALLENGE.fullmatch(challenge):
        yield failed("the run has no challenge", "run.json")
        return
    result = _result(evidence.text(LOG))
    yield from _of_no_challenge(evidence, challenge)
    yield from _of_another_challenge(evidence, challenge, result)
    cases: list[dict[str, Any]] = result.get("cases") or []
    kept = evidence.json_lines(ROWS)
    if [(tuple(case["shape"]), case["dtype"]) for case in cases] != list(right.CASES):
        yield failed(f"{len(cases)} cases were told, which are not the test's {len(right.CASES)}", LOG)
        return
    if len(kept) != len(cases):
        yield failed(f"of {len(kept)} cases there are results", ROWS)
        return
    worst = max(cases, key=lambda case: _figure(case, "max_abs_error") / _figure(case, "tolerance"))
    if any(result.get(name) != value for name, value in worst.items()):
        yield failed("what it tells first is not its worst case", LOG)
    for number, (case, rows) in enumerate(zip(cases, kept, strict=True)):
        for problem in _not_computed(challenge, number, case, rows):
            yield failed(f"case {number}, {case['dtype']}: {problem}", f"{ROWS}:{number + 1}")
    yield passed(f"{len(cases)} cases, computed again at the places of the challenge", ROWS)


def _of_no_challenge(evidence: Evidence, challenge: str) -> Findings:
    """Say where a challenge was not chosen at random, or it is not told who chose it."""
    if len(set(bytes.fromhex(challenge))) < LEAST_BYTES:
        yield failed("its challenge is nobody's random bytes", "run.json")
    if "unchallenged" not in evidence.run:
        yield failed("it does not say who chose its challenge", "run.json")


def _of_another_challenge(evidence: Evidence, challenge: str, result: dict[str, Any]) -> Findings:
    """Say where the test gave not one result, of this challenge, that the run's log has as well."""
    lines = evidence.text(LOG).splitlines()
    if len(results := [line for line in lines if _result(line)]) != 1:
        yield failed(f"the test gave {len(results)} results", LOG)
    echo = f"attention_test.py --challenge {challenge}"
    if result.get("challenge") != challenge or not any(line.endswith(echo) for line in evidence.log):
        yield failed("the test was given another challenge", LOG)
    if not any(line.endswith(text) for line in evidence.log for text in lines[-1:]):
        yield failed("the run's log has not got what the test printed", SCENARIO_LOG)


def _not_computed(challenge: str, number: int, case: dict[str, Any], rows: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a case and the rows that were kept of it."""
    expected = right.rows(challenge, number)
    told = [(tuple(row["place"]), row["output"]) for row in rows["rows"]]
    if rows.get("case") != number or rows.get("challenge") != challenge:
        yield "its rows are of another case or challenge"
    if [place for place, _ in told] != [place for place, _ in expected]:
        yield "its rows are not at the places of the challenge"
        return
    yield from _not_within_tolerance(case, max(abs(value) for _, output in expected for value in output))
    error = _figure(case, "max_abs_error")
    found = max(_apart(output, wanted) for (_, output), (_, wanted) in zip(told, expected, strict=True))
    if not found <= error + SLACK:
        yield f"a result is off by {found:.3g}, and the test tells of {error} at most"
    if not all(right.exact(float(value), case["dtype"]) for _, output in told for value in output):
        yield f"a result is no number of {case['dtype']}"


def _not_within_tolerance(case: dict[str, Any], largest: float) -> Iterator[str]:
    """Yield where a case's tolerance is not its dtype's, or its error above it; `largest` is of its rows' results."""
    error, tolerance = _figure(case, "max_abs_error"), _figure(case, "tolerance")
    # Of the largest result, which the rows need not have, and which is an average of values.
    unit = right.ALLOWED_ROUNDOFFS * right.ROUNDOFF[case["dtype"]]
    if not unit * largest - SLACK <= tolerance <= unit * right.LARGEST:
        yield f"its tolerance is {tolerance}"
    if case.get("passed") is not True or not 0 <= error <= tolerance:
        yield f"it failed: largest error {error}, tolerance {tolerance}"


def _apart(output: Sequence[float], wanted: Sequence[float]) -> float:
    """Return the largest difference of two rows; without end where one is longer."""
    if len(output) != len(wanted):
        return math.inf
    return max(abs(one - other) for one, other in zip(output, wanted, strict=True))


def _given(container: dict[str, Any]) -> bool:
    """Return whether a container was given GPUs: by --gpus, as a CDI device, by NVIDIA's runtime or one by one."""
    host = container.get("HostConfig") or {}
    asked = host.get("DeviceRequests") or []
    if any(
        "gpu" in str([one.get("Capabilities"), one.get("DeviceIDs")]) and (one.get("Count") or one.get("DeviceIDs"))
        for one in asked
    ):
        return True
    visible = [
        entry.partition("=")[2] for entry in container.get("Config", {}).get("Env") or [] if "_VISIBLE_D" in entry
    ]
    by_runtime = host.get("Runtime") == "nvidia" and any(value not in {"", "void", "none"} for value in visible)
    return by_runtime or any("/dev/nvidia" in str(device) for device in host.get("Devices") or [])


def _asked_for(container: dict[str, Any]) -> set[str]:
    """Return the GPUs that a container was given by their own names."""
    asked = (container.get("HostConfig") or {}).get("DeviceRequests") or []
    return set(UUID.findall(str([one.get("DeviceIDs") for one in asked])))


def _not_tested(evidence: Evidence, gpus: list[dict[str, Any]]) -> Finding | None:
    """Why there is no test to look at, where that is none of these checks' to judge."""
    if not gpus:
        return skipped("no NVIDIA GPU answered on the host", EVENTS)
    events = {event["event"] for event in evidence.events if event["phase"] == "attention_test"}
    return None if "end" in events else skipped("the attention test was not done", EVENTS)


def attention_test_passed(evidence: Evidence) -> Findings:
    """The attention test ran after the compile, in this container, with this extension, on this GPU, and passed."""
    events = [event["event"] for event in evidence.events if event["phase"] == "attention_test"]
    gpus = (evidence.json("machine.json") or {}).get("gpus") or []
    not_ended = _not_ended(evidence, events, gpus)
    if not_ended:
        yield not_ended
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
    if not _was_after_the_compile(evidence):
        yield failed("it did not run after the compile", EVENTS)
    if not evidence.text("machine.json").strip() or not evidence.text("environment.json").strip():
        yield skipped("the host could not tell of its GPU, or of what is inside", "machine.json")
        return
    yield from _computed_elsewhere(evidence, result, gpus)
    yield passed(f"on {result['device']}, largest error {error:.2g}", LOG)


def _computed_elsewhere(evidence: Evidence, result: dict[str, Any], gpus: list[dict[str, Any]]) -> Findings:
    """Say which device, host or extension of the result is none of the run's."""
    for figure, values in _wanted(evidence, gpus).items():
        if result.get(figure) not in values:
            yield failed(f"its {figure} is {result.get(figure)}, not {' or '.join(map(str, values)) or 'known'}", LOG)


def _not_ended(evidence: Evidence, events: list[str], gpus: list[dict[str, Any]]) -> Finding | None:
    """Return what is found where the test was skipped or cut off, by its events; None where it ended somehow."""
    if "skip" in events and not gpus:
        return skipped("no NVIDIA GPU answered on the host", EVENTS)
    if "skip" in events:
        return failed(f"it was skipped, and the host has {gpus[0].get('name')}", EVENTS)
    if not {"end", "fail"} & set(events):
        return skipped("the run did not get to its end", EVENTS)
    if evidence.outcome == "interrupted" and "end" not in events:
        return skipped("the run was cut off within it", EVENTS)
    return None


def _was_after_the_compile(evidence: Evidence) -> bool:
    compiled, tested = evidence.window("compile"), evidence.begun("attention_test")
    return compiled is not None and tested is not None and tested >= compiled[1]


def _result(text: str) -> dict[str, Any]:
    """Return the last line that the test printed, where that is a JSON object; empty where it is not."""
    try:
        result = json.loads(text.splitlines()[-1])
    except (IndexError, ValueError, RecursionError):
        return {}
    return result if isinstance(result, dict) else {}


def _figure(result: dict[str, Any], name: str) -> float:
    """Return a figure of the result; NaN, which is right nowhere, where it is none."""
    value = result.get(name)
    return float(value) if isinstance(value, int | float) else math.nan


def _wanted(evidence: Evidence, gpus: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return what the result must say of where it was computed: by figure, the values that are right."""
    environment = evidence.json("environment.json") or {}
    host = evidence.inspected("container_inspect.json").get("Config", {}).get("Hostname") or environment.get("host")
    in_use = [extension["path"] for extension in environment.get("extensions") or [] if extension["in_use"]]
    return {"device": [gpu.get("name") for gpu in gpus], "host": [host], "extension": in_use}
