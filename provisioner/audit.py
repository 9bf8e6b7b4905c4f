"""The audit: a run's evidence in, a verdict out, offline and repeatable.

Each check is one function that takes the evidence and returns what it found; its docstring's first line is the claim.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from provisioner.record import Audit, Check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from provisioner.evidence import Evidence

PASS, FAIL, SKIP = "pass", "fail", "skip"
Finding = tuple[str, str, str]  # outcome, detail, where the evidence shows it

CONFIGURATION = "files/.devcontainer/devcontainer.json"
MERGED = "devcontainer_configuration.json"
DOCKERFILE = "files/.devcontainer/Dockerfile.scenario-a"
POST_CREATE = "files/.devcontainer/post-create-scenario-a.sh"
SHORTCUT = re.compile(r"(?:^|/)xformers-(?:devcontainer|dependency-downloader|builder)$")
BUILDERS = re.compile(r"xformers-(?:dependency-downloader|builder)")
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z( |$)")


def judge(evidence: Evidence) -> Audit:
    """Return the verdict: rejected where a check fails, incomplete where one could not be made, else accepted."""
    checks = []
    for name, check in CHECKS.items():
        outcome, detail, where = check(evidence)
        checks.append(Check(name=name, outcome=outcome, detail=detail, evidence=where))
    outcomes = {check.outcome for check in checks}
    verdict = "rejected" if FAIL in outcomes else "incomplete" if SKIP in outcomes else "accepted"
    return Audit(verdict=verdict, checks=checks)


def configuration_has_no_shortcut(evidence: Evidence) -> Finding:
    """No `image` and no `cacheFrom` is in force."""
    if not evidence.json(CONFIGURATION):
        return SKIP, "the configuration was not laid down", CONFIGURATION
    for name in (CONFIGURATION, MERGED):
        for path, key in _keys(evidence.json(name) or {}):
            if key == "cacheFrom" or path in {("image",), ("configuration", "image"), ("mergedConfiguration", "image")}:
                return FAIL, f"{'.'.join(path)} is set", name
    return PASS, "neither image nor cacheFrom is set", CONFIGURATION


def no_builder_image(evidence: Evidence) -> Finding:
    """Neither builder nor downloader images are referred to in what was laid down or built."""
    if not evidence.text(DOCKERFILE):
        return SKIP, "the Dockerfile was not laid down", DOCKERFILE
    for name in (DOCKERFILE, CONFIGURATION, MERGED, "image_history.jsonl"):
        found = _find(evidence.text(name), BUILDERS)
        if found:
            return FAIL, f"refers to {found[1]}", f"{name}:{found[0]}"
    return PASS, "no reference to a builder or downloader image", DOCKERFILE


def dockerfile_takes_nothing_ready(evidence: Evidence) -> Finding:
    """The Dockerfile has no COPY --from, no wheel prefetch, no pip cache, and nothing of xformers."""
    text = re.sub(
        r"\\\n", " ", "\n".join(line for line in evidence.text(DOCKERFILE).splitlines() if not line.startswith("#"))
    )
    if not text:
        return SKIP, "the Dockerfile was not laid down", DOCKERFILE
    for pattern, what in (
        (r"(?i)\b(?:COPY|ADD)\s+--from", "COPY --from"),
        (r"\bpip3?\s+(?:download|wheel)\b|--find-links|\.whl\b", "a wheel prefetch"),
        (r"--mount=\S*type=cache", "a cache mount"),
        (r"\bpip3?\s+install\b(?!\s+--no-cache-dir)", "pip with its cache"),
        (r"(?i)xformers", "xformers"),
    ):
        found = _find(text, re.compile(pattern))
        if found:
            return FAIL, f"has {what}: {found[1]}", DOCKERFILE
    return PASS, "no COPY --from, no prefetch, no cache, no xformers", DOCKERFILE


def no_cached_layer(evidence: Evidence) -> Finding:
    """The build took no layer from a cache."""
    lines = list(_phase(evidence, "image_build"))
    if not lines:
        return SKIP, "the image was not built", "scenario_a.log"
    for number, line in lines:
        if re.search(r"---> Using cache|^\S+ (?:#\d+ )?CACHED\b|\bCACHED \[", line):
            return FAIL, "a layer came from the cache", f"scenario_a.log:{number}"
    if not any("--no-cache" in line and " + " in line for _, line in lines):
        return FAIL, "the build did not say --no-cache", f"scenario_a.log:{lines[0][0]}"
    return PASS, "built with --no-cache, no layer from a cache", f"scenario_a.log:{lines[0][0]}"


def no_shortcut_image(evidence: Evidence) -> Finding:
    """No image that would shorten the build was on the host when it began."""
    name = "images_at_build.jsonl"
    if not (evidence.folder / name).exists():
        return SKIP, "the run did not get to the build", name
    for number, image in enumerate(evidence.json_lines(name), 1):
        if SHORTCUT.search(image["Repository"]):
            return FAIL, f"{image['Repository']}:{image['Tag']} was there", f"{name}:{number}"
    return PASS, "none was there", name


def no_compiler_cache(evidence: Evidence) -> Finding:
    """The compile called no compiler cache."""
    log = evidence.text("container/pip.log")
    if not log:
        return SKIP, "nothing was compiled", "container/pip.log"
    found = _find(log, re.compile(r"\bs?ccache\b"))
    if found:
        return FAIL, f"{found[1]} appears", f"container/pip.log:{found[0]}"
    return PASS, "neither ccache nor sccache appears", "container/pip.log"


def compiled_once(evidence: Evidence) -> Finding:
    """Exactly one call of ninja built objects, each object once, in one editable install."""
    built = [number for number, call in enumerate(evidence.ninja_calls, 1) if call.steps]
    done = {"event": "end", "phase": "compile"}
    if not any(done.items() <= event.items() for event in evidence.events):
        return SKIP, "the compile was not finished", "container/events.jsonl"
    if len(built) != 1:
        return FAIL, f"{len(built)} calls of ninja built objects", "container/ninja"
    steps = evidence.ninja_calls[built[0] - 1].steps
    return PASS, f"one call of ninja built {len(steps)} objects", f"container/ninja/{built[0]}/ninja_log"


def log_is_timestamped(evidence: Evidence) -> Finding:
    """Every line of the log carries its time, and commands are echoed before they run."""
    if not evidence.log:
        return SKIP, "there is no log", "scenario_a.log"
    for number, line in enumerate(evidence.log, 1):
        if not TIMESTAMP.match(line):
            return FAIL, "a line carries no time", f"scenario_a.log:{number}"
    commands = sum(" + " in line[:28] for line in evidence.log)
    if not commands:
        return FAIL, "no command was echoed", "scenario_a.log"
    return PASS, f"{len(evidence.log)} lines, {commands} commands echoed", "scenario_a.log"


def attention_test_passed(evidence: Evidence) -> Finding:
    """The attention test ran in this run's container, on the GPU, and passed."""
    events = {event["event"] for event in evidence.events if event["phase"] == "attention_test"}
    if "skip" in events:
        return SKIP, "no NVIDIA GPU answered on the host", "events.jsonl"
    if not events:
        return SKIP, "the run did not get to it", "events.jsonl"
    results = [line for line in evidence.text("attention_test.log").splitlines() if line.startswith("{")]
    try:
        result = json.loads(results[-1])
    except (IndexError, ValueError):
        return FAIL, "it gave no result", "attention_test.log"
    if "fail" in events or result.get("passed") is not True:
        return FAIL, f"it failed: largest error {result.get('max_abs_error')}", "attention_test.log"
    return PASS, f"on {result.get('device')}, largest error {result.get('max_abs_error'):.2g}", "attention_test.log"


def run_went_well(evidence: Evidence) -> Finding:
    """The script ended by itself with every phase done."""
    result = evidence.json("result.json") or {}
    if result.get("outcome") == "ok":
        return PASS, "every phase was done", "result.json"
    return (
        SKIP,
        f"the run {result.get('outcome', 'was interrupted')} in {result.get('phase') or 'no phase'}",
        "result.json",
    )


CHECKS: dict[str, Callable[[Evidence], Finding]] = {
    check.__name__: check
    for check in (
        run_went_well,
        configuration_has_no_shortcut,
        no_builder_image,
        dockerfile_takes_nothing_ready,
        no_shortcut_image,
        no_cached_layer,
        no_compiler_cache,
        compiled_once,
        log_is_timestamped,
        attention_test_passed,
    )
}


def _keys(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every key of nested objects, with the path to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key), key
            yield from _keys(inner, (*path, key))


def _find(text: str, pattern: re.Pattern[str]) -> tuple[int, str] | None:
    """Line number and text of the pattern's first match."""
    match = pattern.search(text)
    return (text.count("\n", 0, match.start()) + 1, match[0].strip()) if match else None


def _phase(evidence: Evidence, name: str) -> Iterator[tuple[int, str]]:
    """The log's lines of a phase, with their numbers."""
    inside = False
    for number, line in enumerate(evidence.log, 1):
        heading = re.search(r" === (\w+) ===$", line)
        if heading:
            inside = heading[1] == name
        if inside:
            yield number, line
