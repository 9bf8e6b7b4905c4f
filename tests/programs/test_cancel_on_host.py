"""A run is cancelled on its host: the real script, with stand-ins for what takes minutes, ends and seals at once."""

import json
import os
import signal
import subprocess
import threading
import time

import pytest

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import run_stop
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.runs import Runs
from provisioner.system import person

MODULE = "scenario_run"
WHO = "alice@desk"
CAUSE = f"{person.CANCELLED}: {WHO}; run again, which measures anew"
SLOW = "sleep 60"
BEGIN_COMPILE = """printf '{"event":"begin","phase":"compile","uptime":%s}\\n' $(cut -d ' ' -f 1 /proc/uptime)"""
DEAF = "trap '' TERM; while :; do sleep 0.1; done"
"""It ignores who asks it to end."""


@pytest.fixture
def runs(script):
    return Runs(str(script.root))


@pytest.fixture
def begin(script):
    """Begin a run whose tool, at a call with these words, does something else; return when the run is in a phase."""
    begun = []

    def start(words, does, phase, event="begin", tool="docker", **settings):
        path = script.base.parents[1] / "bin" / tool
        path.write_text(
            path.read_text().replace(
                'case "$(basename', f'case "$*" in *{words!r}*) {does};; esac\ncase "$(basename', 1
            )
        )
        process = script(background=True, **settings)
        begun.append(process)
        deadline = time.monotonic() + 60
        while not (script.evidence / "events.jsonl").exists() or (event, phase) not in script.events():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        return process

    yield start
    for process in begun:
        process.stdout.close()
        process.kill()
        process.wait()


def result(script):
    return json.loads((script.evidence / "result.json").read_text())


def is_sealed(script):
    check = ["sha256sum", "--check", "--quiet", "manifest.sha256"]
    return subprocess.run(check, cwd=script.evidence, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("phase", "tool", "words", "settings"),
    [
        ("image_build", "devcontainer", "build", {}),
        ("container_up", "devcontainer", "up --workspace", {}),
        ("compile", "devcontainer", "up --workspace", {}),
        ("attention_test", "devcontainer", "attention_test.py", {"gpu": True}),
        ("container_up", "python", "native_checks.py", {"SCENARIO_RUNTIME": "native"}),
    ],
)
def test_in_each_phase_it_ends_is_sealed_and_leaves_nothing(*, script, runs, begin, phase, tool, words, settings):
    if tool == "python":
        python = script.base.parents[1] / "bin/python"
        python.write_text('#!/bin/sh\ncase "$(basename "$0") $*" in esac\nexec python3 "$@"\n')
        python.chmod(0o755)
        settings |= {"SCENARIO_PYTHON": str(python)}
    does, begun = SLOW, phase
    if phase == "compile":  # it is cut off there, and cannot say so
        does = f"{BEGIN_COMPILE} >>{script.evidence}/container/events.jsonl; {SLOW}"
        begun = "container_up"
    process = begin(words, does, begun, tool=tool, **settings)
    while runs.progress(script.id)["phase"] != phase:
        time.sleep(0.05)
    run_stop.stop(runs, script.id, WHO, 60)
    assert process.wait(timeout=10) == 143
    found = result(script)
    assert (found["outcome"], found["phase"], found["cause"]) == ("interrupted", phase, CAUSE)
    assert script.events()[-1] == ("fail", phase if phase == "compile" else "run")
    assert is_sealed(script) and CAUSE in (script.evidence / "run.log").read_text()
    assert run_stop._started_by(script.id) == set()
    assert runs.under_way() is None and not (script.root / "tmp").exists()


def test_what_ignores_being_asked_is_killed_and_the_script_still_seals(script, runs, begin, monkeypatch):
    monkeypatch.setattr(run_stop, "DEAF_SECONDS", 1)
    begin("build", DEAF, "image_build", tool="devcontainer")
    run_stop.stop(runs, script.id, WHO, 60)
    assert result(script)["cause"] == CAUSE and is_sealed(script)


def test_a_script_that_does_not_end_is_killed_and_its_run_settled(script, runs, begin):
    process = begin("build", SLOW, "image_build", tool="devcontainer")
    os.kill(process.pid, signal.SIGSTOP)
    run_stop.stop(runs, script.id, WHO, 1)
    found = result(script)
    assert (found["outcome"], found["phase"], found["cause"]) == ("interrupted", "image_build", CAUSE)
    assert run_stop._started_by(script.id) == set()


@pytest.mark.parametrize("name", ["SCENARIO_STARTED_BY", "SCENARIO_A_STARTED_BY"])
def test_what_a_run_started_is_known_by_its_variable_of_now_and_by_the_earlier_one(name, tmp_path):
    run = f"run-{tmp_path.name}-{os.getpid()}"
    with subprocess.Popen(["sleep", "60"], env={"PATH": "/usr/bin:/bin", name: run}) as process:
        while not (found := run_stop._started_by(run)):
            time.sleep(0.01)
        process.kill()
    assert found == {process.pid}


@pytest.mark.parametrize(("does", "timeout", "outcome"), [("sleep 2", 60, "ok"), (SLOW, 1, "interrupted")])
def test_past_its_phases_it_has_its_time_to_keep_the_evidence_and_no_more(
    *, script, runs, begin, does, timeout, outcome
):
    begin("image history", does, "run", "end")
    run_stop.stop(runs, script.id, WHO, timeout)
    assert result(script)["outcome"] == outcome
    assert is_sealed(script) == (outcome == "ok")
    assert runs.under_way() is None


def test_the_container_has_no_say_in_whether_its_run_is_past_its_phases(script, runs, begin):
    begin("build", SLOW, "image_build", tool="devcontainer")
    (script.evidence / "container/events.jsonl").write_text('{"event":"end","phase":"run","uptime":1}\n')
    assert not runs.phases_over(script.id)
    run_stop.stop(runs, script.id, WHO, 60)
    assert result(script)["cause"] == CAUSE


def test_who_was_first_is_told_and_both_come_to_an_end(script, runs, begin):
    begin("build", SLOW, "image_build", tool="devcontainer")
    runs.note_cancelled(script.id, WHO)
    both = [threading.Thread(target=run_stop.stop, args=(runs, script.id, who, 60)) for who in (WHO, "bob@lab")]
    for one in both:
        one.start()
    for one in both:
        one.join(timeout=60)
        assert not one.is_alive()
    assert result(script)["cause"] == CAUSE and is_sealed(script)


def test_who_looks_at_the_lock_is_no_part_of_the_script(script, runs, begin):
    """`status`, or another controller that waits for the run."""
    begin("build", SLOW, "image_build", tool="devcontainer")
    with (script.root / "lock").open():
        looker = subprocess.Popen(["sh", "-c", "exec sleep 60 3<lock"], cwd=script.root)
        run_stop.stop(runs, script.id, WHO, 60)
        assert looker.poll() is None
        looker.kill()
        looker.wait()


@pytest.mark.parametrize(
    ("who", "told"),
    [
        ("", person.CANCELLED),
        ("a\nb\x1b[2J\u202e", f"{person.CANCELLED}: a?b?[2J?"),
        ("$(touch /tmp/evil)`id`'\"", f"{person.CANCELLED}: $(touch /tmp/evil)`id`'\""),
        ("x" * 1000, f"{person.CANCELLED}: {'x' * 200}"),
    ],
)
def test_whatever_who_says_of_himself_is_a_text_on_one_line(script, runs, begin, who, told):
    begin("build", SLOW, "image_build", tool="devcontainer")
    run_stop.stop(runs, script.id, who, 60)
    cause = result(script)["cause"]
    assert cause == f"{told}; run again, which measures anew"
    assert runs.interruption(script.id)["cause"] == cause, "where the script cannot, the module says the same"


def test_another_run_that_has_the_lock_by_now_is_left_alone(script, runs, begin):
    process = begin("build", SLOW, "image_build", tool="devcontainer")
    assert process.pid in run_stop._of_the_script(runs, script.id)
    assert run_stop._of_the_script(runs, "gone") == set()


def test_only_root_writes_who_it_was(script, runs, begin):
    begin("build", SLOW, "image_build", tool="devcontainer")
    run_stop.stop(runs, script.id, WHO, 60)
    assert (script.root / "runs").stat().st_mode & 0o077 == 0
    assert [path.name for path in (script.root / "runs").iterdir() if path.is_file()] == [f"{script.id}.cancelled"]


def test_the_module_tells_what_became_of_it(script, begin, run_module):
    def cancel(run_id="", **more):
        return run_module(
            MODULE, {"root": str(script.root), "state": "cancelled", "run_id": run_id, "timeout": 60} | more
        )

    def told(answer):
        return answer.get("changed", False), answer["run_id"], answer["scenario_cancelled"]["state"]

    assert told(cancel()) == told(cancel(script.id)) == (False, None, "none")
    process = begin("build", SLOW, "image_build", tool="devcontainer")
    other = cancel("other")
    assert told(other) == (False, None, "another") and other["scenario_cancelled"]["run_id"] == script.id
    refused = run_module(MODULE, {"root": str(script.root), "state": "started", "input_hash": "other", "run_id": "x"})
    assert refused["failed"] and "stop it by `provisioner cancel`" in refused["msg"]
    assert cancel(_ansible_check_mode=True)["changed"] and process.poll() is None
    done = cancel(by=WHO)
    assert told(done) == (True, script.id, "cancelled")
    of = {"run_id": script.id, "state": "cancelled", "by": WHO, "outcome": "interrupted", "phase": "image_build"}
    assert done["scenario_cancelled"] == of
    again = cancel(script.id, by="bob@lab")
    assert told(again) == (False, script.id, "ended") and again["scenario_cancelled"]["by"] == WHO
    assert told(cancel()) == (False, None, "none")


def test_the_next_run_is_not_taken_for_cancelled(script, runs, begin):
    begin("build", SLOW, "image_build", tool="devcontainer")
    run_stop.stop(runs, script.id, WHO, 60)
    tool = script.base.parents[1] / "bin/devcontainer"
    tool.write_text(tool.read_text().replace(SLOW, "true"))
    done = script(SCENARIO_RUN_ID="next")
    assert done.returncode == 0, done.stdout
    assert runs.result("next")["outcome"] == "ok" and runs.cancelled_by("next") is None
