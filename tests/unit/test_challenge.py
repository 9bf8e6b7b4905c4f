"""What the controller chooses before a run: new each time, kept, and held against what arrives."""

import json
import re

import pytest

from provisioner import arrival, challenge


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


def test_a_note_that_is_none_counts_as_none(tmp_path):
    path = tmp_path / "challenges/host/a"
    path.parent.mkdir(parents=True)
    path.write_text("0" * 1000)
    assert challenge.chosen(tmp_path, "host", "a") is None


def test_a_run_that_arrives_with_another_challenge_is_refused(tmp_path):
    run = {"run_id": "a", "challenge": "1" * 64}
    (tmp_path / "run.json").write_text(json.dumps(run))
    arrival.challenged(tmp_path, "1" * 64)
    arrival.challenged(tmp_path, None)  # of a run that another controller started
    for other in (run | {"challenge": "2" * 64}, {"run_id": "a"}):
        (tmp_path / "run.json").write_text(json.dumps(other))
        with pytest.raises(ValueError, match="another challenge than this controller chose"):
            arrival.challenged(tmp_path, "1" * 64)
