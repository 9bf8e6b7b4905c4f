"""What the controller chooses before a run: new each time, kept, and held against what arrives."""

import io
import json
import os
import re
import tarfile

import pytest

from provisioner.runs import challenge
from provisioner.store import reception


def test_it_is_new_for_each_run_and_kept(tmp_path):
    first, second = (challenge.choose(tmp_path, "host", run) for run in ("a", "b"))
    assert first != second and re.fullmatch(r"[0-9a-f]{64}", first)
    assert [challenge.chosen(tmp_path, "host", run) for run in ("a", "b", "c")] == [first, second, None]
    assert challenge.chosen(tmp_path, "other", "a") is None
    assert (tmp_path / "challenges/host").stat().st_mode & 0o077 == 0


def test_that_of_a_run_that_did_not_begin_is_forgotten(tmp_path):
    challenge.choose(tmp_path, "host", "a")
    challenge.forget(tmp_path, "host", "a")
    challenge.forget(tmp_path, "host", "a")
    assert challenge.chosen(tmp_path, "host", "a") is None


@pytest.mark.parametrize(("host", "run"), [("..", "a"), ("host", "../a"), ("a/b", "a"), ("", "a")])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, host, run):
    with pytest.raises(ValueError, match="is no"):
        challenge.choose(tmp_path, host, run)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "note", ["", "0" * 63, "0" * 65, "0" * 1000, "g" * 64, "0" * 63 + "\n", b"\xff" * 64, "folder", "link"]
)
def test_a_note_that_is_broken_is_a_fault_and_no_run_without_one(tmp_path, note):
    path = tmp_path / "challenges/host/a"
    path.parent.mkdir(parents=True)
    if note == "folder":
        path.mkdir()
    elif note == "link":
        path.symlink_to("nowhere")
    else:
        path.write_bytes(note if isinstance(note, bytes) else note.encode())
    for ask in (challenge.chosen, challenge.choose):
        with pytest.raises(ValueError, match=r"note of its challenge is broken|goes through a link"):
            ask(tmp_path, "host", "a")
    challenge.forget(tmp_path, "host", "a")


def test_a_run_that_is_asked_for_again_keeps_its_own(tmp_path):
    """Where the answer to the first question was lost, the run may be there."""
    assert challenge.choose(tmp_path, "host", "a") == challenge.choose(tmp_path, "host", "a")


def test_a_note_is_there_whole_and_on_the_disk_or_not_at_all(tmp_path, monkeypatch):
    def no_room(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OSError, match="No space"):
        challenge.choose(tmp_path, "host", "a")
    assert challenge.chosen(tmp_path, "host", "a") is None
    assert list((tmp_path / "challenges/host").iterdir()) == []


def test_it_goes_with_its_run(cli, keep, state):
    for run_id in ("a", "b", "c"):
        keep(run_id=run_id)
        challenge.choose(state, "h1", run_id)
    assert cli("delete", "a", "--yes")[0] == 0
    assert cli("prune", "--keep", "1", "--yes")[0] == 0
    (left,) = (path.name for path in (state / "runs/h1").iterdir())
    assert [path.name for path in (state / "challenges/h1").iterdir()] == [left]


def sent(run):
    """Evidence as a host sends it."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, text in (("run.json", run), ("result.json", "{}")):
            member = tarfile.TarInfo(f"a/{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()


MINE = "1" * 64
OTHERS = [json.dumps({"run_id": "a", "challenge": "2" * 64}), json.dumps({"run_id": "a"}), "[]", "", "{"]


@pytest.mark.parametrize("run", OTHERS)
def test_a_run_that_arrives_with_another_challenge_leaves_nothing_here(tmp_path, run):
    with pytest.raises(ValueError, match=r"another challenge than this controller chose|came broken"):
        reception.bring_in(sent(run), tmp_path / "host/a", challenge=MINE)
    assert not (tmp_path / "host").exists()
    reception.bring_in(sent(run), tmp_path / "host/a")  # of a run that another controller started


def test_a_run_with_its_own_arrives(tmp_path):
    reception.bring_in(sent(json.dumps({"run_id": "a", "challenge": MINE})), tmp_path / "a", challenge=MINE)
    assert reception.is_here(tmp_path / "a")


def test_one_that_is_here_with_another_has_no_record(tmp_path):
    """As an earlier version left it."""
    reception.bring_in(sent(OTHERS[0]), tmp_path / "a")
    with pytest.raises(ValueError, match="another challenge than this controller chose"):
        reception.record(tmp_path / "a", "host", challenge=MINE)
    assert not (tmp_path / "a/record.json").exists()
