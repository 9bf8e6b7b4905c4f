"""`provisioner cancel`: what is told of each host, and the exit code."""

import json
from pathlib import Path

import pytest
import yaml

from provisioner.ansible import answers, events, runs_in_flight
from provisioner.ansible.events import Cancelled, Progress, TaskFailure
from provisioner.ansible.job import Host, Job
from provisioner.commands import cancel, plan, run
from provisioner.system import person

ROOT = Path(__file__).parents[2]
RUN = "20261123T090807Z-a1b2c3"
CAUSE = f"{person.CANCELLED}: alice@desk; run again, which measures anew"
FAILURE = {"phase": "compile", "cause": CAUSE, "first_error": None, "last_lines": ["+ pip install"]}
DONE = Cancelled("h1", "cancelled", RUN, "alice@desk", "interrupted", "compile")


def away(host):
    return Host(unreachable=True, failure=TaskFailure(host, "p", "t", unreachable=True, message="no route to host"))


@pytest.fixture
def answer(monkeypatch):
    """Instead of asking hosts, give the events and the hosts of the test's choice; what was asked is kept."""
    asked = []

    def give(*said, records=(), interrupted=False, **hosts):
        def run_playbook(playbook, target, watchers=(), extra_vars=None):
            asked.append((playbook, extra_vars, target.extra_vars["ansible_ssh_timeout"]))
            for event in said:
                for watcher in watchers:
                    watcher.event(event)
            return Job(Path("/nonexistent"), hosts=hosts, records=list(records), interrupted=interrupted)

        monkeypatch.setattr(cancel, "run_playbook", run_playbook)
        return asked

    return give


def test_a_run_that_was_cancelled_is_told_with_who_did_it(*, cli, answer, inventory, keep, state):
    record = keep(run_id=RUN, outcome="interrupted", failure=FAILURE)
    asked = answer(DONE, Cancelled("h2", "none", None), records=[record], h1=Host(changed=1), h2=Host())
    code, out, err = cli("cancel", "-i", inventory)
    assert (code, out) == (0, "")
    assert f"h1: run {RUN} was cancelled in compile by alice@desk\n" in err
    assert f"h1: its evidence: {state}/runs/h1/{RUN}\n" in err
    assert "h2: no run is under way\n" in err
    assert asked == [("cancel.yml", {"provisioner_cancel_run_id": ""}, cancel.SECONDS_TO_ANSWER)]


def test_the_document(cli, answer, inventory, keep):
    record = keep(run_id=RUN, outcome="interrupted", failure=FAILURE)
    answer(DONE, Cancelled("h2", "another", "r2"), records=[record], h1=Host(changed=1), h2=Host(), h3=away("h3"))
    code, out, _ = cli("cancel", "-i", inventory, RUN, "--json")
    nothing = {"by": "", "outcome": None, "phase": None, "verdict": None, "failed": 0, "unreachable": False}
    assert json.loads(out)["hosts"] == {
        "h1": {key: value for key, value in vars(DONE).items() if key != "host"}
        | {"verdict": record["audit"]["verdict"], "failed": 0, "unreachable": False},
        "h2": nothing | {"state": "another", "run_id": "r2"},
        "h3": nothing | {"state": "unknown", "run_id": None, "unreachable": True},
    }
    assert code == 3


def test_a_host_that_does_not_answer_is_told_that_nothing_comes_later(cli, answer, inventory):
    answer(DONE, h1=Host(), h2=away("h2"))
    code, _, err = cli("cancel", "-i", inventory)
    assert code == 3
    assert "h2: unreachable: no route to host" in err
    assert "h2: no answer, so a run there may go on, and nothing cancels it later: run the command again" in err


@pytest.mark.parametrize("by", ["bob@lab", ""])
def test_a_run_that_had_ended_is_no_mistake(cli, answer, inventory, by):
    outcome = "interrupted" if by else "ok"
    answer(Cancelled("h1", "ended", RUN, by, outcome), Cancelled("h2", "none", None), h1=Host(), h2=Host())
    code, _, err = cli("cancel", "-i", inventory, RUN)
    said = f"{outcome}, cancelled by {by}" if by else outcome
    assert code == 0 and f"h1: run {RUN} had ended already: {said}\n" in err


def test_a_run_that_nobody_knows_is_a_mistake_and_what_is_under_way_stays(cli, answer, inventory):
    asked = answer(Cancelled("h1", "another", "r2"), Cancelled("h2", "none", None), h1=Host(), h2=Host())
    code, _, err = cli("cancel", "-i", inventory, "nobody-s")
    assert code == 2 and asked[0][1] == {"provisioner_cancel_run_id": "nobody-s"}
    assert "h1: run r2 is under way there, and was left alone\n" in err
    assert "no host that was asked knows a run nobody-s; give" in err and "provisioner status" in err


def test_a_run_of_a_host_that_was_not_asked_is_told_with_its_host(cli, answer, inventory, state):
    state.mkdir(exist_ok=True)
    runs_in_flight.Notes(state).event(Progress("h9", RUN, "running", "compile", 60.0, 30.0))
    answer(Cancelled("h1", "none", None), h1=Host())
    code, _, err = cli("cancel", "-i", inventory, RUN)
    assert code == 2 and "it was last seen on h9" in err


def test_a_run_whose_record_is_here_has_ended_wherever_it_was(cli, answer, inventory, keep):
    keep(run_id=RUN, host="h9")
    answer(Cancelled("h1", "none", None), h1=Host())
    code, _, err = cli("cancel", "-i", inventory, RUN)
    assert code == 0 and f"h9: run {RUN} had ended already: ok\n" in err


@pytest.mark.parametrize("name", ["", "..", "../x", "a b", "$(id)", "-", "a\nb", "x" * 101])
def test_a_name_that_no_run_has_is_refused_before_any_host_is_asked(cli, answer, inventory, name):
    asked = answer()
    code, out, err = cli("cancel", "-i", inventory, "--", name)
    assert (code, out, asked) == (2, "", [])
    assert err.startswith("provisioner: ") and err.count("\n") == 1


def test_a_host_in_place_of_a_run_is_told_how_it_is_given(cli, answer, inventory):
    asked = answer()
    code, _, err = cli("cancel", "-i", inventory, "h2")
    assert (code, asked, err) == (2, [], "provisioner: h2 is a host, not a run; give -l h2\n")


def test_of_many_hosts_without_a_run_their_number_is_told(cli, answer, inventory):
    hosts = [f"h{number}" for number in range(500)]
    answer(*(Cancelled(host, "none", None) for host in hosts), **{host: Host() for host in hosts})
    code, _, err = cli("cancel", "-i", inventory)
    assert code == 0 and err == "provisioner: 500 hosts: no run is under way\n"


def test_hosts_that_do_not_answer_are_named_however_many_they_are(cli, answer, inventory):
    hosts = [f"h{number}" for number in range(100, 600)]
    answer(**{host: away(host) for host in hosts})
    code, _, err = cli("cancel", "-i", inventory)
    assert code == 3 and "provisioner: h[100-599]: no answer, so a run there may go on" in err


def test_an_interrupt_says_that_the_hosts_go_on_with_it(cli, answer, inventory):
    answer(interrupted=True)
    code, _, err = cli("cancel", "-i", inventory)
    assert code == 130 and "go on cancelling" in err and "provisioner status" in err


def test_what_was_in_flight_is_not_told_as_that_any_more(*, cli, answer, inventory, state, keep):
    state.mkdir(exist_ok=True)
    runs_in_flight.Notes(state).event(Progress("h1", RUN, "running", "compile", 60.0, 30.0))
    record = keep(run_id=RUN, outcome="interrupted", failure=FAILURE)
    answer(DONE, events.RecordFound("h1", record), records=[record], h1=Host())
    assert cli("cancel", "-i", inventory)[0] == 0
    assert runs_in_flight.seen(state) == []


def test_the_command_that_waits_for_the_run_ends_with_one_line(cli, monkeypatch, inventory, keep):
    record = keep(run_id=RUN, outcome="interrupted", failure=FAILURE)
    stopped = TaskFailure("h1", "Collect", "Stop where the run went wrong", unreachable=False, message="went wrong")
    job = Job(Path("/nonexistent"), hosts={"h1": Host(failed=1, failure=stopped)}, records=[record])
    monkeypatch.setattr(run, "run_playbook", lambda *_, **__: job)
    code, _, err = cli("run", "-i", inventory)
    assert code == 1
    assert [line for line in err.splitlines() if "cancelled" in line] == [
        f"provisioner: h1: run {RUN} interrupted in compile: {CAUSE}"
    ]
    assert "pip install" not in err, "what it did just then is no news"


def test_the_host_s_answer_is_an_event():
    told = {key: value for key, value in vars(DONE).items() if key != "host"}
    raw = {
        "event": "runner_on_ok",
        "event_data": {
            "host": "h1",
            "task_action": "scenario_run",
            "res": {"run_id": RUN, "scenario_cancelled": told},
        },
    }
    assert list(events.translate(raw)) == [DONE]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"state": "gone"},
        {"state": "cancelled", "run_id": None, "outcome": "interrupted"},
        {"state": "cancelled", "run_id": "../x", "outcome": "interrupted"},
        {"state": "ended", "run_id": RUN},
        {"state": "none", "run_id": None, "by": ["x"]},
        {"state": "another", "run_id": None},
    ],
)
def test_an_answer_that_cannot_be_is_refused(wrong):
    with pytest.raises(answers.WrongAnswerError):
        answers.run({"run_id": None, "scenario_cancelled": wrong}, "cancelled")


def test_who_it_is_is_what_the_system_knows(monkeypatch):
    monkeypatch.setenv("LOGNAME", "somebody-else")
    name, _, machine = person.at_this_machine().partition("@")
    assert name != "somebody-else" and machine
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 7)
    assert person.at_this_machine() == f"{2**31 - 7}@{machine}"


@pytest.mark.parametrize("given", ["interrupted", "unreachable"])
def test_who_leaves_a_run_under_way_is_told_how_it_is_stopped(cli, monkeypatch, inventory, given):
    job = Job(Path("/nonexistent"), hosts={"h1": away("h1")}, running={"h1": RUN}, interrupted=given == "interrupted")
    monkeypatch.setattr(run, "run_playbook", lambda *_, **__: job)
    assert "`provisioner cancel` stops it" in cli("run", "-i", inventory)[2]


def test_who_finds_a_run_under_way_is_told_how_it_is_stopped(cli, monkeypatch, inventory, state):
    state.mkdir(exist_ok=True)
    runs_in_flight.Notes(state).event(Progress("h1", RUN, "running", "compile", 60.0, 30.0))
    assert "`provisioner cancel` stops a run in flight" in cli("status", "--offline")[2]
    job = Job(Path("/nonexistent"), hosts={"h1": Host()})
    job.looks["h1"] = {}
    job.planned["h1"] = events.Planned("h1", "attach", RUN)
    monkeypatch.setattr(plan, "run_playbook", lambda *_, **__: job)
    assert "`provisioner cancel` stops it" in cli("plan", "-i", inventory)[2]
    (refusal,) = [
        task["ansible.builtin.fail"]["msg"]
        for task in yaml.safe_load((ROOT / "roles/scenario/tasks/clean.yml").read_text())
        if "ansible.builtin.fail" in task
    ]
    assert "under way" in refusal and "`provisioner cancel`" in refusal
