"""`provisioner status`: what the hosts answer, and what is told of those that do not, or are not asked."""

import json
from pathlib import Path

import pytest

from provisioner.ansible import runs_in_flight
from provisioner.ansible.events import Ended, Progress, TaskFailure
from provisioner.ansible.job import Host, Job
from provisioner.commands import status

ENDED = {
    "run_id": "left",
    "started_at": "2026-11-23T07:00:00Z",
    "outcome": "interrupted",
    "phase": "compile",
    "cause": "the host restarted",
    "collected": False,
}


def at(host, run_id="r1", phase="compile"):
    return Progress(host, run_id, "running", phase, 60.0, 30.0, 3, 13)


def away(host):
    return Host(unreachable=True, failure=TaskFailure(host, "p", "t", unreachable=True, message="no route to host"))


@pytest.fixture
def noted(state):
    """What this machine last saw of the hosts."""
    state.mkdir(exist_ok=True)
    return runs_in_flight.Notes(state)


@pytest.fixture
def answer(monkeypatch):
    """Instead of asking hosts, give the events and the hosts of the test's choice; what was asked is kept."""
    asked = []

    def give(*said, **hosts):
        def run_playbook(playbook, target, watchers=(), extra_vars=None):
            asked.append(playbook)
            for event in said:
                for watcher in watchers:
                    watcher.event(event)
            return Job(Path("/nonexistent"), hosts=hosts)

        monkeypatch.setattr(status, "run_playbook", run_playbook)
        return asked

    return give


def test_without_an_inventory_nobody_is_asked_where_no_run_was_made(*, cli, keep, noted, answer, monkeypatch, tmp_path):
    asked = answer()
    monkeypatch.setattr(status, "SCENARIO", tmp_path / "none")
    assert "no runs" in cli("status")[2]
    done = keep(run_id="done")
    noted.event(at("h1"))
    _, out, _ = cli("status")
    assert "3/13" in out and "1m00s" in out and "done" in out
    noted.event(at("h1", "done"))
    document = json.loads(cli("status", "--json")[1])
    assert document["in_flight"] == [], "its record is there: it is not in flight any more"
    assert document["runs"] == [done]
    assert asked == []


def test_what_a_host_answers_is_told_in_place_of_what_was_last_seen(cli, noted, answer, inventory):
    noted.event(at("h1", "old", "image_build"))
    noted.event(at("h2", "over"))
    answer(Ended("h1", ()), at("h1", "new"), Ended("h2", (ENDED,)), h1=Host(), h2=Host())
    code, out, err = cli("status", "-i", inventory)
    assert code == 0
    assert "new" in out and "now" in out and "old" not in out and "over" not in out
    assert "left" in out and "interrupted" in out and "collects" in err


def test_the_document_says_who_did_not_answer(cli, noted, answer, inventory, keep):
    noted.event(at("h2", "seen"))
    keep(run_id="kept")
    ended = (ENDED, ENDED | {"run_id": "kept"}, ENDED | {"run_id": "elsewhere", "collected": True})
    answer(Ended("h1", ended), h1=Host(), h2=away("h2"))
    code, out, err = cli("status", "-i", inventory, "--json")
    document = json.loads(out)
    assert code == 3
    assert [(note["run_id"], note["answered"]) for note in document["in_flight"]] == [("seen", False)]
    assert document["uncollected"] == [{"host": "h1", **ENDED}]
    assert document["unanswered"] == {"h2": "no route to host"}
    assert "h2: unreachable: no route to host" in err


def test_of_the_runs_kept_here_the_newest_of_each_host_is_told(cli, keep, answer, inventory):
    keep(run_id="old", started_at="2026-11-23T10:00:00Z")
    keep(run_id="new", started_at="2026-11-23T12:00:00Z")
    keep(run_id="other", started_at="2026-11-23T11:00:00Z", host="h2")

    def told(*options):
        code, out, err = cli("status", "--offline", *options)
        assert code == 0 and "3 runs of 2 hosts kept here" in err
        return [line.split()[-1] for line in out.splitlines()[1:]]

    assert told() == ["new", "other"]
    assert told("--all") == ["new", "other", "old"]
    assert told("--last", "1") == ["new"]
    runs = json.loads(cli("status", "--offline", "--json", "--last", "2")[1])["runs"]
    assert [run["run_id"] for run in runs] == ["new", "other"]


def test_offline_asks_nobody(cli, noted, answer, inventory):
    asked = answer()
    noted.event(at("h1"))
    assert "3/13" in cli("status", "-i", inventory, "--offline")[1]
    assert asked == []
