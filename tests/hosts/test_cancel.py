"""`provisioner cancel` on a real host: in each phase, twice, by others, too late, and where nobody answers.

Each moment takes half a minute, so a sample of them is tried, others each day; CANCEL="compile,clone" takes these,
CANCEL=all all of them.
"""

import json
import os
import subprocess

import crash
import honest
import pytest
import yaml
from sample import TODAY, chosen

# So that a run is still where it was when it is cancelled: what works there just then is stopped until it is killed.
POST_CREATE = "pkill -STOP -f '^bash [^ ]*post-create-scenario-[a]'"
HOLD = {
    "image_build": "pkill -STOP -f 'devcontainer.* buil[d] '",
    "container_up": "pkill -STOP -f 'devcontainer.* u[p] '",
    "clone": POST_CREATE,
    "compile": POST_CREATE,
    "pre_commit": POST_CREATE,
}
SAMPLE = 2
LEFT = """
docker container ls --quiet
grep -lz SCENARIO_STARTED_BY= /proc/[0-9]*/environ
systemctl list-units --all --no-legend --plain 'provisioner-scenario-a-*'
flock --nonblock --shared /var/lib/provisioner/scenario_a/lock true || echo the lock is held
"""


def held_in(crasher, phase):
    """Wait until a run is in this phase, and hold it there."""
    hold = f"until {HOLD[phase]}; do sleep 0.05; done"
    at = honest.when(honest.Kind("held", phase=phase, happens=hold))
    code, said = crasher.host.exec_run(["timeout", "600", "sh", "-c", at])
    assert code == 0, f"no run came to {phase}: {said.decode()}"


@pytest.fixture
def cancel(crasher, tmp_path):
    """Begin `provisioner cancel`, as another controller unless a state directory is named; see `ended`."""

    def begin(*arguments, state="other", inventory=crasher.inventory):
        command = [crash.ROOT / "bin/provisioner", "cancel", "--json", "-i", inventory, *arguments]
        return subprocess.Popen(
            [*command, "--state-dir", tmp_path / state],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


def ended(command):
    """Its exit code, its document, and what else it said."""
    out, err = command.communicate(timeout=300)
    print(err)
    assert "Traceback" not in err
    return command.returncode, json.loads(out), err


def told(crasher, document):
    return document["hosts"][crasher.host.name.removeprefix("provisioner-")]


def is_cancelled(crasher, begun, phase):
    """The command that waited for the run says so, its record too, and nothing of the run is left."""
    code, document, err = ended(begun)
    (record,) = document["runs"]
    assert code == 1 and record["outcome"] == "interrupted" and record["failure"]["phase"] == phase
    assert record["failure"]["cause"].startswith("cancelled by a person: ")
    assert len([line for line in err.splitlines() if line.endswith(record["failure"]["cause"])]) == 1
    assert record["audit"]["verdict"] == "incomplete"
    assert [check for check in record["audit"]["checks"] if check["outcome"] == "fail"] == []
    assert crasher.on_host(LEFT) == ""
    return record


@pytest.mark.parametrize("phase", chosen(os.environ.get("CANCEL", ""), list(HOLD), TODAY, SAMPLE))
def test_in_each_phase_by_another_controller_and_then_once_more(crasher, run, cancel, phase):
    begun = run(f"cancel-{phase.replace('_', '-')}")
    held_in(crasher, phase)
    code, document, err = ended(cancel())
    record = is_cancelled(crasher, begun, phase)
    assert code == 0 and record["run_id"] in err
    assert told(crasher, document) == {
        "state": "cancelled",
        "run_id": record["run_id"],
        "by": record["failure"]["cause"].split(": ")[1].split(";")[0],
        "outcome": "interrupted",
        "phase": phase,
        "verdict": "incomplete",
        "failed": 0,
        "unreachable": False,
    }
    code, document, err = ended(cancel())
    assert code == 0 and told(crasher, document)["state"] == "none" and "no run is under way" in err
    code, document, err = ended(cancel(record["run_id"]))
    assert code == 0 and told(crasher, document)["state"] == "ended" and "had ended already: interrupted" in err


@pytest.fixture
def as_another_user(crasher, tmp_path):
    """An inventory by which somebody else logs in to the host: `as_another_user("other", sudo="NOPASSWD:")`."""

    def make(name, sudo):
        home = f"/home/{name}"
        crasher.on_host(f"useradd -m -s /bin/sh {name}; cp -R /root/.ssh {home}; chown -R {name}: {home}")
        crasher.on_host(f"echo '{name} ALL=(ALL) {sudo} ALL' >/etc/sudoers.d/{name}")
        inventory = yaml.safe_load(crasher.inventory.read_text())
        for host in inventory["all"]["hosts"].values():
            host["ansible_user"] = name
        path = tmp_path / f"{name}.yml"
        path.write_text(yaml.safe_dump(inventory))
        return path

    return make


def test_by_another_user_of_the_host_who_may_be_root_there(crasher, run, cancel, as_another_user):
    begun = run("cancel-other-user")
    held_in(crasher, "image_build")
    code, document, err = ended(cancel(inventory=as_another_user("nobody2", sudo="PASSWD:")))
    assert code == 1 and told(crasher, document)["state"] == "unknown" and "sudo asks for a password there" in err
    assert "it goes on" in crasher.on_host("systemctl is-active --quiet 'provisioner-scenario-a-*' && echo it goes on")
    code, document, err = ended(cancel(inventory=as_another_user("other", sudo="NOPASSWD:")))
    record = is_cancelled(crasher, begun, "image_build")
    assert code == 0 and told(crasher, document)["run_id"] == record["run_id"]


def test_twice_at_once_only_the_run_that_is_named_and_the_next_one_measures(crasher, run, cancel):
    begun = run("cancel-twice")
    held_in(crasher, "image_build")
    (run_id,) = crasher.runs_of("cancel-twice")
    code, document, err = ended(cancel("20200101T000000Z-nobody"))
    assert code == 2 and told(crasher, document)["state"] == "another"
    assert f"run {run_id} is under way there, and was left alone" in err
    both = [cancel(run_id, state=state) for state in ("state", "other")]
    answers = [ended(one) for one in both]
    is_cancelled(crasher, begun, "image_build")
    assert [code for code, _, _ in answers] == [0, 0]
    assert {told(crasher, document)["state"] for _, document, _ in answers} <= {"cancelled", "ended"}
    assert {told(crasher, document)["run_id"] for _, document, _ in answers} == {run_id}
    code, document, _ = ended(run("cancel-twice"))
    (record,) = document["runs"]
    assert (code, record["outcome"], record["compile"]["count"]) == (0, "ok", 1)


def test_a_host_that_is_gone_is_not_cancelled_later_and_a_run_past_its_phases_keeps_what_it_measured(
    crasher, run, cancel
):
    begun = run("cancel-gone")
    at = honest.when(honest.Kind("begun", phase="image_build", happens="true"))
    assert crasher.host.exec_run(["timeout", "600", "sh", "-c", at]).exit_code == 0
    crasher.on_host("systemctl stop ssh; pkill -KILL sshd")
    code, document, err = ended(cancel())
    assert code == 3 and told(crasher, document)["unreachable"]
    assert "nothing cancels it later" in err
    crasher.on_host("systemctl start ssh")
    late = "until pkill -STOP -f 'read-configuratio[n]'; do sleep 0.05; done"
    at = honest.when(honest.Kind("late", phase="pre_commit", happens=late))
    assert crasher.host.exec_run(["timeout", "600", "sh", "-c", at]).exit_code == 0
    crasher.host.exec_run(["sh", "-c", "sleep 15; pkill -CONT -f 'read-configuratio[n]'"], detach=True)
    code, document, _ = ended(cancel())
    assert (code, told(crasher, document)["state"], told(crasher, document)["outcome"]) == (0, "ended", "ok")
    code, document, _ = ended(begun)
    (record,) = document["runs"]
    assert (code, record["outcome"], record["compile"]["count"]) == (0, "ok", 1)
