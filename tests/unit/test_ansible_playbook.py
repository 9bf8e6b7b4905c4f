"""Ansible's program as a job starts it, and the process that it is started in: they end as Ansible's own does."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.config import manager
from ansible.module_utils.common.yaml import yaml_load
from ansible.utils.collection_loader import _collection_finder, _collection_meta
from ansible_runner.runner import pexpect
from ptyprocess import ptyprocess

from provisioner import ansible_playbook, child, early

ROOT = Path(__file__).parents[2]
FAILS = {"fail": {"msg": "no room"}}
WELL = {"debug": {"msg": "there is room"}}


@pytest.fixture
def play(tmp_path):
    """Run a playbook of one task: the process, and what it left in Ansible's folder for temporary files."""

    def run(task, *options, name="play.yml"):
        playbook = tmp_path / name
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


PAUSE = """
from ansible import constants
from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):
    def run(self, *_, **__):
        return [constants.DEFAULT_INTERNAL_POLL_INTERVAL]
"""


@pytest.mark.parametrize(("name", "pause"), [("prepare.yml", 0.005), (ansible_playbook.MEASURED, 0.02)])
def test_ansible_looks_at_its_workers_less_often_where_a_run_is_measured(play, monkeypatch, tmp_path, name, pause):
    assert (ROOT / "playbooks" / name).exists()
    (tmp_path / "pause.py").write_text(PAUSE)
    monkeypatch.setenv("ANSIBLE_LOOKUP_PLUGINS", str(tmp_path))
    monkeypatch.setenv("ANSIBLE_CONFIG", str(ROOT / "ansible.cfg"))
    done, _ = play({"debug": {"msg": "{{ lookup('pause') }} s"}}, name=name)
    assert f"{pause} s" in done.stdout, done.stdout + done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="su asks everybody but root for a password")
def test_a_plugin_that_was_not_loaded_beforehand_is_there_for_the_host_that_needs_it(play):
    python = f"ansible_python_interpreter={sys.executable}"
    done, _ = play({"command": "id -un"}, "--become", "--become-method", "su", "-e", python)
    assert done.returncode == 0 and "changed=1" in done.stdout, done.stdout + done.stderr


def test_a_wrong_option_is_refused_under_ansibles_own_name(play):
    done, _ = play(WELL, "--nonsense")
    assert done.returncode == 2 and "ansible-playbook: error: unrecognized arguments" in done.stderr


@pytest.fixture
def routing(tmp_path, monkeypatch):
    """What Ansible is given for its own collection, and how often it was parsed for that; the file where it is kept."""
    parsed = []
    parse = _collection_meta._meta_yml_to_dict
    monkeypatch.setattr(
        _collection_finder, "_meta_yml_to_dict", lambda raw, name: parsed.append(name) or parse(raw, name)
    )
    monkeypatch.setattr(manager, "yaml_load", manager.yaml_load)
    ansible_playbook._keep_parsed(tmp_path / "kept")
    read = _collection_finder._meta_yml_to_dict
    return lambda raw, name="ansible.builtin": read(raw, (name, "runtime.yml")), parsed, tmp_path / "kept/routing.json"


def test_the_routing_of_ansibles_own_modules_is_parsed_once_and_again_when_it_changes(routing):
    read, parsed, _ = routing
    one, other = b"plugin_routing: {modules: {a: {redirect: b.c.a}}}", b"plugin_routing: {}"
    assert [read(raw) for raw in (one, one, other, other)] == [
        *2 * [{"plugin_routing": {"modules": {"a": {"redirect": "b.c.a"}}}}],
        *2 * [{"plugin_routing": {}}],
    ]
    assert len(parsed) == 2
    assert read(other, "site.tools") == {"plugin_routing": {}} and len(parsed) == 3


@pytest.mark.parametrize("kept", ["", "[]", "{}", '{"of": 1}', '{"of": 1, "parsed": {}}', "no JSON"])
def test_what_is_kept_wrongly_is_replaced(routing, kept):
    read, parsed, path = routing
    path.parent.mkdir()
    path.write_text(kept)
    assert read(b"a: b") == read(b"a: b") == {"a": "b"} and len(parsed) == 1


def test_where_nothing_can_be_kept_it_is_parsed_each_time(routing):
    read, parsed, path = routing
    path.parent.write_text("a file in the folder's place")
    assert read(b"a: b") == read(b"a: b") == {"a": "b"} and len(parsed) == 2


def test_what_is_kept_of_this_ansible_is_what_it_parses(routing):
    read, _, path = routing
    raw = Path(_collection_meta.__file__).parents[2].joinpath("config/ansible_builtin_runtime.yml").read_bytes()
    assert read(raw) == json.loads(path.read_text())["parsed"] == _collection_meta._meta_yml_to_dict(raw, ("", ""))


def test_what_is_kept_of_this_ansibles_settings_is_what_it_parses(routing):
    raw = Path(manager.__file__).with_name("base.yml").read_bytes()
    kept = routing[2].with_name("settings.json")
    assert not kept.exists()
    for _ in range(2):
        assert manager.yaml_load(io.BytesIO(raw)) == json.loads(kept.read_text())["parsed"] == yaml_load(raw)


@pytest.fixture
def begun():
    """A process that was started early and waits to be told."""
    early._started.clear()  # one may wait that a command of another test began
    early.begin()
    started = early._started[0]
    yield started
    early.take()
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(started.pid, signal.SIGKILL)
        os.waitpid(started.pid, 0)


def start(*arguments, **settings):
    return child.Child(early.PROGRAM[0], [*early.PROGRAM[1:], *arguments], encoding="utf-8", echo=False, **settings)


def test_a_process_that_was_started_early_does_what_it_is_told_and_where(begun, tmp_path):
    settings = {"ANSIBLE_LOCAL_TEMP": str(tmp_path / "temporary"), "PYTHONPATH": str(tmp_path), "TOLD": "just now"}
    (tmp_path / "play.yml").write_text(
        """
        - hosts: all
          gather_facts: false
          tasks:
            - debug: {msg: "{{ lookup('env', 'TOLD') }}, {{ playbook_dir }}"}
        """
    )
    process = start("play.yml", "-i", "here,", "-c", "local", cwd=str(tmp_path), env={**os.environ, **settings})
    process.expect(pexpect.EOF)
    process.close()
    assert (process.pid, process.exitstatus) == (begun.pid, 0), process.before
    assert f"just now, {tmp_path}" in process.before


def test_where_it_was_killed_another_is_started(begun):
    os.kill(begun.pid, signal.SIGKILL)
    os.waitpid(begun.pid, 0)
    process = start("--version")
    process.expect(pexpect.EOF)
    process.close()
    assert process.pid != begun.pid and process.exitstatus == 0 and "ansible-playbook [core" in process.before


def test_another_program_is_none_of_its_business(begun):
    process = child.Child("true")
    process.expect(pexpect.EOF)
    assert process.pid != begun.pid and early.take() is begun


def test_it_ends_by_itself_where_it_is_never_told():
    """As after a wrong option: the process that started it is gone."""
    begin = "from provisioner import early; early.begin(); print(early._started[0].pid)"
    said = subprocess.run([sys.executable, "-c", begin], capture_output=True, text=True, check=True).stdout
    ends = time.monotonic() + 60
    while command_of(said.strip()):
        assert time.monotonic() < ends, f"process {said.strip()} still waits"
        time.sleep(0.1)


def command_of(pid):
    """What a process was started with; nothing where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_where_no_terminal_can_be_had_nothing_is_started_early(monkeypatch):
    def refuse():
        raise OSError("out of pty devices")

    monkeypatch.setattr(early, "_started", [])
    monkeypatch.setattr(early.pty, "fork", refuse)
    early.begin()
    assert early.take() is None


def test_one_process_waits_at_a_time(begun):
    early.begin()
    assert early._started == [begun]


@pytest.mark.parametrize("name", ansible_playbook.BEFOREHAND)
def test_what_is_imported_beforehand_reads_no_settings(name):
    check = f"import sys, {name}; sys.exit('ansible.constants' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


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
