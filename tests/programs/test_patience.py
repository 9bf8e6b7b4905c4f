"""Modules that say what their programs say before they are done: here `npm_package`, with an npm that tests make up."""

import json
import os
import time

import pytest

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import patience

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="what works goes on in /run, as root")
LOCK = {"packages": {"": {"dependencies": {"@a/tool": "1.2"}}, "node_modules/@a/tool": {"version": "1.2"}}}
INSTALLS = """
mkdir -p $3/node_modules/@a/tool
echo '{"version": "1.2"}' > $3/node_modules/@a/tool/package.json
"""
SLOW = "echo 'fetching https://me:secret@here/a thing'; echo } >&2; sleep 3"


@pytest.fixture
def call(run_module, tmp_path):
    """Call the module: `call(does, seconds)` gives its answer; `does` is what npm does before it installs."""

    def run(does, seconds):
        program = tmp_path / "npm"
        program.write_text(f"#!/bin/sh\necho begun >> {tmp_path}/begun\n{does}\n{INSTALLS}")
        program.chmod(0o755)
        given = {"npm": [str(program)], "folder": str(tmp_path / "there"), "name": "@a/tool", "version": "1.2"}
        return run_module("npm_package", {**given, "lock": json.dumps(LOCK), "report_every": seconds}, cwd=tmp_path)

    return run


def places():
    return set(patience.FOLDER.glob("*"))


def test_it_says_what_is_said_and_goes_on_when_called_again(call, tmp_path):
    before = places()
    said = call(SLOW, 1)
    assert (said["finished"], said["changed"], said["says"]) == (False, False, "fetching https://here/a thing")
    while not (answer := call(SLOW, 1))["finished"]:
        assert answer["says"]
    assert answer["changed"] and (tmp_path / "there/node_modules/@a/tool/package.json").exists()
    assert (tmp_path / "begun").read_text() == "begun\n"
    assert places() == before


def test_who_ends_between_two_calls_is_not_done_again(call, tmp_path):
    assert not call("sleep 1.5", 1)["finished"]
    time.sleep(2)
    assert call("sleep 1.5", 1)["changed"] and (tmp_path / "begun").read_text() == "begun\n"


def test_an_answer_that_nobody_came_for_is_none_of_a_later_play(call, tmp_path):
    before = places()
    assert not call("sleep 1.5", 1)["finished"]
    time.sleep(2)
    (place,) = places() - before
    long_ago = time.time() - 2 * patience.KEPT
    os.utime(place / "answer", (long_ago, long_ago))
    assert call("sleep 1.5", 5)["changed"] and (tmp_path / "begun").read_text() == "begun\n" * 2


def test_a_failure_is_told_as_without(call):
    fails = "echo 'npm error code EINTEGRITY' >&2; exit 1"
    without = call(fails, 0)
    assert without["failed"] and "EINTEGRITY" in without["msg"]
    assert call(fails, 5)["msg"] == without["msg"]


def test_who_is_killed_is_told_and_the_next_call_begins_anew(call, tmp_path):
    # npm's parent copies what it prints, and is a child of the process that works.
    kills = f"test -e {tmp_path}/once || {{ touch {tmp_path}/once; kill -9 $(ps -o ppid= -p $PPID); sleep 1; }}"
    killed = call(kills, 5)
    assert killed["failed"] and killed["finished"] and killed["msg"] == patience.KILLED
    assert call(kills, 5)["changed"]


def test_where_there_is_no_room_nothing_is_begun(tmp_path, monkeypatch):
    """Then the module does the work itself."""
    monkeypatch.setattr(patience, "FOLDER", tmp_path / "a file")
    (tmp_path / "a file").touch()
    with pytest.raises(OSError, match="a file"):
        patience.begin(patience.FOLDER / "work")


def test_of_what_is_said_the_last_line_is_a_sentence(tmp_path):
    said = tmp_path / "said"
    assert patience.last_line(said) == ""
    said.write_bytes(b"x" * 9000 + b"\nUnpacking \x1b[1ma\x1b[0m thing\r 10%\r\n\n}\nsha256:1234\n")
    assert patience.last_line(said) == "Unpacking  a  thing"
