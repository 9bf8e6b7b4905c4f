"""`provisioner run --like`: a run that was sent is repeated with its inputs, and what cannot be the same is told."""

import json
from pathlib import Path

import evidence_sample
import pytest

from provisioner import archive, files
from provisioner.commands import run as run_command
from provisioner.job import Host, Job

SAMPLE = json.loads((evidence_sample.SAMPLE / "run.json").read_text())
RUN = SAMPLE["run_id"]


@pytest.fixture
def asked(monkeypatch):
    """What Ansible would be told, instead of doing it: a job that brings nothing."""
    targets = []

    def run_playbook(_playbook, target, _watchers=(), _extra_vars=None, *, measured=False):
        assert measured
        targets.append(target)
        return Job(Path("/nonexistent"), hosts={name: Host() for name in target.hosts})

    monkeypatch.setattr(run_command, "run_playbook", run_playbook)
    return targets


@pytest.fixture
def sent(tmp_path):
    """The sample's archive, as somebody sent it."""
    folder = evidence_sample.copy(tmp_path / RUN)
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    path = tmp_path / "sent.tar.xz"
    files.put(path, archive.pack(RUN, files))
    return path


def test_an_archive_is_repeated_with_its_inputs(cli, asked, sent, inventory):
    code, _, err = cli("run", "-i", inventory, "--like", sent)
    assert code == 0, err
    told = asked[0].extra_vars
    assert told["provisioner_profile"] == "registries" and told["scenario_a_runtime"] == "devcontainer"
    assert (told["scenario_a_arch_list"], told["scenario_a_max_jobs"]) == (SAMPLE["arch_list"], SAMPLE["max_jobs"])
    assert "scenario_a_xformers_url" not in told, "what is on a host itself, the profile puts there"
    assert f"to be repeated: {RUN} on elsewhere: incomplete" in err
    commit = (evidence_sample.SAMPLE / "commit.txt").read_text().strip()
    assert f"it compiled commit {commit[:12]}; which it is here the clone decides" in err
    assert err.index("may not be the same") < err.index("compiled commit")


def test_the_command_line_has_the_last_word(cli, asked, sent, inventory):
    assert cli("run", "-i", inventory, "--like", sent, "--max-jobs", "7")[0] == 0
    assert asked[0].extra_vars["scenario_a_max_jobs"] == "7"
    code, out, err = cli("run", "-i", inventory, "--like", sent, "--profile", "seed")
    assert (code, out) == (2, "") and "--like is of profile registries, and --profile is seed" in err


def test_a_record_or_a_run_of_the_store_is_repeated_and_what_it_is_worth_is_said(cli, asked, keep, inventory, tmp_path):
    record = keep()
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record) + "\n")
    code, _, err = cli("run", "-i", inventory, "--like", path)
    assert code == 0 and "on h1: unverified" in err
    assert "the files that ran were no set that was shipped" in err
    code, _, err = cli("run", "-i", inventory, "--like", record["run_id"])
    assert code == 0 and "on h1: unverified" not in err
    assert len(asked) == 2 and asked[0].extra_vars == asked[1].extra_vars


def test_another_base_image_is_told_and_not_taken(cli, asked, keep, record, inventory):
    keep(inputs=record["inputs"] | {"base_image": "registry.example/evil:1"})
    code, _, err = cli("run", "-i", inventory, "--like", record["run_id"])
    assert code == 0 and "its base image was registry.example/evil:1; profile registries has" in err
    assert "scenario_a_base_image" not in asked[0].extra_vars


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"profile": "../../etc"}, "no profile named"),
        ({"profile": None}, "is no run of ours"),
        ({"scenario": "b"}, "is no run of ours"),
        ({"runtime": "native", "profile": "upstream"}, "no profile named"),
        ({"inputs": {"xformers_url": "https://x/$(touch /pwned)"}}, "give a URL to clone from"),
        ({"inputs": {"xformers_ref": "--upload-pack=x"}}, "give the name of a branch"),
        ({"inputs": {"arch_list": "9.0; rm -rf /"}}, "give GPU architectures"),
        ({"inputs": {"max_jobs": 10**9}}, "give a number of compile jobs"),
    ],
)
def test_what_a_stranger_wrote_is_checked_as_if_it_were_given(  # noqa: PLR0917
    cli, asked, keep, record, inventory, changes, said
):
    inputs = record["inputs"] | changes.pop("inputs", {})
    keep(inputs=inputs, **changes)
    code, out, err = cli("run", "-i", inventory, "--like", record["run_id"])
    assert (code, out, asked) == (2, "", []) and said in err


def test_a_file_of_none_or_of_two_is_refused(cli, asked, record, inventory, tmp_path):
    path = tmp_path / "records.jsonl"
    for text in ("", json.dumps(record) * 2, f"{json.dumps(record)}\n{json.dumps(record)}\n", "\xff"):
        path.write_bytes(text.encode("latin-1"))
        code, out, _ = cli("run", "-i", inventory, "--like", path)
        assert (code, out, asked) == (2, "", [])
    assert cli("run", "-i", inventory, "--like", "no-such-run")[0] == 2


def test_compare_takes_what_was_sent_and_says_what_repeats(cli, keep, record, sent, tmp_path):
    slower = [
        phase | ({"seconds": phase["seconds"] * 2} if phase["name"] == "compile" else {}) for phase in record["phases"]
    ]
    keep(run_id="one")
    keep(run_id="two", phases=slower)
    code, out, _ = cli("compare", "one", "two", "--json")
    assert code == 0 and json.loads(out)["reproduces"]["clone"] == "same"
    assert json.loads(out)["reproduces"]["compile"] == "slower"
    out = cli("compare", "one", "two")[1]
    assert "B has A's times within 10%: " in out and "slower: compile (2.00)" in out
    code, out, err = cli("compare", sent, "one", "--allow-different", "--json")
    assert code == 0 and json.loads(out)["a"]["runs"] == [RUN], err
    assert "not judged here" not in err
