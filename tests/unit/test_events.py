"""What ansible-runner's events mean to us."""

from pathlib import Path

import pytest

from provisioner.ansible import events
from provisioner.ansible.events import translate
from provisioner.view.fleet import Fleet

# Which of our actions gives what.
ACTIONS = {
    "scenario_recovered": "scenario_collect",
    "ansible_facts": "scenario_collect",
    "host_findings": "host_checks",
    "looks": "look",
    "busy": "look",
    "waiting_for": "apt_lock",
    "provisioner_notes": "mending",
}


def event(kind, result=None, **data):
    action = next((action for name, action in ACTIONS.items() if name in (result or {})), "scenario_run")
    where = {"host": "h1", "play": "P", "task": "T", "task_action": action}
    return {"event": kind, "event_data": {**where, "res": result or {}, **data}}


def only(raw):
    (found,) = translate(raw)
    return found


@pytest.mark.parametrize("kind", ["runner_retry", "runner_on_ok"])
def test_progress_comes_with_looks_at_a_run(kind):
    result = {
        "scenario_progress": {
            "run_id": "r1",
            "state": "running",
            "phase": "compile",
            "elapsed": 61,
            "phase_elapsed": 30.5,
            "done": 3,
            "total": 13,
        }
    }
    assert only(event(kind, result)) == events.Progress("h1", "r1", "running", "compile", 61.0, 30.5, 3, 13)


def test_progress_before_anything_is_known():
    result = {"scenario_progress": {"run_id": "r1", "state": "running", "phase": None, "elapsed": None}}
    assert only(event("runner_retry", result)) == events.Progress("h1", "r1", "running", None, 0.0, 0.0)


def test_a_record(record):
    assert only(event("runner_on_ok", {"ansible_facts": {"scenario_a_record": record}})).record == record


def test_a_host_that_does_not_answer_while_its_run_is_watched():
    silent = {"run_id": "r1", "seconds": 61, "message": "no route to host", "since": 5.0}
    found = only(event("runner_retry", {"scenario_silent": silent}))
    assert found == events.Silent("h1", "r1", 61.0, "no route to host")


def test_runs_that_have_ended_come_before_the_one_in_flight():
    run = {"run_id": "a", "started_at": "then", "collected": True, "outcome": "ok", "phase": None, "cause": None}
    listed = {"scenario_ended": [run], "scenario_progress": {"run_id": "b", "state": "running"}}
    ended, progress = translate(event("runner_on_ok", listed))
    assert (ended.runs, progress.run_id) == ((run,), "b")


def test_runs_that_came_along():
    run = {"run_id": "a", "outcome": "failed", "phase": "compile"}
    assert only(event("runner_on_ok", {"scenario_recovered": [run]})).runs == (run,)
    assert list(translate(event("runner_on_ok", {"scenario_recovered": []}))) == []


def test_findings_and_a_needed_restart():
    finding = {"check": "disk", "outcome": "fail", "detail": "d", "remedy": "r"}
    assert only(event("runner_on_ok", {"host_findings": [finding]})) == events.HostFinding(
        "h1", "disk", "fail", "d", "r"
    )
    assert only(event("runner_on_ok", {"looks": {}, "reboot_required": True})).host == "h1"
    assert list(translate(event("runner_on_ok", {"looks": {}, "reboot_required": False}))) == []


@pytest.mark.parametrize("kind", ["runner_on_ok", "runner_on_failed"])
def test_what_a_host_is_busy_with_is_told_though_it_is_refused_for_that(kind):
    given = list(translate(event(kind, {"busy": ["1 Slurm job: 7"], "failed": kind.endswith("failed")})))
    assert events.Busy("h1", ("1 Slurm job: 7",)) in given


def test_only_the_check_of_the_inputs_calls_them_wrong():
    wrong = {"failed": True, "msg": "x", "invalid_inputs": True}
    assert only(event("runner_on_failed", wrong, task_action="valid_inputs")).invalid_inputs
    for action in ("look", "host_checks", "ansible.builtin.command"):
        assert not only(event("runner_on_failed", wrong, task_action=action)).invalid_inputs, "a host may say so"


def test_what_there_is_to_know_of_the_inputs_is_told_once_for_all_hosts():
    noted = only(event("runner_on_ok", {"input_notes": ["x: taken out"]}, task_action="valid_inputs"))
    assert noted == events.InputsNoted(("x: taken out",))
    fleet = Fleet()
    assert [fleet.news(noted), fleet.news(noted)] == [["x: taken out"], []]
    assert list(translate(event("runner_on_ok", {"input_notes": ["x"]}, task_action="look"))) == [], "a host may say so"


def test_who_waited_for_the_lock_in_vain_fails_and_waits_no_more():
    said = {"waiting_for": "the prepare of me@here", "msg": "still waiting"}
    assert only(event("runner_retry", said, task_action="mending")) == events.Waiting("h1", said["waiting_for"])
    failed = only(event("runner_on_failed", {**said, "failed": True}, task_action="mending"))
    assert failed.message == "still waiting"


def test_what_a_tasks_programs_say_is_told_of_each_module_that_can_tell():
    modules = Path(events.__file__).parents[2] / "plugins/modules"
    patient = {path.stem for path in modules.glob("*.py") if "PatientModule(" in path.read_text()}
    assert patient == set(events.PATIENT)
    for module in patient:
        raw = event("runner_retry", {"says": "Unpacking a thing", "finished": False}, task_action=f"a.b.{module}")
        assert only(raw) == events.Said("h1", "Unpacking a thing")
    assert not list(translate(event("runner_on_ok", {"finished": True, "changed": True}, task_action="host_packages")))


def test_what_is_said_of_the_log_of_changes_is_told():
    assert only(event("runner_on_ok", {"provisioner_notes": ["n"]})) == events.Noted("h1", ("n",))
    assert list(translate(event("runner_on_ok", {"provisioner_notes": []}))) == []


def test_a_failure_that_is_ignored_is_none():
    assert list(translate(event("runner_on_failed", {"msg": "x"}, ignore_errors=True))) == []
    assert only(event("runner_on_failed", {"msg": "x"}, ignore_errors=None)).message == "x"


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"msg": "what; remedy"}, "what; remedy"),
        ({"msg": "several\n  lines"}, "several"),
        (
            {"msg": "non-zero return code", "stderr": "noise\nE: no such package\n"},
            "E: no such package",
        ),
        ({"msg": "items", "results": [{"msg": "fine"}, {"failed": True, "msg": "this one"}]}, "this one"),
        ({"msg": "no room; make some", "stderr": "noise"}, "no room; make some"),
        (
            {"msg": "Failed to connect to the host via ssh: @@@\r\n@ REMOTE HOST IDENTIFICATION HAS CHANGED! @"},
            next(iter(events.EXPLAINED.values())),
        ),
        ({"msg": "MODULE FAILURE", "module_stderr": "/bin/sh: 1: /usr/bin/python3: not found\n"}, events.NO_PYTHON),
        ({"module_stderr": "Shared connection closed"}, "Shared connection closed"),
        ({"msg": "Task failed: Missing sudo password"}, events.NO_SUDO),
        ({"msg": "the look failed: sudo: a password is required"}, events.NO_SUDO),
        (
            {
                "msg": 'Task failed: Data could not be sent to remote host "h". Make sure this host can be reached'
                " over ssh: ssh: connect to host h port 22: No route to host"
            },
            "ssh: connect to host h port 22: No route to host",
        ),
        (
            {"msg": "Validation of arguments failed:\nx must be y", "argument_errors": ["x must be y"]},
            "x must be y; mend it in the inventory or in -e",
        ),
        ({"censored": "the output has been hidden"}, "the output has been hidden"),
        ({}, "no reason given"),
        ({"msg": ["a", "list"]}, "['a', 'list']"),
        (
            {
                "msg": 'Failed to create it. Failed command was: ( umask 77 && mkdir "` echo /root `" ), '
                "stderr: mkdir: cannot create directory \u2018/root/.ansible/a\u2019: No space left on device\n",
            },
            "no space is left on the host for /root/.ansible/a; make room there ('df' and 'df -i' show where) and "
            "run the command again",
        ),
        (
            {"msg": "MODULE FAILURE", "module_stderr": "x\nOSError: [Errno 28] No space left on device: '/etc/a'\ny"},
            "no space is left on the host for /etc/a; make room there ('df' and 'df -i' show where) and "
            "run the command again",
        ),
        (
            {
                "msg": "x: no space was left at /opt; make room there",
                "stderr": "No space left on device",
            },
            "x: no space was left at /opt; make room there",
        ),
    ],
)
def test_why_a_task_failed_is_one_line(result, said):
    assert events.message(result) == said


def test_why_a_task_failed_is_bounded():
    assert len(events.message({"msg": "x" * 10000})) <= 501


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"event": "EOF"},
        {"event": "verbose", "event_data": None},
        {"event": "runner_on_ok", "event_data": {"host": "h1"}},
        event("runner_on_ok", {"ansible_facts": None}),
        event("runner_on_ok", {"looks": {}}, task_action="ansible.builtin.command"),
        event("runner_on_ok", {"scenario_ended": 1}, task_action="ansible.builtin.command"),
    ],
)
def test_events_that_mean_nothing(raw):
    assert list(translate(raw)) == []


def test_what_a_host_waits_for_is_told():
    result = {"waiting_for": "dpkg (process 7), which has the lock", "attempts": 1}
    found = list(events.translate(event("runner_retry", result)))
    assert events.Waiting("h1", "dpkg (process 7), which has the lock") in found
    assert not list(events.translate(event("runner_retry", {"waiting_for": ""})))


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("sudo: sorry, you must have a tty to run sudo", "!requiretty"),
        ("/etc/sudoers.d/lab:1:18: syntax error", "visudo -c"),
        ("sudo: /usr/bin/sudo must be owned by uid 0 and have the setuid bit set", "mode 4755"),
        ("lab is not in the sudoers file.", "lets it run all as root"),
        ("/bin/sh: 1: sudo: not found", "there is no sudo there"),
        ("bash: line 1: sudo: command not found", "there is no sudo there"),
    ],
)
def test_what_sudo_refuses_is_told_as_it_is(words, remedy):
    assert remedy in events.message({"msg": f"the look failed: {words}"})
    assert remedy in events.message({"msg": "MODULE FAILURE", "module_stderr": words})


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"scenario_progress": "text"}, "'text' is not an object"),
        ({"scenario_progress": {"run_id": "../../etc", "state": "running"}}, "'../../etc' is not the id of a run"),
        ({"scenario_progress": {"run_id": "r", "state": "running", "elapsed": float("nan")}}, "not a length of time"),
        ({"scenario_ended": {"run_id": "r"}}, "an object is not a list"),
        ({"scenario_planned": {"would": "obey"}}, "'obey' is not measure or reuse"),
        ({"looks": [1]}, "a list is not an object"),
        ({"looks": {"site": {"changes": [{"what": 1}]}}}, "looks: site: changes: what: 1 is not a text"),
        ({"host_findings": [{"check": "c", "outcome": "great"}]}, "'great' is not ok or warn or fail"),
        ({"scenario_recovered": "all"}, "'all' is not a list"),
        ({"ansible_facts": {"scenario_a_record": {"run_id": 1}}}, "1 is not the id of a run"),
        ({"waiting_for": ["dpkg"]}, "a list is not a text"),
        ({"busy": "Slurm"}, "'Slurm' is not a list"),
        ({"provisioner_notes": [1]}, "1 is not a text"),
    ],
)
def test_an_answer_of_other_types_fails_its_host_in_a_line(result, said):
    failure = only(event("runner_on_ok", result))
    assert (failure.host, failure.task, failure.uncounted) == ("h1", "T", True)
    assert said in failure.message and "\n" not in failure.message


def test_a_message_obeys_nothing():
    assert "\x1b" not in events.message({"msg": "\x1b[2Jprovisioner: all is well"})
    assert events.message({"msg": [[[]]] * 3, "results": {"failed": 1}}) == "[[[]], [[]], [[]]]"
