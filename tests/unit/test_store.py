"""The runs on disk: newest first, and a broken record is named, not counted and not touched."""

import pytest

from provisioner.errors import ProvisionerError
from provisioner.store import Store


def test_nothing_is_there(state):
    assert Store(state).list() == []
    assert not state.exists()


def test_newest_first_whatever_the_zone_and_precision(state, keep):
    keep(run_id="a", started_at="2026-11-23T10:00:00Z")
    keep(run_id="b", started_at="2026-11-23T10:30:00+01:00")
    keep(run_id="c", started_at="2026-11-23T10:00:00.5Z", host="h2")
    assert [run.run_id for run in Store(state).list()] == ["c", "a", "b"]


def test_a_record_comes_back_as_it_was_written(state, keep):
    written = keep()
    (run,) = Store(state).list()
    assert run.record == written
    assert run.record["of_a_later_version"] == {"kept": True}
    assert run.folder == state / "runs" / "h1" / written["run_id"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": "scenario-a/1"}', '{"run_id": "\x00"}'])
def test_a_broken_record_is_named_and_left_alone(state, keep, text):
    keep(run_id="good")
    keep(run_id="bad")
    path = state / "runs" / "h1" / "bad" / "record.json"
    path.write_text(text)
    store = Store(state)
    assert [run.run_id for run in store.list()] == ["good"]
    (line,) = store.warnings
    assert str(path) in line and "\n" not in line
    assert path.read_text() == text


def test_another_schema_is_not_taken_for_this_one(state, keep):
    keep(schema="scenario-a/2")
    store = Store(state)
    assert store.list() == [] and len(store.warnings) == 1


def test_a_run_by_its_id_or_a_beginning_of_it(state, keep):
    keep(run_id="20260101-a")
    keep(run_id="20260102-b")
    keep(run_id="20260102")
    store = Store(state)
    assert store.get("20260101").run_id == "20260101-a"
    assert store.get("20260102").run_id == "20260102"
    for wrong, said in (("2026", "more than one"), ("x", "no run"), ("", "no run")):
        with pytest.raises(ProvisionerError, match=said) as caught:
            store.get(wrong)
        assert caught.value.code == 2
