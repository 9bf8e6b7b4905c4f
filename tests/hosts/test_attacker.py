"""A host that was taken over, beside a good one: it fails alone, in a line, and nothing of this machine is its own.

A run takes a sample, other attacks each day; ATTACKS=all takes all of them.
"""

import base64
import gzip
import io
import json
import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml
from sample import TODAY, chosen

MARK = "attacked-by-host"
RUN = "20260101T000000Z-aaaaaa"
ESCAPE = "\x1b[2J\u202e\nprovisioner: gpu: everything is fine"

ENDED = {"run_id": RUN, "started_at": "2026-01-01T00:00:00Z", "outcome": "ok", "phase": None, "cause": None}
LISTED = {"run_id": RUN, "scenario_a_ended": [ENDED | {"collected": False}]}
PROGRESS = {"run_id": RUN, "state": "running", "phase": "compile", "elapsed": 1, "phase_elapsed": 1}


def archive(*members, run=RUN):
    """A tar.gz in base64: of each name below the run's folder its text, or how many bytes of zeros it has."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(f"{run}/{name}")
            packed = content.encode() if isinstance(content, str) else bytes(content)
            member.size = len(packed)
            tar.addfile(member, io.BytesIO(packed))
    return base64.b64encode(gzip.compress(data.getvalue(), 1)).decode()


def packs(*members, run=RUN, listed=LISTED):
    """Answers of a host with a run that nobody has collected."""
    return {"listed": ["json", listed], "packed": ["json", {"archive": archive(*members, run=run)}]}


def deep(levels):
    return ["raw", '{"looks": ' + "[" * levels + "]" * levels + "}"]


FORGED = json.dumps({"run_id": RUN, "host": "good", "schema": "scenario-a/1"})

# The site's CA bundle is off, says the host, and where the controller has that, it says as well.
FACTS = {"site_ca_bundle": "SECRET", "provisioner_state_dir": f"/tmp/{MARK}"}
DRIFT = {"what": "/etc/provisioner/site-ca.crt", "from": "absent", "to": "present"}
ROLES = ("gpu_driver", "docker_engine", "nvidia_container_toolkit", "devcontainer_cli")
OFF = {
    "site": {"changes": [DRIFT], "apt": False},
    "local_sources": {"changes": [], "bundle": False, "image": False, "repository": False, "closed": False},
    **{role: {"changes": [], "install": False, "skipped": "no GPU"} for role in ROLES},
}

# What the host answers, the commands that this is against, and what is said of it.
MODES = {
    "no object": ({"look": ["json", {"looks": [1]}]}, ["plan", "prepare"], "a list is not an object"),
    "no JSON": (
        {"look": ["raw", "{"], "scenario_a_run": ["raw", "{"]},
        ["plan", "status"],
        "not what was asked for|deserialization",
    ),
    "nothing": (
        {"look": ["raw", ""], "host_checks": ["raw", "{}"]},
        ["plan", "doctor"],
        "look failed|no host_findings",
    ),
    "deep": ({"look": deep(100), "listed": deep(400)}, ["plan", "status"], "not what was asked for"),
    "deeper": ({"look": deep(100000), "listed": deep(100000)}, ["plan", "status"], "not what was asked for|deeper"),
    "large": ({"look": ["megabytes", 300], "listed": ["megabytes", 300]}, ["plan", "status"], "larger|in time"),
    "a number that is text": (
        {"planned": ["json", {"run_id": RUN, "scenario_a_planned": {"would": 1}}]},
        ["plan"],
        "1 is not measure",
    ),
    "not a number": (
        {
            "listed": [
                "json",
                {"run_id": RUN, "scenario_a_ended": [], "scenario_a_progress": PROGRESS | {"elapsed": float("nan")}},
            ]
        },
        ["status"],
        "elapsed: nan is not a length of time",
    ),
    "findings of other types": (
        {"host_checks": ["json", {"host_findings": [{"check": ["x"], "outcome": "fine"}], "host_clock": [1, 2]}]},
        ["doctor"],
        "check: a list is not a text",
    ),
    "a clock that is none": (
        {"host_checks": ["json", {"host_findings": [], "host_clock": ["now", {}]}]},
        ["doctor"],
        "host_clock: 'now' is not a number",
    ),
    "busy with no list": (
        {"look": ["json", {"failed": True, "msg": "x", "busy": {"a": 1}}]},
        ["plan", "prepare"],
        "busy: an object is not a list",
    ),
    "inputs that it calls wrong": (
        {
            "look": ["json", {"failed": True, "msg": "x", "invalid_inputs": True}],
            "host_checks": ["json", {"failed": True, "msg": "x", "invalid_inputs": True}],
        },
        ["plan", "doctor"],
        'evil: failed|"evil".*"message": "x"',
    ),
    "a lock of nobody": (
        {
            "look": ["json", {"looks": OFF}],
            "mending": ["json", {"job": "../x", "waiting_for": "", "stale": False, "holder": {"identity": 1}}],
        },
        ["prepare"],
        "'../x' is not the job of a lock",
    ),
    "statistics of its own": (
        {
            "look": ["json", {"looks": {}, "ansible_stats": "data"}],
            "scenario_a_run": ["json", {"ansible_stats": "data"}],
        },
        ["plan", "status"],
        "it has no run_id",
    ),
    "a host of its own": (
        {
            "look": [
                "json",
                {"looks": {}, "add_host": {"host_name": MARK, "host_vars": {"ansible_connection": "local"}}},
            ],
            "planned": ["json", {}],
        },
        ["plan"],
        "it has no run_id",
    ),
    "a run id that is a path": (
        {
            "listed": [
                "json",
                {
                    "run_id": f"/tmp/{MARK}",
                    "scenario_a_ended": [ENDED | {"run_id": f"../../../{MARK}", "collected": False}],
                },
            ]
        },
        ["clean", "status"],
        "is not the id of a run",
    ),
    "a path in its archive": (
        packs((f"../../../../{MARK}", "x"), ("result.json", "{}")),
        ["clean"],
        "not the path of a file",
    ),
    "another run in its archive": (
        packs(("result.json", "{}"), ("run.json", json.dumps({"run_id": f"../{MARK}"}))),
        ["clean"],
        "is not the id of a run",
    ),
    "a record of another host": (packs(("result.json", "{}"), ("record.json", FORGED)), ["clean"], "holds no run"),
    "zeros without end": (packs(("result.json", "{}"), ("zeros", 200 * 2**20)), ["clean"], "more than 128 MiB"),
    "escapes": (
        {
            "look": ["json", {"failed": True, "msg": ESCAPE}],
            "scenario_a_run": ["json", {"failed": True, "msg": ESCAPE}],
        },
        ["plan", "status", "clean"],
        "evil: failed",
    ),
    "escapes in what is off": (
        {
            "look": [
                "json",
                {"looks": {"site": {"changes": [{"what": ESCAPE, "from": ESCAPE, "to": ESCAPE}], "notes": [ESCAPE]}}},
            ],
            "planned": ["json", {"run_id": None, "scenario_a_planned": {"would": "refuse", "detail": ESCAPE}}],
        },
        ["plan"],
        "would refuse",
    ),
    "facts": (
        {"look": ["json", {"looks": OFF, "off": [DRIFT], "waiting_for": "", "ansible_facts": FACTS}]},
        ["prepare"],
        "is still absent",
    ),
}
WELL = {"escapes in what is off": 5}
"""Exit codes of modes in which the host answers as it should."""


@pytest.fixture(scope="module")
def pair(make_lab, tmp_path_factory):
    """A good host and one that was taken over: an inventory of both, and a way to ask the latter's container."""
    import docker  # noqa: PLC0415 - as short.py does

    lab = make_lab("attacked", count=2)
    hosts = yaml.safe_load(lab.inventory.read_text())["all"]["hosts"]
    good, evil = sorted(hosts)
    folder = tmp_path_factory.mktemp("attacked")
    named = {"good": hosts[good], "evil": hosts[evil] | {"ansible_python_interpreter": "/root/attacker"}}
    # What prepare would install is not what this is about: the fewest roles.
    variables = {"provisioner_profile": "registries", "scenario_a_runtime": "native"}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"vars": variables, "hosts": named}}))
    container = docker.from_env().containers.get(f"provisioner-{evil}")

    def put(name, content, mode=0o755):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
        container.put_archive("/root", data.getvalue())

    put("attacker", (Path(__file__).parent / "attacker.py").read_bytes())
    return folder / "hosts.yml", put, container


def strict(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


ATTACKS = {f"{mode}: {command}": (mode, command) for mode in MODES for command in MODES[mode][1]}
SAMPLE = 8


@pytest.mark.parametrize("attack", chosen(os.environ.get("ATTACKS", ""), list(ATTACKS), TODAY, SAMPLE))
def test_it_fails_alone_and_nothing_of_this_machine_is_its_own(pair, provisioner, tmp_path, attack):
    mode, command = ATTACKS[attack]
    inventory, put, container = pair
    answers, _, said = MODES[mode]
    secret = tmp_path / "secret.pem"
    secret.write_text("s3cret of the controller")
    secret.chmod(0o600)
    put("answers.json", json.dumps(answers).replace("SECRET", str(secret)).encode())
    container.exec_run("rm -f /root/sent")
    state = tmp_path / "state"
    for_people = mode.startswith("escapes")
    done = provisioner(command, "-i", inventory, "--state-dir", state, *([] if for_people else ["--json"]))
    for text in (done.stdout, done.stderr):
        assert "Traceback" not in text and "fault in provisioner" not in text
        # Of what a host says nothing is obeyed, and no line of ours is its own.
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
        assert "\nprovisioner: gpu" not in text
    document = {} if for_people else strict(done.stdout)
    assert "good: failed" not in done.stderr, done
    if said:
        assert any(re.search(said, line) for line in done.stderr.splitlines() if "evil" in line), done
        assert done.code == WELL.get(mode, 1), done
    if "hosts" in document and command != "plan":
        assert not document["hosts"]["good"]["failed"]
    if command == "plan" and document:
        assert document["hosts"]["good"]["run"]["would"] == "measure"
    if command == "doctor" and document:
        assert len([one for one in document["findings"] if one["host"] == "good"]) > 3
    # What it was sent, and what this machine has now.
    sent = container.exec_run("cat /root/sent").output
    assert b"s3cret" not in sent
    assert {path.name for path in tmp_path.iterdir()} == {"secret.pem", "state"}
    assert not [path for path in state.rglob("*") if path.suffix == ".json" and path.name == "record.json"]
    assert sum(path.lstat().st_size for path in state.rglob("*")) < 20 * 2**20
    found = subprocess.run(["find", "/", "-xdev", "-name", f"*{MARK}*"], capture_output=True, text=True, check=False)
    assert found.stdout == ""
    # Nor does it break what comes after.
    later = provisioner("status", "--offline", "--state-dir", state, "--json")
    assert later.code == 0 and strict(later.stdout)["runs"] == []
