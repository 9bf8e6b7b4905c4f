"""A host that was taken over, beside a good one: it fails alone, in a line, and nothing of this machine is its own.

A run takes a sample, other attacks each day, of which one at least is on `run`; ATTACKS=all takes all of them.
"""

import io
import json
import os
import re
import subprocess
import tarfile
from pathlib import Path

import overlay
import pytest
import short
import yaml
from attacks import AGAINST_RUN, EVIDENCE, MEASURED, MODES
from sample import TODAY, chosen

OF_RUN = (
    *("-e", f"scenario_input_hash={MEASURED['input_hash']}"),
    *("-e", "scenario_look_seconds=2"),
    *("-e", "scenario_watch_seconds=20"),
    *("-e", "scenario_patience_seconds=15"),
)
OWN = re.compile(rf"{re.escape(str(Path.home()))}/\.ansible(/(tmp|cp(/[0-9a-f]+)?))?")
"""What Ansible has on its controller whatever hosts answer: the sockets of its connections, and a folder for a time."""


def put(container, folder, *files):
    """Put programs, each with its path below `folder` and its content, onto a lab host."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for path, content in files:
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    container.put_archive(folder, data.getvalue())


@pytest.fixture(scope="module")
def pair(make_lab, provisioner, tmp_path_factory):
    """A good host and one that was taken over, both prepared: an inventory, and the container of each."""
    lab = make_lab("attacked", count=2)
    hosts = yaml.safe_load(lab.inventory.read_text())["all"]["hosts"]
    good, evil = sorted(hosts)
    folder = tmp_path_factory.mktemp("attacked")
    named = {"good": hosts[good], "evil": hosts[evil] | {"ansible_python_interpreter": "/root/attacker"}}
    # What prepare would install is not what this is about: the fewest roles.
    variables = {"provisioner_profile": "registries", "scenario_runtime": "native"}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"vars": variables, "hosts": named}}))
    containers = short.container(good), short.container(evil)
    program = (Path(__file__).parent / "attacker.py").read_bytes()
    put(containers[1], "/root", ("attacker", program), ("answers.json", b"{}"))
    prepared = provisioner("prepare", "-i", folder / "hosts.yml", "--state-dir", folder / "state")
    assert prepared.code == 0, prepared
    return folder / "hosts.yml", *containers


def give_a_run(host):
    """Give a host the run that it has measured: `clean` removes it."""
    runs = f"var/lib/provisioner/scenario_a/runs/{MEASURED['run_id']}"
    files = [path for path in EVIDENCE.rglob("*") if path.is_file()]
    put(host, "/", *((f"{runs}/{path.relative_to(EVIDENCE)}", path.read_bytes()) for path in files))


def strict(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


ATTACKS = {f"{mode}: {command}": (mode, command) for mode in MODES for command in MODES[mode].commands}
SAMPLE, SAMPLE_OF_RUN = 6, 2
COLLECTING = ("run", "clean")
"""Commands that bring the newest run of a host."""


def sample(asked):
    """Return the attacks that this test run takes."""
    on_run = [attack for attack, (mode, _) in ATTACKS.items() if mode in AGAINST_RUN]
    others = [attack for attack in ATTACKS if attack not in on_run]
    if asked:
        return chosen(asked, list(ATTACKS), TODAY, SAMPLE)
    return chosen("", others, TODAY, SAMPLE) + chosen("", on_run, TODAY, SAMPLE_OF_RUN)


@pytest.mark.parametrize("attack", sample(os.environ.get("ATTACKS", "")))
def test_it_fails_alone_and_nothing_of_this_machine_is_its_own(pair, provisioner, tmp_path, attack):
    mode, command = ATTACKS[attack]
    inventory, good, evil = pair
    if command in COLLECTING:
        give_a_run(good)
    secret = tmp_path / "secret.pem"
    secret.write_text("s3cret of the controller")
    secret.chmod(0o600)
    put(evil, "/root", ("answers.json", json.dumps(MODES[mode].answers).replace("SECRET", str(secret)).encode()))
    evil.exec_run("rm -f /root/sent")
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    for_people = mode.startswith("escapes")
    options = [*(OF_RUN if command == "run" else ()), *(() if for_people else ("--json",))]
    with overlay.copy(state) as machine:
        within = machine.command
        done = provisioner(command, "-i", inventory, "--state-dir", state, *options, within=within, timeout=600)
        changed = {path for path in machine.changed() if not OWN.fullmatch(path)}
    fails_alone(MODES[mode], command, done, {} if for_people else strict(done.stdout))
    # What it was sent, and what this machine has now.
    assert b"s3cret" not in evil.exec_run("cat /root/sent").output
    assert changed == set()
    measured = (["good"] if command in COLLECTING else []) + (["evil"] if MODES[mode].measured else [])
    records = {path.parts[-3]: json.loads(path.read_text()) for path in state.rglob("record.json")}
    assert {host: record["host"] for host, record in records.items()} == {host: host for host in measured}
    assert sum(path.lstat().st_size for path in state.rglob("*")) < 20 * 2**20
    # Nor does it break what comes after.
    later = provisioner("status", "--offline", "--state-dir", state, "--json")
    assert later.code == 0
    kept = strict(later.stdout)
    assert {run["host"] for run in kept["runs"]} == set(measured)
    assert "good" not in {run["host"] for run in kept["in_flight"]}


def test_what_a_command_makes_changes_and_removes_is_told(tmp_path):
    for name in ("state", "changed", "removed", "mode"):
        (tmp_path / name).mkdir()
    (tmp_path / "text").write_text("x")
    does = "echo >made; echo >text; chmod 700 mode; rmdir removed; touch changed/x; rm changed/x; touch state/y"
    with overlay.copy(tmp_path / "state") as machine:
        subprocess.run([*machine.command, "sh", "-euc", does], cwd=tmp_path, check=True)
        assert machine.changed() == {str(tmp_path / name) for name in ("made", "text", "mode", "removed")}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["changed", "mode", "removed", "state", "text"]
    assert (tmp_path / "state/y").exists() and (tmp_path / "text").read_text() == "x"


def fails_alone(attack, command, done, document):
    """Assert that the host that attacks is told of in a line of ours, and the good one is served."""
    for text in (done.stdout, done.stderr):
        assert "Traceback" not in text and "fault in provisioner" not in text
        # Of what a host says nothing is obeyed, and no line of ours is its own.
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
        assert "\nprovisioner: gpu" not in text
    assert "good: failed" not in done.stderr, done
    assert any(re.search(attack.said, line) for line in done.stderr.splitlines() if "evil" in line), done
    assert done.code == attack.code, done
    if command == "run" and document:
        assert document["hosts"]["good"]["run_id"] == MEASURED["run_id"]
        assert ("evil" in document["hosts"]) == attack.measured
    elif command == "plan" and document:
        assert document["hosts"]["good"]["run"]["would"] == "measure"
    elif command == "doctor" and document:
        assert len([one for one in document["findings"] if one["host"] == "good"]) > 3
    elif "hosts" in document:
        assert not document["hosts"]["good"]["failed"]
