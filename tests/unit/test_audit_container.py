"""The container and its build: evidence of one that had more than the run asked for, its sums made anew by a forger."""

import json

import evidence_sample
import pytest
from test_audit_cheats import CONFIGURATION, CONTAINER, MERGED, both, changed, edit, edit_json, lines
from test_audit_story import emptied, failed

from provisioner.audit.checks import container
from provisioner.audit.rules import RULES

ELSEWHERE = "/usr/local/lib/python3.11/dist-packages"
EVENTS = "docker_events.jsonl"
LAYER = "sha256:" + "7" * 64


@pytest.fixture
def folder(tmp_path):
    return evidence_sample.copy_with_gpu(tmp_path / "run")


def made(**what):
    """Alter the container, as the engine tells of it."""
    return changed(CONTAINER, lambda found: found[0].update(what))


def host(**what):
    return changed(CONTAINER, lambda found: found[0]["HostConfig"].update(what))


def variable(old, new):
    def alter(found):
        config = found[0]["Config"]
        config["Env"] = [one.replace(old, new) for one in config["Env"]]

    return changed(CONTAINER, alter)


def mounted(**what):
    return changed(CONTAINER, lambda found: found[0]["Mounts"].append(found[0]["Mounts"][-1] | what))


def command(*words):
    return changed(
        CONTAINER,
        lambda found: (found[0].update(Args=list(words)), found[0]["Config"].update(Cmd=list(words))),
    )


def configured(**what):
    def alter(folder):
        edit_json(folder / CONFIGURATION, lambda found: found.update(what))
        edit_json(folder / MERGED, lambda found: [found[part].update(what) for part in found if "onfig" in part])

    return alter


def without(action, *, but=""):
    def alter(folder):
        kept = [json.loads(line) for line in (folder / EVENTS).read_text().splitlines()]
        kept = [one for one in kept if one["Action"] != action or (but and one["Actor"]["ID"].startswith(but))]
        (folder / EVENTS).write_text("".join(f"{json.dumps(one)}\n" for one in kept))

    return alter


def only_its_own_container(folder):
    own = json.loads((folder / CONTAINER).read_text())[0]["Id"]
    without("create", but=own)(folder)


def tagged(name=None):
    """Let the name have been another image's for a while."""

    def alter(events):
        (of, *_) = [one for one in events if one["Action"] == "tag"]
        other = json.loads(json.dumps(of))
        other["Actor"]["ID"] = LAYER
        other["Actor"]["Attributes"]["name"] = name or of["Actor"]["Attributes"]["name"]
        events.insert(events.index(of) + 1, other)

    return lines(EVENTS, alter)


def a_layer_more(folder):
    for name in ("image_inspect.json", "container_image.json"):
        edit_json(folder / name, lambda image: image[0]["RootFS"]["Layers"].insert(3, LAYER))


CHEATS = {
    "container_is_what_was_asked_for": {
        "sources over Python's packages": changed(
            CONTAINER, lambda found: found[0]["Mounts"][-1].update(Destination=ELSEWHERE)
        ),
        "the workspace once more": mounted(Destination="/usr/local/cuda"),
        "a bind that no mount shows": host(Binds=[f"/opt/ready:{ELSEWHERE}"]),
        "another container's volumes": host(VolumesFrom=["ready"]),
        "privileged": host(Privileged=True),
        "the host's processes": host(PidMode="host"),
        "a disk": host(Devices=[{"PathOnHost": "/dev/sdb"}]),
        "more jobs than the run had": variable("MAX_JOBS=2", "MAX_JOBS=64"),
        "another fork": variable("file:///sources/xformers.git", "https://other.example/x.git"),
        "a command that brings something": command("-c", 'cp -r /opt/ready/. /usr/; exec "$@"', "-"),
        "another user": changed(CONTAINER, lambda found: found[0]["Config"].update(User="builder")),
        "another folder": changed(CONTAINER, lambda found: found[0]["Config"].update(WorkingDir="/opt")),
        "another configuration": changed(
            CONTAINER, lambda found: found[0]["Config"]["Labels"].update({"devcontainer.config_file": "/opt/x.json"})
        ),
        "it had ended": changed(CONTAINER, lambda found: found[0]["State"].update(Running=False)),
        "options that are taken out": configured(runArgs=["--device", "/dev/fuse"]),
    },
    "build_is_in_log_and_events": {
        "a log without the build": lambda folder: edit(folder / "run.log", r"^.*Step 8/13.*\n", ""),
        "no container was made by a step": only_its_own_container,
        "the name was another image's": tagged(),
        "the base was another image": tagged("provisioner/cuda:13.0-devel"),
        "another image's history": lines("image_history.jsonl", lambda rows: rows[0].update(ID=LAYER)),
        "a layer that no step made": a_layer_more,
    },
}


@pytest.mark.parametrize(("check", "name"), [(check, name) for check, cheats in CHEATS.items() for name in cheats])
def test_more_than_was_asked_for_is_caught(folder, check, name):
    CHEATS[check][name](folder)
    evidence_sample.seal(folder)
    assert check in failed(folder)


def test_every_check_of_the_container_has_a_cheat():
    assert set(CHEATS) == {rule.name for rule in RULES if rule.check.__module__ == container.__name__}


HONEST = {
    "a name that the site gives": both(
        configured(runArgs=["--hostname", "builder"]),
        changed(CONTAINER, lambda found: found[0]["Config"].update(Hostname="builder")),
    ),
    "the host's network": both(
        configured(runArgs=["--network=host"]),
        host(NetworkMode="host"),
        changed(CONTAINER, lambda found: found[0]["Config"].update(Hostname="vm")),
    ),
    "a debugger": both(configured(capAdd=["SYS_PTRACE"]), host(CapAdd=["SYS_PTRACE"])),
    "the image's own command": command("-c", 'echo Container started\nexec "$@"', "-", "tail", "-f", "/dev/null"),
    "an engine that does not tell of tags": without("tag"),
    "a step that was cut in two": lambda folder: edit(
        folder / "run.log", r"^(\S+) (.*)(Step 8/13 .*)$", r"\1 \2Ste\n\1 p 8/13 : RUN python3"
    ),
}


@pytest.mark.parametrize("name", HONEST)
def test_what_a_site_may_ask_for_is_no_cheat(folder, name):
    HONEST[name](folder)
    evidence_sample.seal(folder)
    assert failed(folder) & set(CHEATS) == set()


def test_a_container_that_the_engine_did_not_tell_of_is_accused_of_nothing(folder):
    emptied("container_image.json")(folder)
    evidence_sample.seal(folder)
    assert failed(folder) & set(CHEATS) == set()
