"""Checks that all of the evidence tells one story: one run, on one host, in one order, by one clock, nothing missing.

How far apart two notes of one moment may be is stated below, and nothing in the evidence makes it more.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from datetime import datetime
from itertools import pairwise
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from provisioner.audit import laid_down, shipped
from provisioner.audit.compile import INSTALLED
from provisioner.audit.consistency import HEADING, sums
from provisioner.audit.engine import moment as time_of
from provisioner.audit.engine import same_image
from provisioner.audit.finding import Findings, failed, passed, skipped
from provisioner.audit.names import CONFIGURATION, DEVCONTAINER, EVENTS, INPUTS, LOG
from provisioner.runs.evidence import CLOCK_GRAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from provisioner.runs.evidence import Evidence

LAG = 20.0
"""Seconds from what happened to its line in the log, or from one program's note of it to another's, on a busy host."""
PAUSE = 20.0
"""Seconds between two phases, in which nothing happens but a note of the time."""
GLANCE = 60.0
"""Seconds in which git, or the driver of many GPUs, is asked between two phases."""
LOOK = 1800.0
"""Seconds in which the host looks at itself: before the first phase and before what was laid down, and at the end, when
the base alone may take ten minutes."""
PAUSES = {"lay_down": LOOK, "compile": GLANCE, "pre_commit": GLANCE, "attention_test": GLANCE}
"""Before which phase there may be more of one than PAUSE."""
MOST_SET = 86400.0
"""Seconds by which a clock is set in all during a run; more, or to and fro, no NTP sets it."""
TIMES_SET = 2
MOST_LATE = 3600.0
"""Seconds between the name that a controller gives a run and its beginning on the host, by two clocks."""
NAMED = re.compile(r"(\d{8}T\d{6}Z)(?:-|$)")
NEAR = 9
"""Lines from the log's beginning, or its end."""
SECOND = 1.0

CONTAINER_EVENTS = "container/events.jsonl"
BEFORE, AFTER = "container/environment_before.json", "environment.json"
CONTAINER = "container_inspect.json"
OF_IMAGE = ("image_inspect.json", "container_image.json", "base_image.json")
NATIVE = "native"
OF_NATIVE = frozenset({"native_checks.json"})
OF_CONTAINERS = frozenset(
    name
    for name in shipped.EVIDENCE
    if re.match(r"(images?|base|container|docker|devcontainer)_|(build|up)\.json|host_gpus", name)
)
"""What only a run in a container leaves."""
OF_GPUS = frozenset({"container_gpus.txt", "host_gpus.txt"})
"""Where the host has GPUs."""
OF_TEST = frozenset({"attention_test.log", "container/attention.jsonl"})
MAY_BE_EMPTY = frozenset(
    {"images_before.jsonl", "images_at_build.jsonl", "base_image_before.json", "base_image_cuda.txt", "gpus.txt"}
)
"""Where a host has no image yet, a base no nvcc, a machine no GPU."""
OF_WHEELS = frozenset({"wheels.txt", "bundle.json"})
"""Where pip had a folder to install from; wheels_are_those_of_the_bundle asks for them."""
OUTPUTS = "container/ninja/outputs"
"""One in the folder of each call that built something."""
OF_CALL = ("arguments", "build.ninja", "call.json", "cpu_seconds", "environment", "ninja_log", "samples", "tools")
# What scenario_a.sh says where a command that gives evidence failed: then the file is as empty as that left it.
GAVE_NOTHING = re.compile(r"^\S+ evidence: .* gave nothing: ")
# A command in the log by which something may come to where it is compiled; what else begins so may be any program's.
ECHOED = re.compile(
    r"^\S+ (?:\[\S+\] )?\+ ((?:\S*/)?"
    r"(?:docker|podman|nerdctl|ctr|devcontainer|pip[\d.]*|python[\d.]*|"
    r"cp|mv|rsync|scp|curl|wget|tar|unzip|git|ln|dd|mount) .*)$"
)
EXPANSION = re.compile(r"\$\{[^{}]*\}")
TELLS = re.compile(r"(?:^|\|\||&&|;)\s*(?:run|told)\s+(\S.*)$")
VERSION = re.compile(r"\bxformers-(\S+)")
OF_INPUTS = {
    "XFORMERS_USERNAME": "username",
    "XFORMERS_FORK_URL": "xformers_url",
    "XFORMERS_REF": "xformers_ref",
    "TORCH_CUDA_ARCH_LIST": "arch_list",
    "MAX_JOBS": "max_jobs",
    "SCENARIO_A_NVCC_THREADS": "nvcc_threads",
}
USER = "vscode"
"""Who the devcontainer's user is, where its configuration names none."""
BEGAN = re.compile(r"^\S+ Scenario A: run (\S+) in (/.*)$")
DONE = re.compile(r"^\S+ Scenario A is done: run (\S+)$")


# ---- which run, where ------------------------------------------------------------------------------------------------


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


def it_is_one_run_on_one_host(evidence: Evidence) -> Findings:
    """Log, mounts, labels, containers and what was seen inside name the run, its host and its boot as run.json does."""
    if evidence.outcome != "ok":
        yield skipped("the run did not get to its end", EVENTS)
        return
    for what, value, wanted, where in _named(evidence):
        if value != wanted:
            yield failed(f"{what} is {value}, not {wanted}", where)
    yield passed(f"run {evidence.run['run_id']}, boot {evidence.run.get('boot_id')}", "run.json")


def _named(evidence: Evidence) -> Iterator[tuple[str, Any, Any, str]]:
    """Say what names the run or its host: what it is, what it says, what it must say, and where.

    Evidence that the host could not give names nothing; that it is not there is told by another check.
    """
    run, container = evidence.run, evidence.inspected(CONTAINER)
    root = str(PurePosixPath(str(run.get("workspace"))).parent)
    # A warning may come before, and what something that was left had to say after.
    began = next(filter(None, map(BEGAN.match, evidence.log[:NEAR])), None)
    done = next(filter(None, map(DONE.match, evidence.log[-NEAR:])), None)
    yield "the run that the log begins with", began and began[1], run["run_id"], f"{LOG}:1"
    yield "the folder that the log begins with", began and began[2], root, f"{LOG}:1"
    yield "the run that the log ends with", done and done[1], run["run_id"], f"{LOG}:{len(evidence.log)}"
    host = run.get("host")
    if evidence.runtime == DEVCONTAINER:
        host = None
    if container:
        host = container["Config"]["Hostname"]
        labels = container["Config"].get("Labels") or {}
        mounts = {mount.get("Destination"): mount.get("Source") for mount in container.get("Mounts") or []}
        own = f"{root}/runs/{run['run_id']}/container"
        yield "the container's folder for evidence", mounts.get("/scenario-a-evidence"), own, CONTAINER
        yield "the container's label", labels.get("devcontainer.local_folder"), run.get("workspace"), CONTAINER
        for name in ("build.json", "up.json"):
            yield "what the Dev Container CLI says at its end", _said(evidence, name).get("outcome"), "success", name
        up = _said(evidence, "up.json")
        yield "the container that came up", up.get("containerId"), container["Id"], "up.json"
        user = evidence.mapping(CONFIGURATION).get("remoteUser") or USER
        yield "the user inside", up.get("remoteUser"), user, "up.json"
        image = next(iter(_said(evidence, "build.json").get("imageName") or []), None)
        named = str(container["Config"].get("Image")).removesuffix("-uid")
        yield "the image that was built", image, named, "build.json"
    machine, engine = evidence.mapping("machine.json"), evidence.mapping("docker_version.json").get("Server") or {}
    if machine and engine:
        yield "the engine", engine.get("Version"), machine.get("docker"), "docker_version.json"
        yield "the engine's kernel", engine.get("KernelVersion"), machine.get("kernel"), "docker_version.json"
    for name in (BEFORE, AFTER):
        inside = evidence.mapping(name)
        if not inside:
            continue
        yield "the host inside", inside.get("host"), host or inside.get("host"), name
        yield "the boot inside", inside.get("boot_id"), run.get("boot_id") or "told", name
        if machine:
            yield "the kernel inside", inside.get("kernel"), machine.get("kernel"), name
    result = evidence.mapping("result.json")
    yield "the exit code", result.get("exit_code"), 0, "result.json"
    yield "what stopped it", result.get("phase") or result.get("cause"), None, "result.json"
    yield from _packages(evidence)
    yield from _settings(evidence)


def _packages(evidence: Evidence) -> Iterator[tuple[str, Any, Any, str]]:
    """Say the same of what was installed: as pip lists it, as Python finds it, as pip said when it installed it."""
    after = evidence.mapping(AFTER)
    versions = after.get("versions") or {}
    listed = {package["name"].lower(): package["version"] for package in evidence.json("packages.json") or []}
    if not versions or not listed:
        return
    for package in ("torch", "triton"):
        yield f"the version of {package}", versions.get(package), listed.get(package), AFTER
    for distribution in after.get("installed") or []:
        yield "the version of xformers", distribution.get("version"), listed.get("xformers"), AFTER
    said = [found[1] for line in evidence.log if INSTALLED.search(line) and (found := VERSION.search(line))]
    for version in said:
        yield "the version of xformers that pip installed", version, listed.get("xformers"), LOG


def _settings(evidence: Evidence) -> Iterator[tuple[str, Any, Any, str]]:
    """Say the same of the settings, which the role makes of the inputs; who starts the script by hand may have none."""
    run, where = evidence.run, "files/benchmarking/scenario_a.env"
    settings = dict(line.split("=", 1) for line in evidence.text(where).splitlines() if "=" in line)
    if not settings:
        yield "the hash of the inputs", run.get("input_hash") or None, None, where
        return
    for name, what in (("INPUT_HASH", "input_hash"), ("RUNTIME", "runtime"), ("PROFILE", "profile")):
        told = settings.get(f"SCENARIO_A_{name}")
        yield f"{what} of the settings", told or None, run.get(what) or None, where
    inputs = evidence.mapping(INPUTS)
    for name, what in OF_INPUTS.items() if inputs else ():
        yield f"{name} of the settings", settings.get(name) or "", str(inputs.get(what) or ""), where
    mounts = sorted(f"{mount['source']}:{mount['target']}:ro" for mount in inputs.get("mounts") or [])
    if inputs:
        yield "mounts of the settings", sorted(settings.get("SCENARIO_A_MOUNTS", "").split()), mounts, where
        cold = bool(settings.get("SCENARIO_A_COLD_BASE"))
        yield "whether the base is removed first", cold, bool(inputs.get("cold_base")), where


def _said(evidence: Evidence, name: str) -> dict[str, Any]:
    """Return what the Dev Container CLI said at the end of a call."""
    lines = evidence.json_lines(name)
    return lines[-1] if lines and isinstance(lines[-1], dict) else {}


# ---- when ------------------------------------------------------------------------------------------------------------


def other_day(evidence: Evidence) -> list[str]:
    """Return a remark where the run's name, which is of when somebody started it, is of another time than its start."""
    found = NAMED.match(evidence.run["run_id"])
    if not found:
        return []
    named = datetime.strptime(f"{found[1]}+0000", "%Y%m%dT%H%M%SZ%z")
    if abs((evidence.started - named).total_seconds()) <= MOST_LATE:
        return []
    return [f"it is named after {named:%Y-%m-%d %H:%M:%S}, and began at {evidence.started:%Y-%m-%d %H:%M:%S}"]


def phases_follow_each_other(evidence: Evidence) -> Findings:
    """Each phase began and ended once, in order, without a gap; those inside lie within container_up, all in a run."""
    if evidence.outcome != "ok":
        yield skipped("the run did not get to its end", EVENTS)
        return
    host, inside = evidence.json_lines(EVENTS), evidence.json_lines(CONTAINER_EVENTS)
    skips = {event["phase"] for event in host if event["event"] == "skip"}
    phases = [_phase(name, skips) for name in ("clean", "lay_down", "image_build", "container_up", "attention_test")]
    wanted = [("begin", "run"), *(event for phase in phases for event in phase), ("end", "run")]
    within = [event for name in ("clone", "compile", "pre_commit") for event in _phase(name, set())]
    for name, events, expected in ((EVENTS, host, wanted), (CONTAINER_EVENTS, inside, within)):
        if [(event["event"], event["phase"]) for event in events] != expected:
            yield failed("the phases are not a run's, each once and in order", name)
            return
        for before, event in pairwise(events):
            passes = float(event["uptime"]) - float(before["uptime"])
            most = PAUSES.get(event["phase"], PAUSE)
            between = event["event"] != "end" or event["phase"] == "run"
            if passes < 0 or (between and passes > most):
                ends = f"{before['event']} {before['phase']} to {event['event']} {event['phase']}"
                yield failed(f"from {ends} it is {passes:.1f} s", name)
    begun, ended = evidence.window("container_up") or (0.0, 0.0)
    if not begun <= float(inside[0]["uptime"]) <= float(inside[-1]["uptime"]) <= ended:
        yield failed("what ran inside does not lie within container_up", CONTAINER_EVENTS)
    yield from _clock_was_set_otherwise(evidence)
    yield passed("each once, in order, within the run", EVENTS)


def _phase(name: str, skips: set[str]) -> list[tuple[str, str]]:
    """Return the events of a phase; image_build and attention_test may have been skipped."""
    if name in skips & {"image_build", "attention_test"}:
        return [("skip", name)]
    return [("begin", name), ("end", name)]


def _clock_was_set_otherwise(evidence: Evidence) -> Findings:
    """Say where the clock moved as nothing moves it that sets clocks."""
    moved = [seconds for _, seconds in evidence.clock_set()]
    if not all(isinstance(event.get("time"), str) for event in evidence.events):
        yield failed("an event does not tell the time of day", EVENTS)
    if len(moved) > TIMES_SET or abs(sum(moved)) > MOST_SET or (moved and min(moved) < 0 < max(moved)):
        yield failed(f"the clock was set by {', '.join(f'{seconds:+.1f}' for seconds in moved)} s", EVENTS)


def log_tells_the_same_times(evidence: Evidence) -> Findings:
    """The log's lines follow each other in time, from the run's beginning, and phases begin there when they began."""
    if evidence.outcome != "ok":
        yield skipped("the run did not get to its end", LOG)
        return
    times = [datetime.fromisoformat(line[:24]).timestamp() for line in evidence.log]
    backwards = [number for number, (one, other) in enumerate(pairwise(times), 2) if other < one - SECOND]
    if len(backwards) > sum(seconds < 0 for _, seconds in evidence.clock_set()):
        yield failed("the log's time goes back", f"{LOG}:{backwards[0]}")
    for number, (line, moment) in enumerate(zip(evidence.log, times, strict=True), 1):
        # The Dev Container CLI's own time of a line, which is mostly the same to the second.
        if line[24:27] == " [2" and line[26:45] != line[:19] and abs(time_of(line[26:50]) - moment) > LAG:
            yield failed(f"the line is of {line[26:50]}", f"{LOG}:{number}")
    headings = [
        (found[1], times[number], number + 1)
        for number, line in enumerate(evidence.log)
        if (found := HEADING.match(line)) and found[1] != "evidence"
    ]
    begun = [event for event in evidence.events if event["event"] == "begin" and event["phase"] != "run"]
    if [name for name, _, _ in headings] != [event["phase"] for event in begun]:
        yield failed("the phases are not those that began, in their order", LOG)
        return
    for event, (name, moment, number) in zip(begun, headings, strict=True):
        if abs(time_of(event["time"]) - moment) > LAG:
            yield failed(f"{name} began at {event['time']} by the events", f"{LOG}:{number}")
    begin, end = evidence.window("run") or (0.0, 0.0)
    started = evidence.started.timestamp()
    if abs(started - times[0]) > LAG or not evidence.within(started, (begin - LOOK, begin), SECOND):
        yield failed(f"the run started at {evidence.run['started_at']} by run.json", f"{LOG}:1")
    if not evidence.within(times[-1], (end, end + LOOK), SECOND):
        yield failed("the log does not end after the run", f"{LOG}:{len(times)}")
    yield passed(f"{len(times)} lines, {len(headings)} phases", LOG)


def log_has_its_scripts_commands_alone(evidence: Evidence) -> Findings:
    """Each command that the log echoes is one that the scripts which were laid down run and tell of."""
    if not laid_down.made_of(evidence, shipped.load()) or not evidence.log:
        yield skipped("the scripts are none that are known here, or there is no log", LOG)
        return
    known = [pattern for name in evidence.entries if name.endswith(".sh") for pattern in _told_by(evidence.text(name))]
    seen = 0
    for number, line in enumerate(evidence.log, 1):
        echoed = ECHOED.search(line)
        seen += bool(echoed)
        if echoed and not any(pattern.fullmatch(echoed[1]) for pattern in known):
            yield failed(f"{echoed[1]:.80} was run", f"{LOG}:{number}")
    yield passed(f"{seen} commands", LOG)


def _told_by(script: str) -> Iterator[re.Pattern[str]]:
    """Give a pattern for each command that a script of ours runs by `run`, or tells of; variables are anything."""
    for line in script.replace("\\\n", " ").splitlines():
        found = TELLS.search(line)
        if not found or line.lstrip().startswith("#"):
            continue
        words = shlex.split(EXPANSION.sub("$", found[1]))
        ends = (at for at, word in enumerate(words) if word in {"|", "||", "&&", "2>&1", ";"})
        words = words[: next(ends, len(words))]
        first = r"\S+" if "$" in words[0] else re.escape(words[0])
        # What is quoted in the log in another way than in the script is as good as a variable.
        rest = ("(?: .*)?" if re.search(r"[^\w./:=@+-]", word) else f" {re.escape(word)}" for word in words[1:])
        if words[0] != "$@":
            yield re.compile(first + re.sub(r"(?:\(\?: \.\*\)\?)+", lambda _: "(?: .*)?", "".join(rest)))


def engine_tells_the_same_times(evidence: Evidence) -> Findings:
    """Image and container were made when their phases ran, by their own dates and by the engine's events."""
    container = evidence.inspected(CONTAINER)
    run, up = evidence.window("run"), evidence.window("container_up")
    cloned = evidence.begun("clone")
    image, used, base = (evidence.inspected(name) for name in OF_IMAGE)
    kept = {row.get("id") for row in evidence.json_lines("images_after.jsonl")}
    known = container and image and used and base and kept
    if evidence.outcome != "ok" or not known or run is None or up is None or cloned is None:
        # The container of a run that failed is begun anew, which ends what still runs in it.
        yield skipped("the run did not get to its end, or the engine did not tell", CONTAINER)
        return
    begun = (container.get("State") or {}).get("StartedAt")
    if container.get("RestartCount") or not evidence.within(time_of(begun), (up[0], cloned), CLOCK_GRAIN):
        yield failed(f"the container was started at {begun}, not once and before the clone", CONTAINER)
    if not evidence.within(time_of(image.get("Created")), evidence.window("image_build"), SECOND):
        yield failed(f"the image is of {image.get('Created')}", "image_inspect.json")
    if used.get("Id") != image.get("Id") and not evidence.within(time_of(used.get("Created")), up, SECOND):
        yield failed(f"the container's image is of {used.get('Created')}", "container_image.json")
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
    for name, one in zip(OF_IMAGE, (image, used, base), strict=True):
        if one.get("Id") not in kept:
            yield failed("the engine does not list it at the end", name)
    yield from _events_of_another_time(evidence, container, (run[0] - LOOK, run[1] + LOOK))
    yield passed("image and container are of their phases", CONTAINER)


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


# ---- all of it -------------------------------------------------------------------------------------------------------


def scripts_stayed_as_they_were(evidence: Evidence) -> Findings:
    """When the run had ended the scripts had the sums that they began with, on the host and as seen from inside."""
    began = {
        name.removeprefix("files/"): hashlib.sha256(evidence.content(name)).hexdigest()
        for name in evidence.entries
        if name.startswith("files/")
    }
    site_ca = sums(evidence.text("site_ca.sha256"))
    ends = {name: sums(evidence.text(name)) for name in ("scripts_after.sha256", "scripts_inside.sha256")}
    if evidence.outcome != "ok" or not all(ends.values()):
        yield skipped("the host did not come to sum its scripts again", min(ends, key=lambda name: len(ends[name])))
        return
    for where, end in ends.items():
        differing = {name for name in began if end.get(name) != began[name]}
        differing |= {name for name in site_ca if end.get(name, site_ca[name]) != site_ca[name]}
        added = {name for name in end.keys() - began.keys() - laid_down.OWN if "__pycache__" not in name}
        for name in sorted(differing | added):
            yield failed(f"{name} was another file at the end", where)
    yield passed(f"{len(began)} files", "scripts_after.sha256")


def nothing_is_missing(evidence: Evidence) -> Findings:
    """Every file is there that a run of this runtime and outcome writes, and has something in it."""
    if evidence.outcome != "ok":
        yield skipped("the run did not get to its end", "result.json")
        return
    made_of = laid_down.made_of(evidence, shipped.load())
    wanted = set(made_of.evidence if made_of else shipped.EVIDENCE)
    wanted -= OF_CONTAINERS if evidence.runtime == NATIVE else OF_NATIVE
    if not evidence.ended("attention_test"):
        wanted -= OF_TEST
    if not evidence.mapping("machine.json").get("gpus"):
        wanted -= OF_GPUS
    of_call = (*OF_CALL, "outputs") if OUTPUTS in wanted else OF_CALL
    wanted |= {f"{call.folder}/{name}" for call in evidence.builds for name in of_call}
    missing, empty = _not_there(evidence, wanted - OF_WHEELS - {OUTPUTS})
    for name in missing:
        yield failed(f"there is no {name}, and such a run writes it", "run.json")
    excused = [number for number, line in enumerate(evidence.log, 1) if GAVE_NOTHING.match(line)]
    if not missing and empty and excused:
        yield skipped(f"the host could not tell what {empty[0]} would", f"{LOG}:{excused[0]}")
        return
    for name in empty:
        yield failed("it is empty", name)
    yield passed(f"{len(wanted)} kinds of evidence", "run.json")


def untold(evidence: Evidence) -> frozenset[str]:
    """Return the files without content that the host could not write.

    The log says so where a command that gives evidence failed. A run that was cut off before it summed its evidence,
    by a power cut say, came to write only some of it.
    """
    if evidence.outcome != "ok" and not sums(evidence.text("manifest.sha256")):
        names = set(shipped.EVIDENCE)
    elif any(map(GAVE_NOTHING.match, evidence.log)):
        names = {name for name, is_file in evidence.entries.items() if is_file}
    else:
        return frozenset()
    return frozenset(name for name in names - MAY_BE_EMPTY if not _has_content(evidence, name))


def _has_content(evidence: Evidence, name: str) -> bool:
    """Return whether a file has anything in it; a folder has."""
    if evidence.entries.get(name):
        return bool(evidence.content(name).strip())
    return any(entry.startswith(f"{name}/") for entry in evidence.entries)


def _not_there(evidence: Evidence, wanted: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return which of these are not there, and which have nothing in them."""
    missing, empty = [], []
    for name in sorted(wanted):
        if _has_content(evidence, name):
            continue
        if not evidence.entries.get(name):
            missing.append(name)
        elif name not in MAY_BE_EMPTY:
            empty.append(name)
    return missing, empty
