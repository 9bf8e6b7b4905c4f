"""The action plugin scenario_run: a host that does not answer is waited for, and not for ever."""

import time
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action.normal import ActionModule as NormalAction

from ansible_collections.provisioner.gpu_hosts.plugins.action import scenario_run as plugin

PROGRESS = {"run_id": "r1", "phase": "clone", "elapsed": 2.0, "phase_elapsed": 1.0, "done": None, "total": None}
PROGRESS |= {"input_hash": "", "said": ""}
RUNNING = {"run_id": "r1", "scenario_progress": PROGRESS | {"state": "running"}}
LOST = {"failed": True, "msg": "MODULE FAILURE", "module_stdout": "Connection to h1 closed.\r\n"}


class Told(NormalAction):
    """A host that answers as told."""

    def run(self, tmp, task_vars):
        if isinstance(self.answer, Exception):
            raise self.answer
        return dict(self.answer)


class Asking(plugin.ActionModule, Told):
    """The plugin, whose `super().run` is Told's."""

    _templar = None


@pytest.fixture
def ask():
    """Ask a host that answers as told, with what the attempt before returned."""

    def run(answer, before=None, register="found", **options):
        variables = {"inventory_hostname": "h1"}
        action = object.__new__(Asking)
        action.answer = answer
        action._connection = SimpleNamespace(transport="local")
        arguments = {"run_id": "r1", "timeout": 0} | options
        own = {"action": "provisioner.gpu_hosts.scenario_run", "get_vars": dict}
        action._task = SimpleNamespace(args=arguments, register=register, check_mode=False, **own)
        return action.run(None, variables | ({"found": before} if before else {}))

    return run


def test_what_the_attempt_before_returned_is_read_with_every_ansible_core(ask, monkeypatch):
    """From 2.21 on a register is a mapping, and what it holds is an expression that is yet to be evaluated."""
    before = {"scenario_watched_since": time.monotonic() - 31}
    templar = SimpleNamespace(template=lambda value: {"an expression": before}[value])
    monkeypatch.setattr(Asking, "_templar", templar, raising=False)
    for register, value in (("found", before), ({"found": "x"}, before), ({"found": "x"}, "an expression")):
        last = ask(RUNNING, value, register, patience=60, watch=30)
        assert last["failed"] and "attaches" in last["msg"], register
    assert not ask(RUNNING, None, {"found": "x"}, patience=60, watch=30).get("failed")


def test_an_answer_is_given_as_it_is(ask):
    finished = {"run_id": "r1", "scenario_progress": PROGRESS | {"state": "finished"}}
    assert ask(finished, patience=60) == finished
    refused = {"failed": True, "msg": "no; mend it"}
    assert ask(refused, patience=60) == refused


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (RUNNING, True),
        (LOST, True),
        ({"failed": True, "msg": "runs of Scenario A: it did not start; run it by hand to see why"}, True),
        ({"failed": True, "msg": "no", "scenario_planned": {"would": "refuse", "detail": "no"}}, False),
        ({"run_id": "r2", "scenario_progress": PROGRESS | {"run_id": "r2", "state": "running"}}, False),
    ],
)
def test_a_challenge_is_kept_unless_the_host_says_that_its_run_did_not_begin(ask, tmp_path, answer, kept):
    ask(answer, state="started", state_dir=str(tmp_path))
    assert (tmp_path / "challenges/h1/r1").exists() == kept


def test_without_the_package_a_run_is_started_and_has_no_challenge(ask, tmp_path, monkeypatch):
    monkeypatch.setattr(plugin, "challenge", None)
    ask({"run_id": "r1", "changed": True}, state="started", state_dir=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["note", "folder", "host"])
def test_a_challenge_that_cannot_be_noted_is_one_line_and_nothing_is_asked(ask, tmp_path, how):
    path = tmp_path / "challenges" / ("h1/r1" if how == "note" else "h1" if how == "folder" else "")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    with pytest.raises(AnsibleActionFail, match=r"^no challenge for the run in [^\n]+$"):
        ask(AssertionError(), state="started", state_dir=str(tmp_path))


@pytest.mark.parametrize("answer", [{"scenario_progress": "x"}, {}, {"run_id": "../x"}])
def test_an_answer_of_other_types_is_a_failure(ask, answer):
    with pytest.raises(AnsibleActionFail, match="not what was asked for"):
        ask(answer, patience=60)


def test_while_the_run_goes_on_there_is_a_word_for_when_attempts_are_used_up(ask):
    assert "attaches" in ask(RUNNING, patience=60)["msg"]


@pytest.mark.parametrize("answer", [RUNNING, LOST])
def test_watching_ends(ask, answer):
    """Whatever the host answers in between."""
    first = ask(answer, patience=60, watch=30)
    assert not first.get("failed")
    assert not ask(RUNNING, first, patience=60, watch=30).get("failed")
    last = ask(RUNNING, first | {"scenario_watched_since": time.monotonic() - 31}, patience=60, watch=30)
    assert last["failed"] and "attaches" in last["msg"]


@pytest.mark.parametrize("answer", [AnsibleConnectionFailure("no route to host"), LOST])
def test_silence_is_told_and_adds_up_over_attempts(ask, answer):
    first = ask(answer, patience=60)
    assert not first.get("failed")
    silent = first["scenario_silent"]
    assert silent["run_id"] == "r1" and silent["message"] in {"no route to host", "Connection to h1 closed."}
    earlier = first | {"scenario_silent": silent | {"since": silent["since"] - 30}}
    assert ask(answer, earlier, patience=60)["scenario_silent"]["seconds"] >= 30


def test_patience_ends(ask):
    before = {"scenario_silent": {"since": time.monotonic() - 61}}
    with pytest.raises(AnsibleConnectionFailure):
        ask(AnsibleConnectionFailure("no route to host"), before, patience=60)
    with pytest.raises(AnsibleConnectionFailure):
        ask(LOST, before, patience=60)


def test_an_answer_ends_the_silence(ask):
    after = ask(RUNNING, {"scenario_silent": {"since": time.monotonic() - 59}}, patience=60)
    assert "scenario_silent" not in after


def test_without_patience_it_is_as_ever(ask):
    with pytest.raises(AnsibleConnectionFailure):
        ask(AnsibleConnectionFailure("no route to host"))
    assert ask(LOST) == LOST


def test_the_host_is_told_who_cancels_its_run_by_the_controller_alone(ask, monkeypatch):
    given = {}
    monkeypatch.setattr(plugin.person, "at_this_machine", lambda: "alice@desk")
    monkeypatch.setattr(Told, "run", lambda action, *_: given.update(action._task.args) or dict(action.answer))
    ask({"run_id": None, "scenario_cancelled": {"run_id": None, "state": "none"}}, state="cancelled", by="bob@lab")
    assert given["by"] == "alice@desk"
