"""Ansible's program as a job starts it: it ends as Ansible's own does."""

import json
import os
import subprocess
import sys

import pytest

from provisioner.ansible import program

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
            [sys.executable, "-P", program.__file__, "playbook", playbook, "-i", "here,", "-c", "local", *options],
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


def test_garbage_is_searched_for_again_in_the_workers(play, tmp_path, monkeypatch):
    """Else a worker with much to do would need memory without end."""
    (tmp_path / "searches.py").write_text(
        "import gc\n"
        "from ansible.plugins.lookup import LookupBase\n"
        "class LookupModule(LookupBase):\n"
        "    def run(self, *_, **__):\n"
        "        return [gc.isenabled() and gc.get_freeze_count() > 0]\n"
    )
    monkeypatch.setenv("ANSIBLE_LOOKUP_PLUGINS", str(tmp_path))
    done, _ = play({"debug": {"msg": "enabled: {{ lookup('searches') }}"}})
    assert "enabled: True" in done.stdout, done.stdout + done.stderr
