"""facts --trace, against the Trace Event Format that Perfetto reads."""

import json

import pytest
from formatted import rendered

from provisioner.report.formats import trace
from provisioner.store import Text

LEDGER = [
    {"name": "a.o", "start": 20.0, "end": 50.0, "seconds": 30.0},
    {"name": "b.o", "start": 20.5, "end": 40.0, "seconds": 19.5},
    {"name": "c.o", "start": 40.001, "end": 60.0, "seconds": 19.999},
]


def events_of(records):
    texts = [Text(record["run_id"], record["host"], json.dumps(record)) for record in records]
    return json.loads(rendered(trace, texts))["traceEvents"]


@pytest.fixture
def with_ledger(record):
    return {**record, "compile": {**record["compile"], "ledger": LEDGER, "critical_path": ["b.o", "c.o"]}}


def test_every_event_is_of_the_format(with_ledger):
    for event in events_of([with_ledger]):
        assert event["ph"] in {"X", "M"}
        assert isinstance(event["name"], str) and isinstance(event["pid"], int) and isinstance(event["tid"], int)
        if event["ph"] == "X":
            assert isinstance(event["ts"], int) and isinstance(event["dur"], int) and event["dur"] >= 0
        else:
            assert event["name"] in {"process_name", "thread_name"} and event["args"]["name"]


def test_in_a_thread_events_nest_or_follow(with_ledger):
    """What Perfetto draws wrongly: two events of one thread that overlap and neither holds the other."""
    for tid in range(4):
        spans = sorted(
            (event["ts"], -event["dur"])
            for event in events_of([with_ledger])
            if event["ph"] == "X" and event["tid"] == tid
        )
        open_ends = []
        for start, minus in spans:
            while open_ends and open_ends[-1] <= start:
                open_ends.pop()
            # A record has hundredths of a second, so that ends may miss each other by a few.
            assert not open_ends or start - minus <= open_ends[-1] + 50_000
            open_ends.append(start - minus)


def test_objects_are_in_lanes_with_microseconds(with_ledger):
    events = {e["name"]: e for e in events_of([with_ledger]) if e.get("cat") == "object"}
    assert (events["a.o"]["ts"], events["a.o"]["dur"], events["a.o"]["tid"]) == (20_000_000, 30_000_000, 1)
    assert events["b.o"]["tid"] == events["c.o"]["tid"] == 2
    assert events["c.o"]["args"] == {"critical": True} and events["a.o"]["args"] == {"critical": False}


def test_each_run_is_a_process_and_an_older_record_has_its_phases(record, with_ledger):
    older = {**record, "compile": {k: v for k, v in record["compile"].items() if k not in {"ledger", "critical_path"}}}
    events = events_of([with_ledger, older])
    assert {event["pid"] for event in events} == {1, 2}
    assert {event["cat"] for event in events if event["pid"] == 2 and event["ph"] == "X"} == {"phase"}


def test_the_command_writes_it(cli, keep, tmp_path):
    kept = keep()
    file = tmp_path / "trace.json"
    code, out, err = cli("facts", "--trace", file)
    assert (code, out) == (0, "") and "perfetto" in err
    names = {event["name"] for event in json.loads(file.read_text())["traceEvents"]}
    assert {name for name, seconds in kept["timings"].items() if seconds} <= names
    before = file.read_bytes()
    cli("facts", "--trace", file)
    assert file.read_bytes() == before
    code, _, err = cli("facts", "--trace", tmp_path / "no/such/folder/trace.json")
    assert code == 2 and err.count("\n") == 1
