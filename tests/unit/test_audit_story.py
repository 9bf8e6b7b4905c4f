"""One story: evidence altered so that a part of it tells another, by somebody who makes the sums anew; and honest runs.

Each cheat is one that rules 1 did not see, which is tested as well.
"""

import json
import re
from datetime import datetime, timedelta

import evidence_sample
import pytest
from test_audit_cheats import CONTAINER, LONG_AGO, appended, at, both, changed, edit, edit_json, edited, lines

from provisioner.audit.checks import completeness, engine_times, identity, log_commands, times
from provisioner.audit.judge import judge
from provisioner.audit.rules import RULES
from provisioner.audit.verdict import sentence
from provisioner.runs.evidence import Evidence

FIRST = tuple(rule for rule in RULES if rule.since == 1)
EVENTS, INSIDE, LOG = "events.jsonl", "container/events.jsonl", "run.log"
# A time of day, and one in seconds or nanoseconds since the epoch, with nothing of a digit or a word beside it.
DATE = re.compile(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
EPOCH = re.compile(r"(?<![\w.])1[7-9]\d{8}(?:\d{9}|\.\d{9}|\.\d\d?)(?![\w.])")


@pytest.fixture
def folder(tmp_path):
    return evidence_sample.copy_with_gpu(tmp_path / "run")


def failed(folder, rules=RULES):
    return {check.name for check in judge(Evidence(folder), rules).checks if check.outcome == "fail"}


# ---- ways to alter it ------------------------------------------------------------------------------------------------


def later(text, seconds, since="", until="9"):
    """A text in which every time of day between two is another."""

    def moved(found):
        moment, digits = datetime.fromisoformat(found[0][:19] + "Z"), found[0][19:]
        shown = f"{moment + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}{digits}"
        return shown if since <= found[0] < until else found[0]

    return DATE.sub(moved, text)


def epoch_later(text, seconds, since):
    """The same of times since the epoch, whole seconds alone."""

    def moved(found):
        return (
            f"{int(found[0][:10]) + seconds}{found[0][10:]}"
            if float(f"{found[0][:10]}.{found[0][10:].lstrip('.')}") >= since
            else found[0]
        )

    return EPOCH.sub(moved, text)


def time_of(folder, name, event, phase):
    events = [json.loads(line) for line in (folder / name).read_text().splitlines()]
    (found,) = [one["time"] for one in events if (one["event"], one["phase"]) == (event, phase)]
    return found


def set_clock(folder, since, seconds):
    """Let the host's clock have been set by so many seconds at a moment: whatever was noted later has the new time."""
    moment = datetime.fromisoformat(since).timestamp()
    for path in [
        path for path in folder.rglob("*") if path.is_file() and "files" not in path.relative_to(folder).parts
    ]:
        text = path.read_text()
        if path.name not in {"run.json", "base_image.json", "base_image_before.json", "base_image_history.jsonl"}:
            path.write_text(epoch_later(later(text, seconds, since), seconds, moment))
    evidence_sample.seal(folder)


def uptimes(name, event, phase, by):
    """Move one event in uptime, and its time of day with it."""

    def move(events):
        for one in events:
            if (one["event"], one["phase"]) == (event, phase):
                one["uptime"] = round(one["uptime"] + by, 2)
                one["time"] = later(one["time"], by)

    return lines(name, move)


def a_pause(folder):
    """All until the build happened five minutes earlier, and the log says so."""
    until = time_of(folder, EVENTS, "begin", "image_build")

    def earlier(events):
        at = next(at for at, one in enumerate(events) if one["phase"] == "image_build")
        for one in events[:at]:  # by their places: what came before may have the same time
            one.update(uptime=one["uptime"] - 300, time=later(one["time"], -300))

    for name in (LOG, "docker_events.jsonl", "run.json"):
        (folder / name).write_text(later((folder / name).read_text(), -300, "", until))
    edit_json(folder / "run.json", lambda run: run.update(started_at=run["started_at"][:19] + "Z"))
    lines(EVENTS, earlier)(folder)


def to_and_fro(folder):
    """A clock that was off for one event only, so that objects of an hour before seem to be of the compile."""
    lines(INSIDE, lambda events: events[2].update(time=later(events[2]["time"], -3600)))(folder)


def another_id(folder):
    edit_json(folder / "run.json", lambda run: run.update(run_id="20261201T000000Z-abcdef"))


def another_runtime(folder):
    """No check of images, since there is none: by run.json alone."""
    edit_json(folder / "run.json", lambda run: run.update(runtime="native"))
    edit(
        folder / "attention_test.log",
        '"host": "',
        f'"host": "{json.loads((folder / "environment.json").read_text())["host"]}", "was": "',
    )


def log_of_another_hour(folder):
    (folder / LOG).write_text(later((folder / LOG).read_text(), -3600))


def heading_moved(folder):
    edit(
        folder / LOG,
        r"^\S+( (\[\S+\] )?=== compile ===)$",
        later(time_of(folder, INSIDE, "begin", "compile"), -60) + r"\1",
    )


def summed(name):
    def alter(folder):
        evidence_sample.seal(folder)
        edit(folder / name, r"^\w{64}(?=  \.devcontainer/post-create)", "0" * 64)

    return alter


def not_listed(folder):
    image = json.loads((folder / "image_inspect.json").read_text())[0]["Id"]
    edit(folder / "images_after.jsonl", f"^.*{image}.*\n", "")


def emptied(name):
    return lambda folder: (folder / name).write_text("")


def gone(name):
    return lambda folder: at(folder, name).unlink()


CHEATS = {
    "runtime_is_that_of_the_inputs": {"native, so that no image is looked at": another_runtime},
    "it_is_one_run_on_one_host": {
        "an earlier run under a new name": another_id,
        "a clone in another container": changed("container/environment_before.json", lambda now: now.update(host="a")),
        "a compile before the restart": changed("environment.json", lambda now: now.update(boot_id="1")),
        "an engine of another machine": changed("docker_version.json", lambda now: now["Server"].update(Version="1")),
        "a kernel of another machine": changed("machine.json", lambda machine: machine.update(kernel="6.1.0-x")),
        "evidence of another run's container": changed(
            CONTAINER,
            lambda made: [
                mount.update(Source="/r/runs/x/container")
                for mount in made[0]["Mounts"]
                if "evidence" in mount["Destination"]
            ],
        ),
        "another container than came up": edited("up.json", r'"containerId":"\w{12}', '"containerId":"000000000000'),
        "a run that failed": changed("result.json", lambda result: result.update(exit_code=1, phase="compile")),
        "a boot that nobody tells of": both(
            *(
                changed(name, lambda told: told.pop("boot_id"))
                for name in ("run.json", "environment.json", "container/environment_before.json")
            )
        ),
        "the CLI said that it failed": edited("up.json", '"outcome":"success"', '"outcome":"error"'),
        "another user inside": edited("up.json", '"remoteUser":"vscode"', '"remoteUser":"root"'),
        "another xformers than pip installed": changed(
            "packages.json",
            lambda made: [one.update(version="0.0.34") for one in made if one["name"] == "xformers"],
        ),
        "no settings": emptied("files/benchmarking/scenario.env"),
        "settings of another fork": edited(
            "files/benchmarking/scenario.env",
            "^XFORMERS_FORK_URL=.*",
            "XFORMERS_FORK_URL=https://other.example/x.git",
        ),
        "settings with a mount more": edited(
            "files/benchmarking/scenario.env", "^SCENARIO_MOUNTS=", "SCENARIO_MOUNTS=/opt/ready:/opt/ready:ro "
        ),
        "settings of other inputs": edited(
            "files/benchmarking/scenario.env", "^SCENARIO_INPUT_HASH=.", "SCENARIO_INPUT_HASH=x"
        ),
    },
    "phases_follow_each_other": {
        "a run that ended before its phases": uptimes(EVENTS, "end", "run", -5),
        "phases that overlap": uptimes(EVENTS, "end", "clean", 5),
        "a clone before the container": both(
            uptimes(INSIDE, "begin", "clone", -100), uptimes(INSIDE, "end", "clone", -100)
        ),
        "a pause in which something is made": a_pause,
        "a clock that went to and fro": to_and_fro,
        "a second clone": appended(
            INSIDE, '{"event":"begin","phase":"clone","uptime":1e9,"time":"2026-12-01T00:00:00.000Z"}\n'
        ),
    },
    "log_tells_the_same_times": {
        "the log of another hour": log_of_another_hour,
        "a compile that began earlier in the log": heading_moved,
        "phases of another order": both(
            edited(LOG, "=== clean ===", "=== was ==="),
            edited(LOG, "=== lay_down ===", "=== clean ==="),
            edited(LOG, "=== was ===", "=== lay_down ==="),
        ),
        "a start of another day": changed("run.json", lambda run: run.update(started_at="2026-11-30T09:00:00Z")),
    },
    "log_has_its_scripts_commands_alone": {
        "something copied into the container": edited(
            LOG, r"^(\S+)( .*=== compile ===)$", r"\1 + docker container cp /opt/ready/_C.so c6eb40935ab7:/tmp\n\1\2"
        ),
        "a wheel installed afterwards": edited(
            LOG, r"^(\S+ \[\S+\] )(\+ pre-commit install)$", r"\1+ python3 -m pip install --no-cache-dir x.whl\n\1\2"
        ),
        "an image that was loaded": edited(
            LOG, r"^(\S+)( === container_up ===)$", r"\1 + docker image load -i /opt/ready.tar\n\1\2"
        ),
    },
    "engine_tells_the_same_times": {
        "a base that was there and is said to have been pulled": lambda folder: (
            folder / "base_image_before.json"
        ).write_text("[]\n"),
        "an image of another day": changed("image_inspect.json", lambda image: image[0].update(Created=LONG_AGO)),
        "a container begun anew after the compile": changed(
            CONTAINER, lambda made: made[0]["State"].update(StartedAt="2099-01-01T00:00:00Z")
        ),
        "a container that was restarted": changed(CONTAINER, lambda made: made[0].update(RestartCount=1)),
        "a base that was exchanged": changed("base_image.json", lambda base: base[0].update(Id="sha256:1")),
        "events of another hour": lines(
            "docker_events.jsonl",
            lambda events: [event.update(timeNano=event["timeNano"] - 3600 * 10**9) for event in events],
        ),
        "an image that the engine has not got": not_listed,
    },
    "scripts_stayed_as_they_were": {
        "a script that was exchanged meanwhile": summed("scripts_after.sha256"),
        "a script that was another inside": summed("scripts_inside.sha256"),
    },
    "nothing_is_missing": {
        "what was written in the container": gone("container_diff.txt"),
        "what there was before the clone": gone("container/environment_before.json"),
        "the images of the end": emptied("images_after.jsonl"),
        "the engine's version": emptied("docker_version.json"),
        "the compile's time": gone("NINJA/cpu_seconds"),
    },
}
# These say of themselves that scripts were summed.
SUMMED = set(CHEATS["scripts_stayed_as_they_were"])


@pytest.mark.parametrize(("check", "name"), [(check, name) for check, cheats in CHEATS.items() for name in cheats])
def test_a_part_that_tells_another_story_is_caught_and_was_not_by_the_rules_before(folder, check, name):
    CHEATS[check][name](folder)
    (evidence_sample.seal_as_it_is if name in SUMMED else evidence_sample.seal)(folder)
    result = judge(Evidence(folder))
    assert result.verdict == "rejected"
    assert check in {each.name for each in result.checks if each.outcome == "fail"}
    assert failed(folder, FIRST) == set()


def test_every_check_of_the_story_has_a_cheat():
    modules = {module.__name__ for module in (completeness, engine_times, identity, log_commands, times)}
    assert set(CHEATS) == {rule.name for rule in RULES if rule.check.__module__ in modules}


# ---- no false alarm --------------------------------------------------------------------------------------------------


def test_the_run_with_a_gpu_is_accepted_and_nothing_is_told(folder):
    result = judge(Evidence(folder))
    assert (result.verdict, result.remarks) == ("accepted", [])


@pytest.mark.parametrize("seconds", [-3600, 3600, 30])
@pytest.mark.parametrize(
    ("name", "event", "phase"),
    [
        (EVENTS, "begin", "image_build"),
        (EVENTS, "end", "image_build"),
        (INSIDE, "begin", "clone"),
        (INSIDE, "end", "compile"),
        (EVENTS, "end", "run"),
    ],
)
def test_a_clock_that_was_set_during_the_run_is_told_and_no_cheat(folder, seconds, name, event, phase):
    set_clock(folder, time_of(folder, name, event, phase), seconds)
    assert failed(folder) == set()
    assert (
        sentence(judge(Evidence(folder)).model_dump())
        == f"accepted; the clock of its host was set by {seconds:+d} s meanwhile"
    )


def test_a_clock_that_was_set_in_the_middle_of_the_compile_is_no_cheat(folder):
    begun, ended = (datetime.fromisoformat(time_of(folder, INSIDE, event, "compile")) for event in ("begin", "end"))
    middle = begun + (ended - begun) / 2
    set_clock(folder, f"{middle:%Y-%m-%dT%H:%M:%S}.000Z", 3600)
    assert failed(folder) == set()


def test_a_busy_host_whose_log_lags_behind_is_no_cheat(folder):
    (folder / LOG).write_text(
        re.sub(r"^\S+", lambda found: later(found[0], 9), (folder / LOG).read_text(), flags=re.MULTILINE)
    )
    evidence_sample.seal(folder)
    assert failed(folder) == set()


def test_a_base_that_came_with_the_run_is_no_cheat(folder):
    (folder / "base_image_before.json").write_text("[]\n")
    edit(folder / "images_at_build.jsonl", r"^.*provisioner/cuda:.*\n", "")
    pull = '{"Type": "image", "Action": "pull", "Actor": {"ID": "provisioner/cuda:13.0-devel"}, "timeNano": %s}\n'
    events = folder / "docker_events.jsonl"
    events.write_text(pull % json.loads(events.read_text().splitlines()[0])["timeNano"] + events.read_text())
    evidence_sample.seal(folder)
    assert failed(folder) == set()


def test_a_base_that_was_there_by_another_name_is_no_cheat(folder):
    """As after a run from another registry: by this name it was pulled, and nothing came."""
    (folder / "base_image_before.json").write_text("[]\n")
    edit(folder / "images_at_build.jsonl", r"provisioner/cuda:", "mirror.example/provisioner/cuda:")
    evidence_sample.seal(folder)
    assert failed(folder) == set()


INSIDE_AT_THE_END = ("gpus.txt", "scripts_inside.sha256", "packages.json", "commit.txt", "tree.txt", "environment.json")


@pytest.mark.parametrize(
    "names",
    [
        INSIDE_AT_THE_END,
        *((name,) for name in ("container_diff.txt", "container_inspect.json", "container_image.json")),
        *((name,) for name in ("image_inspect.json", "images_after.jsonl", "base_image.json", "machine.json")),
        *((name,) for name in ("scripts_after.sha256", "docker_version.json", "devcontainer_configuration.json")),
        *((name,) for name in ("base_files.json", "toolchain.json", "built.json", "cpu_before.json", "cpu_after.json")),
        *((name,) for name in ("base_image_history.jsonl", "image_history.jsonl", "container_image_history.jsonl")),
        *((name,) for name in ("container_gpus.txt", "host_gpus.txt", "devcontainer_version.txt", "environment.json")),
    ],
    ids=lambda names: names[0],
)
def test_what_the_host_could_not_tell_is_told_and_the_run_is_incomplete(folder, names):
    """A command that gives evidence failed, which happens; the script says so."""
    for name in names:
        emptied(name)(folder)
    said = r"\1 evidence: docker container diff abc gave nothing: timeout"
    edit(folder / LOG, r"^(\S+) (.*=== evidence ===)$", rf"\1 \2\n{said}")
    evidence_sample.seal_as_it_is(folder)
    result = judge(Evidence(folder))
    assert (failed(folder), result.verdict) == (set(), "incomplete")
    (check,) = [check for check in result.checks if check.name == "nothing_is_missing"]
    assert (check.outcome, check.detail) == ("skip", f"the host could not tell what {min(names)} would")


def test_a_run_that_failed_is_accused_of_nothing(folder):
    """Its container was begun anew when it had."""
    (folder / "result.json").write_text('{"outcome": "failed", "exit_code": 1, "phase": "attention_test"}')
    edit_json(folder / CONTAINER, lambda made: made[0]["State"].update(StartedAt="2099-01-01T00:00:00Z"))
    evidence_sample.seal(folder)
    assert failed(folder) == set()


def test_an_old_run_under_a_new_name_is_told(folder):
    old = json.loads((folder / "run.json").read_text())["run_id"]
    for path in [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.sha256"]:
        path.write_text(path.read_text().replace(old, "20270115T101010Z-abcdef"))
    evidence_sample.seal(folder)
    assert "it is named after 2027-01-15 10:10:10" in sentence(judge(Evidence(folder)).model_dump())


def test_a_manifest_with_a_name_twice_is_none_that_the_host_wrote(folder):
    manifest = folder / "manifest.sha256"
    manifest.write_text(manifest.read_text() + manifest.read_text().splitlines()[0] + "\n")
    assert failed(folder) == {"evidence_is_whole"}


def test_what_was_there_before_the_clone_must_be_told(folder):
    edit_json(folder / "container/environment_before.json", lambda told: told.pop("package"))
    evidence_sample.seal(folder)
    assert failed(folder) == {"nothing_was_there_before"}
