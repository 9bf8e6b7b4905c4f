"""What hosts answer is parsed by types; what is more than they were asked for is dropped."""

import json
from types import SimpleNamespace

import pytest

from provisioner.ansible import answers
from provisioner.text import bounds

LOOK = {"looks": {"site": {"changes": [{"what": "w", "from": "f", "to": None}], "apt": True, "notes": ["n"]}}}


def test_of_a_look_only_what_is_known_is_taken():
    evil = {"add_host": {"host_name": "x"}, "ansible_facts": {"site_ca_bundle": "/etc/shadow"}, "_ansible_no_log": True}
    found = answers.look(LOOK | evil | {"off": [], "changed": "no", "ansible_stats": "data", "results": [1]})
    assert set(found) == {"looks", "busy", "off", "waiting_for", "warnings", "reboot_required"}
    assert found["off"] == [{"what": "w", "from": "f", "to": None}], "it follows from the looks, whatever is said"
    assert found["looks"]["site"]["apt"] is True and found["looks"]["site"]["skipped"] == ""


def test_of_a_module_only_what_is_known_is_taken():
    evil = {"ansible_facts": {"site_ca_bundle": "/etc/shadow"}, "ansible_stats": "data", "results": [1], "x": 1}
    own = {"discovered_interpreter_python": "/usr/bin/python3"}
    assert answers.module({"changed": True, "msg": "m", **evil}) == {"changed": True, "msg": "m"}
    assert answers.module({"ansible_facts": own | evil})["ansible_facts"] == own


@pytest.mark.parametrize("answer", [{}, {"skipped": True}, {"unreachable": True}])
def test_what_is_needed_must_be_there(answer):
    with pytest.raises(answers.WrongAnswerError, match="it has no run_id"):
        answers.run(answer, "listed")
    with pytest.raises(answers.WrongAnswerError, match="it has no host_findings"):
        answers.checks({}, sources_only=False)
    assert answers.checks({}, sources_only=True) == {}
    with pytest.raises(answers.WrongAnswerError, match="it has no job"):
        answers.mending({}, "begun")
    assert answers.mending({}, "ended") == {}
    assert answers.run(answer | {"failed": True}, "listed") == {"failed": True}


STANDS = {"run_id": "r", "state": "running", "phase": "clone", "elapsed": 1}


@pytest.mark.parametrize(
    ("state", "answer", "wrong"),
    [
        ("finished", {"run_id": "other"}, "it is not of run r"),
        ("finished", {"run_id": None}, "it is not of run r"),
        ("packed", {"run_id": "other", "archive": ""}, "it is not of run r"),
        ("collected", {}, "it is not of run r"),
        ("finished", {"run_id": "r", "scenario_progress": STANDS | {"run_id": "other"}}, "its progress is of run"),
        ("started", {"run_id": "s", "scenario_progress": STANDS}, "its progress is of run"),
        ("started", {"run_id": None}, "run_id: None is not the id of a run"),
    ],
)
def test_what_is_told_is_of_the_run_that_was_asked_for(state, answer, wrong):
    with pytest.raises(answers.WrongAnswerError, match=wrong):
        answers.run(answer, state, "r")


def test_there_may_be_no_run():
    assert answers.run({"run_id": None}, "finished") == {"run_id": None}
    assert answers.run({"run_id": None}, "started", "r", check_mode=True) == {"run_id": None}
    # A run that was started earlier serves, and its name is its own.
    assert answers.run({"run_id": "earlier"}, "started", "r") == {"run_id": "earlier"}


JOB = "0123456789abcdef"
BEGUN = {"job": JOB, "waiting_for": "the prepare of me@here", "stale": True}
HOLDER = {"job": JOB, "identity": {"seen_from": "boot pid:[1]", "pid": 7, "began": "9"}}


def test_of_who_has_a_hosts_lock_only_what_is_asked_for_is_taken():
    found = answers.mending(BEGUN | {"holder": HOLDER | {"wanted": ["x"], "log": "/x"}, "x": 1}, "begun")
    assert found == BEGUN | {"holder": HOLDER}
    assert answers.mending({"provisioner_notes": ["n"]}, "ended") == {"provisioner_notes": ["n"]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"job": "x; rm"},
        {"waiting_for": ["x"]},
        {"stale": "yes"},
        {"holder": "x"},
        {"holder": HOLDER | {"job": 1}},
        {"holder": HOLDER | {"identity": "x"}},
        {"holder": HOLDER | {"identity": {"seen_from": "x", "pid": "7/../8", "began": ""}}},
        {"provisioner_notes": "x"},
    ],
)
def test_no_lock(wrong):
    with pytest.raises(answers.WrongAnswerError):
        answers.mending(BEGUN | wrong, "begun")


FINDING = {"check": "c", "outcome": "ok", "detail": "d", "remedy": ""}


def test_a_hosts_clock_may_be_set_to_any_time():
    for clock in ([0, 0.5], [-1e9, 4e9], (1, 2)):
        found = answers.checks({"host_findings": [FINDING], "host_clock": clock}, sources_only=False)
        assert found["host_clock"] == tuple(clock)


@pytest.mark.parametrize("clock", [None, "now", [1], [1, 2, 3], [1, "2"], [1, float("nan")], [True, 2], [1, 10**400]])
def test_no_clock(clock):
    with pytest.raises(answers.WrongAnswerError, match="host_clock"):
        answers.checks({"host_findings": [FINDING], "host_clock": clock}, sources_only=False)
    with pytest.raises(answers.WrongAnswerError, match="host_clock"):
        answers.checks({"host_clock": clock}, sources_only=True)


def test_a_warning_is_its_text():
    made = SimpleNamespace(event=SimpleNamespace(msg="w"))  # as Ansible makes of what a module says
    assert answers.module({"warnings": [made, "x", 1, {"event": 1}]})["warnings"] == ["w", "x"]


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "look",
    [
        None,
        [],
        "text",
        {"looks": None},
        {"looks": {"../x": {"changes": []}}},
        {"looks": {"site": []}},
        {"looks": {"site": {"changes": None}}},
        {"looks": {"site": {"changes": ["x"]}}},
        {"looks": {"site": {"changes": [{"what": "w", "from": {}, "to": "t"}]}}},
        {"looks": {"site": {"changes": [{"what": "w"}] * (bounds.LISTED + 1)}}},
        {"looks": {"site": {"changes": [], "x": deep(bounds.DEPTH + 1)}}},
        {"looks": {"site": {"changes": [], "x": [0] * (bounds.VALUES + 1)}}},
        {"looks": {"site": {"changes": [], "x": float("inf")}}},
        {"looks": {}, "waiting_for": ["x"]},
        {"looks": {}, "warnings": "x"},
        {"looks": {}, "busy": "x"},
        {"failed": True, "msg": "m", "busy": [1]},
        {"looks": {}, "reboot_required": "yes"},
    ],
)
def test_no_look(look):
    with pytest.raises(answers.WrongAnswerError) as error:
        answers.look(look)
    assert len(str(error.value)) < 300


def test_an_answer_has_a_size():
    with pytest.raises(answers.WrongAnswerError, match="larger than 4 MiB"):
        answers.parse(json.dumps("x" * bounds.ANSWER))
    for text in ("[" * 100_000, "{", ""):
        with pytest.raises(answers.WrongAnswerError, match="it is not JSON"):
            answers.parse(text)
    long = answers.look({"looks": {}, "waiting_for": "x" * 10**6})["waiting_for"]
    assert len(long) == bounds.LINE + 1
    with pytest.raises(answers.WrongAnswerError, match="archive: it is larger than 32 MiB"):
        answers.run({"run_id": "r", "archive": "A" * (bounds.ARCHIVE * 2)}, "packed")
