"""`provisioner run --like`: a run that was sent is repeated with its inputs, and what cannot be the same is told."""

import json
import shlex
import tarfile
from pathlib import Path

import evidence_sample
import pytest

from provisioner.ansible.job import Host, Job
from provisioner.commands import run as run_command
from provisioner.runs import archive
from provisioner.store import evidence_export
from provisioner.system.files import put

SAMPLE = json.loads((evidence_sample.SAMPLE / "run.json").read_text())
RUN = SAMPLE["run_id"]
RECORD = "20261123T090807Z-a1b2c3"


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
    put(path, archive.pack(RUN, files))
    return path


def test_an_archive_is_repeated_with_its_inputs(cli, asked, sent, inventory):
    code, _, err = cli("run", "-i", inventory, "--like", sent)
    assert code == 0, err
    told = asked[0].extra_vars
    assert told["provisioner_profile"] == "registries" and told["scenario_runtime"] == "devcontainer"
    assert told["scenario_arch_list"] == SAMPLE["arch_list"], "somebody set it"
    assert "scenario_max_jobs" not in told, "its host chose it"
    assert f"its max_jobs was {SAMPLE['max_jobs']}; here each host chooses its own, unless you give one" in err
    assert "scenario_xformers_url" not in told, "it is the profile's own"
    assert f"to be repeated: {RUN} on elsewhere: incomplete" in err
    what = "profile registries, runtime devcontainer, fork file:///sources/xformers.git, its default branch"
    assert f"to be repeated: {what}\n" in err
    commit = (evidence_sample.SAMPLE / "commit.txt").read_text().strip()
    assert f"it compiled commit {commit[:12]}; which it is here the clone decides" in err
    assert err.index("may not be the same") < err.index("compiled commit")


def test_the_command_line_has_the_last_word(cli, asked, sent, inventory):
    code, _, err = cli("run", "-i", inventory, "--like", sent, "--max-jobs", "7", "--arch-list", "8.0")
    assert code == 0 and f"its max_jobs was {SAMPLE['max_jobs']}; here it is 7" in err
    assert "its arch_list was 9.0; here it is 8.0" in err
    by_hand = ("-e", "scenario_max_jobs=6", "-e", "scenario_arch_list=8.9", "-e", "scenario_xformers_ref=mine")
    assert cli("run", "-i", inventory, "--like", sent, *by_hand)[0] == 0
    names = ("scenario_max_jobs", "scenario_arch_list", "scenario_xformers_ref")
    assert [asked[0].extra_vars.get(name) for name in names] == ["7", "8.0", None]
    assert [asked[1].extra_vars[name] for name in names] == ["6", "8.9", "mine"]
    for other in (("--profile", "seed"), ("-e", "provisioner_profile=seed")):
        code, out, err = cli("run", "-i", inventory, "--like", sent, *other)
        assert (code, out) == (2, "") and "--like names a run of profile registries, and --profile is seed" in err
    assert len(asked) == 2


def own(record, state, **inputs):
    """Have a run of the store be told these settings, as its evidence says."""
    path = state / "runs" / record["host"] / record["run_id"] / "files/benchmarking/inputs.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(inputs))


def test_a_native_run_is_repeated_where_the_user_says_so(cli, asked, keep, inventory):
    keep(runtime="native")
    code, out, err = cli("run", "-i", inventory, "--like", RECORD)
    assert (code, out, asked) == (2, "", []) and "runtime native" in err
    assert "was compiled on its host itself, not in a container; give --runtime native if you want that" in err
    assert cli("run", "-i", inventory, "--like", RECORD, "--runtime", "native")[0] == 0
    code, _, err = cli("run", "-i", inventory, "--like", RECORD, "-e", "scenario_runtime=devcontainer")
    assert code == 0 and "its runtime was native; here it is devcontainer" in err
    assert [one.extra_vars["scenario_runtime"] for one in asked] == ["native", "devcontainer"]


@pytest.mark.parametrize("url", ["https://example.org/x$(y).git", "file:///sources/other.git", "ext::sh -c x"])
def test_another_fork_than_the_profile_s_is_compiled_where_the_user_says_so(cli, asked, keep, record, inventory, url):  # noqa: PLR0917
    keep(inputs=record["inputs"] | {"xformers_url": url})
    code, out, err = cli("run", "-i", inventory, "--like", RECORD)
    assert (code, out, asked) == (2, "", []) and f"fork {url}, " in err
    assert f"compiled {url}, and profile registries has file:///sources/xformers.git; " in err
    assert f"give --xformers-url {shlex.quote(url)} if you trust what is there" in err
    mine = "https://example.org/mine.git"
    code, _, err = cli("run", "-i", inventory, "--like", RECORD, "--xformers-url", mine)
    assert code == 0 and f"its xformers_url was {url}; here it is {mine}" in err
    assert asked[0].extra_vars["scenario_xformers_url"] == mine


def test_the_profile_s_fork_may_be_that_of_its_default_user(cli, asked, keep, record, inventory):
    keep(profile="seed", inputs=record["inputs"] | {"xformers_url": "https://github.com/alexchesser/xformers.git"})
    assert cli("run", "-i", inventory, "--like", RECORD)[0] == 0
    assert "scenario_xformers_url" not in asked[0].extra_vars


def test_a_run_of_an_export_is_repeated_as_its_archive_is(cli, asked, inventory, tmp_path, sent):
    path = tmp_path / "one.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(sent, f"h1/{RUN}/{archive.NAME}")
    for each in (sent, path):
        assert cli("run", "-i", inventory, "--like", each)[0] == 0
    assert asked[0].extra_vars == asked[1].extra_vars and "scenario_arch_list" in asked[1].extra_vars


def test_one_of_two_is_refused_before_one_is_judged(  # noqa: PLR0917
    cli, asked, inventory, tmp_path, monkeypatch, sent
):
    monkeypatch.setattr(evidence_export, "judged", lambda *_: pytest.fail("it is judged"))
    path = tmp_path / "two.tar"
    with tarfile.open(path, "w") as tar:
        for host in ("h1", "h2"):
            tar.add(sent, f"{host}/{RUN}/{archive.NAME}")
    code, out, err = cli("run", "-i", inventory, "--like", path)
    assert (code, out, asked) == (2, "", []) and "it has more than 1 run" in err


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
    assert "scenario_base_image" not in asked[0].extra_vars


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"inputs": {"nvcc_threads": 10**9}}, "nvcc_threads"),
        ({"profile": "../../etc"}, "no profile named"),
        ({"profile": None}, "is not a run of provisioner"),
        ({"scenario": "b"}, "is not a run of provisioner"),
        ({"runtime": "native", "profile": "upstream"}, "no profile named"),
        ({"inputs": {"xformers_ref": "--upload-pack=x"}}, "give the name of a branch"),
        ({"inputs": {"arch_list": "9.0; rm -rf /"}}, "give GPU architectures"),
        ({"inputs": {"max_jobs": 10**9}}, "give a number of compile jobs"),
    ],
)
def test_what_a_stranger_wrote_is_checked_as_if_it_were_given(  # noqa: PLR0917
    cli, asked, keep, record, inventory, state, changes, said
):
    inputs = record["inputs"] | changes.get("inputs", {})
    own(keep(**changes | {"inputs": inputs}), state, **inputs)
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
    assert "unverified" not in err
