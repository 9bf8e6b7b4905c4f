"""Jobs, through ansible-runner for real, with small playbooks on this machine."""

import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.ansible import events, program
from provisioner.ansible import job as jobs
from provisioner.ansible.events import Output, Progress, Started, Stats
from provisioner.ansible.job import run_playbook
from provisioner.ansible.target import Target
from provisioner.errors import Exit

ROOT = Path(__file__).parents[2]


@pytest.fixture
def target(state):
    state.mkdir()
    return a_target(state)


def a_target(state):
    variables = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    return Target(("here,",), ("here",), state, extra_vars={**variables, "a_secret": "s3cret"})


def write(folder, *tasks, name="A play"):
    """Write a playbook of one play; JSON is YAML."""
    path = folder / "playbook.yml"
    path.write_text(json.dumps([{"name": name, "hosts": "all", "gather_facts": False, "tasks": tasks}]))
    return str(path)


class Seen:
    """A watcher that keeps what it is given."""

    def __init__(self):
        self.events = []

    def event(self, event):
        self.events.append(event)

    def tick(self):
        pass


class Raises(Seen):
    """A watcher with a fault of its own."""

    def event(self, event):
        raise ValueError("no display")


class Dawdles(Seen):
    """A watcher that is slower than Ansible."""

    def event(self, event):
        super().event(event)
        time.sleep(0.02)


STANDING_IN = {"tell": events.TELLING["scenario_run"], "set_fact": events.TELLING["scenario_collect"]}
"""Tasks of these tests that tell what tasks of ours do."""
RUN = {"run_id": "r1", "state": "running", "phase": "compile", "elapsed": 2, "phase_elapsed": 1, "done": 1, "total": 2}
TELL = """\
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule({"scenario_progress": {"type": "dict"}})
module.exit_json(**module.params)
"""


def tells(progress, folder):
    """A task whose result has `progress`, as the module that looks at a run puts it there."""
    library = folder / "library"
    library.mkdir()
    (library / "tell.py").write_text(TELL)
    return {"name": "Tell", "tell": {"scenario_progress": progress}}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """One job on four hosts: well, one whose failure is rescued, one that fails, and one that is away."""
    folder = tmp_path_factory.mktemp("mixed")
    record = json.loads((ROOT / "tests/unit/data/record.json").read_text())
    inventory = folder / "hosts.yml"
    away = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory.write_text(json.dumps({"all": {"hosts": {"well": local, "saved": local, "bad": local, "away": away}}}))
    path = write(
        folder,
        {"name": "Change", "command": "true"},
        tells(RUN, folder),
        {"name": "Fail, and that is fine", "command": "false", "ignore_errors": True},
        {
            "block": [{"name": "Try", "command": "false", "when": "inventory_hostname == 'saved'"}],
            "rescue": [{"name": "Mend", "command": "true"}],
        },
        {"name": "Check", "fail": {"msg": "no room; make some"}, "when": "inventory_hostname == 'bad'"},
        {"name": "Record", "set_fact": {"scenario_a_record": record}, "when": "inventory_hostname == 'well'"},
    )
    target = Target((str(inventory),), (), folder, extra_vars={"a_secret": "s3cret"})
    watchers = (Raises(), Dawdles())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOME_TOKEN", "t0ken")
        patch.setattr(events, "TELLING", STANDING_IN)
        err = io.StringIO()
        patch.setattr(sys, "stderr", err)
        job = run_playbook(path, target, watchers)
    return job, watchers[1].events, err.getvalue(), record


def test_what_came_of_it_host_by_host(mixed):
    job, _, _, record = mixed
    assert (job.error, job.invalid, job.interrupted) == ("", "", False)
    assert job.code == Exit.FAILED
    assert {name: (host.changed, host.failed, host.unreachable) for name, host in job.hosts.items()} == {
        "well": (2, 0, False),
        "saved": (3, 0, False),
        "bad": (2, 1, False),
        "away": (0, 0, True),
    }
    assert job.records == [record]
    # A record of its run came from one host; of the others' runs no end was seen.
    assert job.running == {"saved": "r1", "bad": "r1"}


def test_ansible_is_started_as_we_start_it(mixed):
    command = json.loads((mixed[0].log.parent / "command").read_text())["command"]
    assert command[:2] == [sys.executable, "-P"] and command[2:4] == [program.__file__, "playbook"]


def test_why_a_host_failed_is_one_line(mixed):
    failures = {name: host.failure for name, host in mixed[0].hosts.items()}
    assert (failures["bad"].task, failures["bad"].message) == ("Check", "no room; make some")
    assert "refused" in failures["away"].message
    assert failures["saved"] is None, "it was rescued"
    assert failures["well"] is None


def test_ansibles_own_output_is_kept_and_passed_on_but_not_shown(mixed):
    job, seen, err, _ = mixed
    assert "PLAY RECAP" in job.log.read_text()
    assert any("PLAY RECAP" in event.text for event in seen if isinstance(event, Output))
    assert "PLAY" not in err


def test_a_watcher_that_fails_or_dawdles_does_not_hold_up_ansible(mixed):
    _, seen, err, _ = mixed
    assert [event.task for event in seen if isinstance(event, Started) and event.host == "well"][:2] == [
        "Change",
        "Tell",
    ]
    assert isinstance(seen[-1], Stats | Output)
    assert err.count("no display") == 1


def test_ansible_ends_while_a_watcher_hangs(target, tmp_path):
    """ansible-runner calls its handlers in the very thread that empties Ansible's pipe: ours only queues."""
    marker = tmp_path / "the end"

    class Hangs(Seen):
        def event(self, event):
            super().event(event)
            if isinstance(event, Started) and event.task == "First":
                deadline = time.monotonic() + 60
                while not marker.exists() and time.monotonic() < deadline:
                    time.sleep(0.05)
                self.ended_meanwhile = marker.exists()

    # More output than a pipe holds: were nobody to read it, Ansible would stop there.
    chatter = [{"name": f"Say {n}", "debug": {"msg": "x" * 20_000}} for n in range(10)]
    path = write(
        tmp_path,
        {"name": "First", "command": "true"},
        *chatter,
        {"name": "Last", "copy": {"content": "", "dest": str(marker)}},
    )
    watcher = Hangs()
    job = run_playbook(path, target, (watcher,))
    assert watcher.ended_meanwhile
    assert job.code == Exit.DONE
    assert [event.task for event in watcher.events if isinstance(event, Started)][-1] == "Last", "nothing was lost"


def test_nothing_of_the_users_environment_and_variables_is_kept(mixed):
    folder = mixed[0].folder
    texts = {path: path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()}
    assert not [path for path, text in texts.items() if "t0ken" in text]
    assert not [path for path, text in texts.items() if "s3cret" in text]
    assert folder.stat().st_mode & 0o777 == 0o700


CHECK = {"name": "Check", "provisioner.gpu_hosts.valid_inputs": {"refusals": "refusals"}}


@pytest.mark.parametrize(
    ("refusals", "invalid"),
    [
        (["", "no such thing; give another", "and more"], "no such thing; give another"),
        (["{{ nobody_set_it }}"], "'nobody_set_it' is undefined"),
        (["{{ lookup('ansible.builtin.file', '/nonexistent') }}"], "/nonexistent"),
    ],
)
def test_wrong_inputs_are_told_apart_from_failures(tmp_path, target, refusals, invalid):
    """By a value in the result: what plays, tasks and files are called makes no difference."""
    seen = Seen()
    target.extra_vars["refusals"] = refusals
    job = run_playbook(write(tmp_path, CHECK, name="Whatever"), target, (seen,))
    assert job.code == Exit.BAD_INPUT
    assert invalid in job.invalid and "\n" not in job.invalid
    assert not [event for event in seen.events if isinstance(event, Started)], "no host begins anything"
    target.extra_vars["refusals"] = ["", ""]
    assert run_playbook(write(tmp_path, CHECK), target).code == Exit.DONE


def test_a_failure_is_no_wrong_input_whatever_its_play_is_called(tmp_path, target):
    path = write(tmp_path, {"name": "Check", "fail": {"msg": "no room"}}, name="Validate the inputs")
    job = run_playbook(path, target)
    assert (job.code, job.invalid) == (Exit.FAILED, "")


PAUSE = """\
from ansible import constants
from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):
    def run(self, *_, **__):
        return [constants.DEFAULT_INTERNAL_POLL_INTERVAL]
"""


@pytest.mark.parametrize(("measured", "pause"), [(False, 0.005), (True, 0.02)])
def test_ansible_looks_at_its_workers_less_often_where_hosts_are_measured(
    tmp_path, target, monkeypatch, measured, pause
):
    site = tmp_path / "site.cfg"
    site.write_text("[defaults]\ninternal_poll_interval = 0.5\n")
    monkeypatch.setenv("ANSIBLE_CONFIG", str(site))
    (tmp_path / "lookup_plugins").mkdir()
    (tmp_path / "lookup_plugins" / "pause.py").write_text(PAUSE)
    job = run_playbook(write(tmp_path, {"debug": {"msg": "{{ lookup('pause') }} s"}}), target, measured=measured)
    assert f"{pause} s" in job.log.read_text()


def test_a_playbook_that_does_not_parse(target, tmp_path):
    job = run_playbook(write(tmp_path, {"nonsense_module": {}}), target)
    assert job.code == Exit.FAILED
    assert "nonsense_module" in job.error
    assert "\n" not in job.error


def test_a_limit_that_only_ansible_understands(tmp_path, target):
    job = run_playbook(write(tmp_path, {"name": "x", "command": "true"}), replace(target, limit="~nothing"))
    assert job.code == Exit.BAD_INPUT
    assert "--limit" in job.invalid


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_ansible_and_tells_of_the_run_that_goes_on(target, number, tmp_path, monkeypatch):
    monkeypatch.setattr(events, "TELLING", STANDING_IN)

    class Interrupts(Seen):
        def event(self, event):
            if isinstance(event, Progress):
                threading.Timer(0.5, os.kill, (os.getpid(), number)).start()

    marker = tmp_path / "marker"
    path = write(
        tmp_path,
        tells(RUN, tmp_path),
        {"name": "Takes long", "command": "sleep 30"},
        {"name": "Goes on", "command": f"touch {marker}"},
    )
    job = run_playbook(path, target, (Interrupts(),))
    assert (job.code, job.running) == (Exit.INTERRUPTED, {"here": "r1"})
    left = subprocess.run(["pgrep", "-f", path], capture_output=True, text=True, check=False).stdout.split()
    assert left == [], "Ansible is still there"
    assert not marker.exists()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_the_newest_job_folders_are_kept_and_those_in_use(state):
    jobs_folder = state / "jobs"
    jobs_folder.mkdir(parents=True)
    for number in range(15):
        (jobs_folder / f"20200101T0000{number:02}Z-aaaaaa").mkdir()
    used = jobs_folder / "20200101T000001Z-aaaaaa"
    with (used / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with jobs._job_folder(state) as new:
            left = sorted(path.name for path in jobs_folder.iterdir())
    assert len(left) == jobs.KEEP + 1
    assert used.name in left and new.name in left
    assert "20200101T000000Z-aaaaaa" not in left and "20200101T000014Z-aaaaaa" in left


def test_the_exit_code_is_of_the_worst():
    def job(**fields):
        made = jobs.Job(Path("/nonexistent"))
        for name, value in fields.items():
            setattr(made, name, value)
        return made

    failed, away = jobs.Host(failed=1), jobs.Host(unreachable=True)
    assert job().code == 0
    assert job(hosts={"a": away, "b": jobs.Host()}).code == 3
    assert job(hosts={"a": away, "b": failed}).code == 1
    assert job(error="x", hosts={"a": away}).code == 1
    assert job(invalid="x", hosts={"a": failed}).code == 2
    assert job(interrupted=True, invalid="x").code == 130
