"""Ansible's program as a job starts it, and the process that it is started in: they end as Ansible's own does."""

import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from ansible_runner.runner import pexpect
from ptyprocess import ptyprocess

from provisioner import ansible_playbook, child

FAILS = {"fail": {"msg": "no room"}}
WELL = {"debug": {"msg": "there is room"}}


@pytest.fixture
def play(tmp_path):
    """Run a playbook of one task: the process, and what it left in Ansible's folder for temporary files."""

    def run(task, *options):
        playbook = tmp_path / "play.yml"
        playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}]))
        temporary = tmp_path / "temporary"
        done = subprocess.run(
            [sys.executable, "-P", ansible_playbook.__file__, playbook, "-i", "here,", "-c", "local", *options],
            env=os.environ | {"ANSIBLE_LOCAL_TEMP": str(temporary), "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done, list(temporary.iterdir()) if temporary.exists() else []

    return run


@pytest.mark.parametrize(
    ("task", "options", "code", "last"),
    [(WELL, (), 0, "ok=1"), (FAILS, (), 2, "failed=1"), (WELL, ("--limit", "nobody"), 1, "")],
)
def test_the_exit_code_the_whole_output_and_no_temporary_files(play, task, options, code, last):
    done, left = play(task, *options)
    assert (done.returncode, left) == (code, []), done.stderr
    assert last in "".join(done.stdout.splitlines()[-2:])


def test_a_wrong_option_is_refused_under_ansibles_own_name(play):
    done, _ = play(WELL, "--nonsense")
    assert done.returncode == 2 and "ansible-playbook: error: unrecognized arguments" in done.stderr


@pytest.fixture
def naps(monkeypatch):
    """How long each pause is that is made while a child is closed, in seconds."""
    taken = []
    clock = SimpleNamespace(sleep=lambda seconds: (taken.append(seconds), time.sleep(seconds)))
    monkeypatch.setattr(ptyprocess, "time", clock)
    return taken


def test_a_process_that_has_ended_is_closed_without_a_pause(naps):
    ended = child.Child("sh", ["-c", "exit 3"])
    ended.expect(pexpect.EOF)
    ended.wait()
    ended.close()
    assert not any(naps) and ended.exitstatus == 3


def test_a_process_that_goes_on_is_given_its_time_and_then_ended(naps):
    stubborn = child.Child("sh", ["-c", "trap '' HUP INT; echo ready; while :; do sleep 1; done"])
    stubborn.expect("ready")
    stubborn.close()
    assert any(naps) and stubborn.signalstatus == 9
