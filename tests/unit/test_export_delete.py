"""`provisioner export` and `provisioner delete`."""

import errno
import io
import json
import os
import sys
from pathlib import Path

import pytest


@pytest.fixture
def two(keep):
    """Newest first."""
    return [keep(run_id="new", started_at="2026-11-23T12:00:00Z"), keep(run_id="old", host="h2")]


def test_export_writes_a_record_a_line(cli, two, tmp_path):
    path = tmp_path / "runs.jsonl"
    code, out, err = cli("export", path)
    assert (code, out) == (0, "") and "2 records" in err
    assert [json.loads(line) for line in path.read_text().splitlines()] == two
    assert [json.loads(line) for line in cli("export", "-")[1].splitlines()] == two
    assert [json.loads(line) for line in cli("export", "--host", "h2", "-")[1].splitlines()] == two[1:]
    assert json.loads(cli("export", path, "--json")[1]) == {"file": str(path), "runs": 2}


def test_export_of_a_host_that_never_was_is_refused(cli, two, tmp_path):
    path = tmp_path / "runs.jsonl"
    code, out, err = cli("export", "--host", "nope", path)
    assert (code, out) == (2, "") and "no run on a host nope" in err and err.count("\n") == 1
    assert not path.exists()
    code, _, err = cli("export", "--host", "h1", "--since", "2026-12-01", path)
    assert code == 0 and "no run matches" in err, "there may be one next time"


def test_a_full_disk_leaves_the_file_that_was_there(cli, two, tmp_path, monkeypatch):
    path = tmp_path / "runs.jsonl"
    path.write_text("before")
    (tmp_path / "folder").mkdir()

    def no_room(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_room)
    places = (
        (path, 1, "No space left"),
        (tmp_path / "missing/x", 2, "No such file"),
        (tmp_path / "folder", 2, "Is a directory"),
    )
    for where, wrong, why in places:
        code, out, err = cli("export", where)
        assert (code, out) == (wrong, "") and err.count("\n") == 1 and why in err
    assert path.read_text() == "before" and sorted(p.name for p in tmp_path.iterdir()) == [
        "folder",
        "runs.jsonl",
        "state",
    ]


def test_delete_removes_record_and_evidence(cli, two, state):
    code, out, err = cli("delete", "new", "--yes", "--json")
    assert code == 0 and json.loads(out) == {"deleted": ["new"]}
    assert "on h1" in err or "h1:" in err
    assert not (state / "runs/h1").exists()
    assert cli("facts", "-q", "runs[].run_id")[1] == "old\n"


def test_delete_takes_all_or_none(cli, two, state):
    code, out, err = cli("delete", "new", "nonsense", "--yes")
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert cli("facts", "-q", "length(runs)")[1] == "2\n"


def test_delete_asks(cli, two, monkeypatch):
    code, _, err = cli("delete", "new")
    assert code == 2 and "--yes" in err, "nobody is there to ask"

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    code, _, err = cli("delete", "new")
    assert code == 2 and "nothing was deleted" in err
    assert cli("facts", "-q", "length(runs)")[1] == "2\n"
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert cli("delete", "new")[0] == 0
    assert cli("facts", "-q", "length(runs)")[1] == "1\n"


def test_what_cannot_be_deleted_is_one_line(cli, two, state, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "rename", refuse)
    code, out, err = cli("delete", "new", "--yes")
    assert (code, out) == (1, "") and err.count("\n") == 1 and "not permitted" in err
    assert cli("facts", "-q", "length(runs)")[1] == "2\n"
