"""The store: record files are the truth, the index follows them, and nothing that befalls the index loses a run."""

import errno
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from provisioner.errors import ProvisionerError
from provisioner.store import Store, database, index
from provisioner.store.selection import Selection
from provisioner.text import fast_json

ROOT = Path(__file__).parents[2]


def ids(state, *which, **fields):
    return [run.run_id for run in Store(state).list(*which, **fields)]


def reads(program, *arguments):
    """A process of its own that runs `program`, with the package at hand."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


# --- what is there ---


def test_nothing_is_there_and_nothing_is_made(state):
    assert Store(state).list() == []
    assert not state.exists()


def test_newest_first_whatever_the_zone_and_precision(state, keep):
    keep(run_id="a", started_at="2026-11-23T10:00:00Z")
    keep(run_id="b", started_at="2026-11-23T10:30:00+01:00")
    keep(run_id="c", started_at="2026-11-23T10:00:00.5Z", host="h2")
    assert ids(state) == ["c", "a", "b"]
    assert Store(state).list()[0].started == datetime(2026, 11, 23, 10, 0, 0, 500000, tzinfo=UTC)


def test_a_record_comes_back_as_it_was_written(state, keep):
    written = keep()
    for _ in range(2):  # from the file, then from the index
        (run,) = Store(state).list()
        assert run.record == written
        assert list(run.record) == list(written)
        assert run.folder == state / "runs" / "h1" / written["run_id"]
    assert [(text.run_id, text.host, json.loads(text.json)) for text in Store(state).texts()] == [
        (written["run_id"], "h1", written)
    ]


def test_only_what_is_wanted_of_a_record(state, keep):
    written = keep(failure={"phase": "clone", "last_lines": ["x"]})
    (record,) = Store(state).records(fields=("timings", "audit.verdict", "failure", "phases", "nothing"))
    assert record["timings"] == written["timings"] and record["phases"] == written["phases"]
    assert record["audit"] == {"verdict": "incomplete"}, "the checks were not asked for"
    assert record["failure"] == written["failure"]
    assert record["nothing"] is None
    assert (record["run_id"], record["host"]) == (written["run_id"], "h1")
    (record,) = Store(state).records(fields=("audit.checks", "machine.gpus"))
    assert record["audit"]["checks"] == written["audit"]["checks"] and record["machine"]["gpus"] == []


def test_a_field_that_only_some_records_have(state, keep):
    keep(run_id="a", started_at="2026-01-01T00:00:00Z", extra={"list": [1], "n": 2})
    keep(run_id="b", started_at="2026-01-02T00:00:00Z", extra=None)
    keep(run_id="c", started_at="2026-01-03T00:00:00Z")
    found = [record["extra"] for record in Store(state).records(fields=("extra",))]
    assert found == [None, None, {"n": 2, "list": [1]}]


def test_a_name_with_a_dot_is_in_the_whole_record(state, keep):
    written = keep(**{"inputs.torch": "not the torch", "x": {"a.b": [1], "c": [2]}})
    (whole,), (part,) = Store(state).records(), Store(state).records(fields=("inputs.torch", "x"))
    assert whole == written
    assert part["inputs"]["torch"] == "2.14.1" and part["x"] == written["x"]


def test_which_runs_are_meant(state, keep):
    for day in range(1, 6):
        keep(run_id=f"r{day}", host=f"h{day % 2}", started_at=f"2026-11-0{day}T00:00:00Z")
    at = lambda day: datetime(2026, 11, day, tzinfo=UTC)  # noqa: E731
    assert ids(state, Selection(hosts=("h0",))) == ["r4", "r2"]
    assert ids(state, Selection(hosts=("x", "h[!0]"))) == ["r5", "r3", "r1"]
    assert ids(state, Selection(since=at(4))) == ["r5", "r4"]
    assert ids(state, Selection(since=at(2), until=at(4))) == ["r3", "r2"]
    assert ids(state, Selection(hosts=("h1",), last=2)) == ["r5", "r3"]
    assert ids(state, Selection(run_ids=("r1", "r2", "x"))) == ["r2", "r1"]
    assert ids(state, Selection(run_ids=())) == []


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


def test_a_run_that_is_there_twice_is_not_guessed_at(state, keep):
    keep(run_id="x", host="h1")
    keep(run_id="x", host="h2")
    with pytest.raises(ProvisionerError) as caught:
        Store(state).get("x")
    assert all(str(state / "runs" / host / "x") in str(caught.value) for host in ("h1", "h2"))


# --- the files change ---


def test_the_index_follows_the_files(state, keep):
    first, second = keep(run_id="a"), keep(run_id="b")
    assert ids(state) == ["b", "a"]
    (state / "runs/h1/a/record.json").write_text(json.dumps({**first, "run_id": "changed"}))
    shutil.rmtree(state / "runs/h1/b")
    keep(run_id="c")
    assert ids(state) == ["changed", "c"]
    shutil.rmtree(state / "runs/h1")
    assert ids(state) == []
    assert second["run_id"] == "b"


def test_a_run_without_a_record_is_no_run_yet(state, keep):
    folder = state / "runs/h1/in-flight"
    folder.mkdir(parents=True)
    assert ids(state) == []
    keep(run_id="other")
    (folder / "record.json").write_text((state / "runs/h1/other/record.json").read_text().replace("other", "in-flight"))
    assert ids(state) == ["other", "in-flight"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"schema": "scenario-a/1"}',
        '{"run_id": "\x00"}',
        b"\xff\xfe\x00",
        "started",
        "NaN",
        "1e999",
        "more",
    ],
)
def test_a_broken_record_is_kept_named_and_not_counted(state, keep, record, text):
    if text == "started":
        text = json.dumps({**record, "started_at": "0001-01-01T00:00:00+14:00"})
    if text == "NaN":
        text = json.dumps({**record, "extra": float("nan")})
    if text == "1e999":
        text = json.dumps({**record, "total_seconds": 0.25}).replace("0.25", text)
    if text == "more":
        text = json.dumps({**record, "of_a_later_version": 0.25}).replace("0.25", "1e999")
    data = text if isinstance(text, bytes) else text.encode()
    keep(run_id="good")
    keep(run_id="bad")
    path = state / "runs" / "h1" / "bad" / "record.json"
    path.write_bytes(data)
    for _ in range(2):
        store = Store(state)
        assert [run.run_id for run in store.list()] == ["good"]
        (line,) = store.warnings
        assert str(path) in line and "\n" not in line
    assert path.read_bytes() == data
    path.write_text(json.dumps({**record, "run_id": "mended"}))
    assert ids(state) == ["mended", "good"]


def test_what_another_version_refused_is_looked_at_again(state, keep, monkeypatch):
    good = keep(run_id="good")
    path = next(state.glob("runs/*/good/record.json"))
    content, times = path.read_text(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    path.write_text(content.replace(good["schema"], "x" * len(good["schema"]), 1))
    os.utime(path, ns=times)
    assert ids(state) == []
    path.write_text(content)
    os.utime(path, ns=times)
    assert ids(state) == [], "a file of the same time and size is not looked at again"
    monkeypatch.setattr(index, "__version__", "99")
    assert ids(state) == ["good"]


def test_names_that_are_no_text(state, keep):
    keep(run_id="good")
    shutil.copytree(state / "runs/h1", os.fsdecode(os.fsencode(state) + b"/runs/h\xff"))
    assert ids(state) == ["good", "good"]


# --- what befalls the index ---


def test_an_index_of_a_newer_version_is_refused_and_left_alone(state, keep, cli):
    keep()
    assert cli("facts")[0] == 0
    with sqlite3.connect(state / "store.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = (state / "store.db").read_bytes()
    log, runs = Path(__file__).parent / "data/upstream.log", sorted(state.rglob("record.json"))
    for command in (
        ["facts"],
        ["status"],
        ["run", "--profile", "registries", "-i", "nothing,"],
        ["audit", "x"],
        ["import", log],
    ):
        code, out, err = cli(*command)
        assert (code, out) == (2, "") and err.count("\n") == 1
        assert "newer version" in err and "--state-dir" in err
    assert (state / "store.db").read_bytes() == before
    assert sorted(state.rglob("record.json")) == runs
    shutil.rmtree(state / "runs")
    assert cli("import", log)[0] == 2 and not (state / "runs").exists()


def test_an_older_index_is_migrated_in_place(state, keep, monkeypatch):
    keep()
    assert len(ids(state)) == 1
    monkeypatch.setattr(
        database, "MIGRATIONS", (*database.MIGRATIONS, ("ALTER TABLE runs ADD COLUMN note TEXT DEFAULT 'migrated'",))
    )
    assert len(ids(state)) == 1
    with sqlite3.connect(state / "store.db") as connection:
        assert connection.execute("SELECT note FROM runs").fetchall() == [("migrated",)]
        assert connection.execute("PRAGMA user_version").fetchone() == (len(database.MIGRATIONS),)
    connection.close()


def test_a_migration_that_is_stopped_leaves_the_version_before_it(state, keep, monkeypatch):
    keep()
    assert len(ids(state)) == 1
    broken = (*database.MIGRATIONS, ("CREATE TABLE half (x)", "NONSENSE"))
    monkeypatch.setattr(database, "MIGRATIONS", broken)
    with pytest.raises(sqlite3.OperationalError):
        database.open_file(state / "store.db")
    monkeypatch.undo()
    with sqlite3.connect(state / "store.db") as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone() == (0,)
        assert connection.execute("PRAGMA user_version").fetchone() == (len(database.MIGRATIONS),)
    connection.close()


def damage(path, how):
    data = path.read_bytes()
    path.write_bytes(
        {
            "no database": b"not a database, but long enough to be taken for one by its size" * 100,
            "cut off": data[: len(data) // 2],
            "overwritten": data[:4096] + b"\xa5" * (len(data) - 4096),
            "noise": data[:100] + bytes(byte ^ 0x5A for byte in data[100:]),
        }[how]
    )


@pytest.mark.parametrize("how", ["no database", "cut off", "overwritten", "noise"])
def test_a_corrupt_index_is_kept_aside_and_made_anew(state, keep, how):
    for number in range(50):
        keep(run_id=f"r{number:02}")
    assert len(ids(state)) == 50
    damage(state / "store.db", how)
    corrupt = (state / "store.db").read_bytes()
    store = Store(state)
    assert len(store.list()) == 50
    (kept,) = state.glob("store.db.corrupt-*")
    assert kept.read_bytes() == corrupt
    (line,) = store.warnings
    assert kept.name in line and "\n" not in line
    assert len(Store(state).list()) == 50
    assert len(list(state.glob("store.db.corrupt-*"))) == 1


@pytest.mark.parametrize("options", [("--json",), ("-o", "csv"), ("--json", "-q", "runs")])
def test_a_record_that_is_no_json_in_the_index_is_read_from_its_file(state, keep, cli, options):
    keep()
    whole = cli("facts", *options)
    assert whole[0] == 0
    with sqlite3.connect(state / "store.db") as connection:
        connection.execute("UPDATE records SET value = '{' || value")
    connection.close()
    code, out, err = cli("facts", *options)
    assert (code, out) == whole[:2] and "was corrupt" in err and err.count("\n") == 1


def test_many_whole_records_are_what_few_are(state, keep, monkeypatch):
    for number in range(3):
        keep(run_id=f"r{number}", extra={"n": 0.1, "big": 10**20, "text": "é \u2028 😀", "list": []})
    few = Store(state).records()
    monkeypatch.setattr(fast_json, "MANY", 3)
    assert Store(state).records() == few and len(few) == 3


def test_another_programs_database_is_kept_aside(state, keep):
    keep()
    with sqlite3.connect(state / "store.db") as connection:
        connection.execute("CREATE TABLE runs (theirs)")
    connection.close()
    assert len(ids(state)) == 1
    assert len(list(state.glob("store.db.corrupt-*"))) == 1


def full(*_arguments):
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


def test_a_full_disk_costs_the_index_and_no_run(state, keep, cli, monkeypatch):
    written = keep()
    monkeypatch.setattr(index, "_put", full)
    monkeypatch.setattr(database, "open_memory", lambda opened=database.open_memory: monkeypatch.undo() or opened())
    code, out, err = cli("facts", "--json")
    assert code == 0 and json.loads(out)["runs"] == [written]
    assert err.count("\n") == 1 and "disk is full" in err


def test_no_file_can_be_made(state, keep):
    written = keep()
    (state / "store.db").mkdir()
    store = Store(state)
    assert [run.record for run in store.list()] == [written]
    (line,) = store.warnings
    assert "store.db" in line


READER = """
import sys
from pathlib import Path
from provisioner.store import Store
store = Store(Path(sys.argv[1]))
for _ in range(3):
    print(len(store.list()), *store.warnings)
"""


def test_several_processes_at_once(state, keep):
    for number in range(200):
        keep(run_id=f"r{number:03}")
    found = [process.communicate(timeout=120) for process in [reads(READER, state) for _ in range(4)]]
    assert found == [("200\n" * 3, "")] * 4


KILLED = """
import os, signal, sys
from pathlib import Path
from provisioner.store import Store, index
index.BATCH = 10
put, count = index._put, 0
def deadly(connection, entry):
    global count
    count += 1
    put(connection, entry)
    if count == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
index._put = deadly
Store(Path(sys.argv[1])).list()
"""


@pytest.mark.parametrize("at", [1, 25])
def test_a_kill_in_the_middle_leaves_nothing_to_mend(state, keep, at):
    for number in range(40):
        keep(run_id=f"r{number:02}")
    process = reads(KILLED, state, at)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    store = Store(state)
    assert len(store.list()) == 40 and store.warnings == []


# --- adding and deleting ---


def test_a_run_is_added_whole_or_not_at_all(state, record, monkeypatch):
    run = Store(state).add(record, {"scenario_a.log": b"log\r\n"})
    assert run.record == record and (run.folder / "scenario_a.log").read_bytes() == b"log\r\n"
    assert Store(state).add({**record, "profile": "other"}, {}).record == record, "what is there stays"

    def no_room(path, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", no_room)
    with pytest.raises(ProvisionerError, match="No space left on device"):
        Store(state).add({**record, "run_id": "new"}, {"log": b"x"})
    assert ids(state) == [record["run_id"]]
    assert sorted(path.name for path in state.iterdir()) == ["runs", "store.db", "store.lock"]


@pytest.mark.parametrize("name", ["../../x", "..", "", "a/b", "\0"])
def test_a_record_does_not_choose_its_folder(state, record, name):
    for changed in ({"host": name}, {"run_id": name}):
        with pytest.raises(ProvisionerError, match="folder"):
            Store(state).add({**record, **changed}, {})
    assert not state.exists()


def test_a_deleted_run_is_gone_with_its_evidence(state, keep):
    keep(run_id="a", host="h2")
    keep(run_id="b")
    store = Store(state)
    store.delete(store.get("a"))
    assert ids(state) == ["b"]
    assert not (state / "runs/h2").exists() and not (state / "deleted").exists()


def test_what_a_killed_delete_left_goes_with_the_next(state, keep):
    keep(run_id="a")
    (state / "deleted/h9-old").mkdir(parents=True)
    store = Store(state)
    store.delete(store.get("a"))
    assert not (state / "deleted").exists()
