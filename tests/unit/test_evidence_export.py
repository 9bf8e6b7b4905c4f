"""Runs that travel with their evidence, and those that came without: judged anew, or `unverified`."""

import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import evidence_sample
import pytest

from provisioner.__main__ import main
from provisioner.runs import archive
from provisioner.signatures import receipt
from provisioner.store import evidence_export, reception
from provisioner.text import bounds

SAMPLE = json.loads((evidence_sample.SAMPLE / "run.json").read_text())
RUN = SAMPLE["run_id"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """The sample's evidence as a host sends it."""
    made = evidence_sample.copy(tmp_path_factory.mktemp("host") / RUN)
    return subprocess.run(["tar", "-cz", "-C", made.parent, RUN], capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def once(packed, tmp_path_factory):
    """A state directory with a run that came from a host, and beside it what a colleague sends: both to be copied."""
    folder = tmp_path_factory.mktemp("once")
    run = folder / "state/runs/gpu-01" / RUN
    sender = receipt.Sender(RUN, "gpu-01", "ssh", ())
    reception.bring_in(packed, run, lambda kept: receipt.made(folder / "state", sender, kept))
    reception.record(run, "gpu-01")
    assert main(["--state-dir", str(folder / "state"), "export", "--evidence", str(folder / "runs.tar")]) == 0
    return folder


@pytest.fixture
def collected(once, state):
    """A run of the store, with evidence and receipt."""
    shutil.copytree(once / "state", state, dirs_exist_ok=True)
    return state / "runs/gpu-01" / RUN


@pytest.fixture
def sent(once, collected, tmp_path):
    """What a colleague sends, who has that run."""
    return Path(shutil.copy(once / "runs.tar", tmp_path))


@pytest.fixture
def elsewhere(cli, tmp_path):
    """A command line on another controller."""
    return lambda *arguments: cli("--state-dir", tmp_path / "elsewhere", *arguments)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def tar(path, members):
    with tarfile.open(path, "w") as made:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return path


def untar(path):
    with tarfile.open(path) as kept:
        return {member.name: kept.extractfile(member).read() for member in kept}


def test_what_travels_is_what_was_kept_and_is_judged_where_it_comes(elsewhere, collected, sent, tmp_path):
    assert set(untar(sent)) == {f"gpu-01/{RUN}/{name}" for name in files(collected)}
    code, out, err = elsewhere("import", sent, "--json")
    (record,) = json.loads(out)["runs"]
    assert (code, record["host"], record["run_id"]) == (0, "gpu-01", RUN) and "unverified" not in record
    assert "  received at 20" in err and "by a controller that is not known here" in err
    there = files(tmp_path / "elsewhere/runs/gpu-01" / RUN)
    assert {name: there[name] for name in there if name != "record.json"} == {
        name: content for name, content in files(collected).items() if name != "record.json"
    }
    assert json.loads(there["record.json"]) == json.loads(files(collected)["record.json"])
    assert elsewhere("audit", RUN)[0] == 0
    assert "unverified" not in elsewhere("facts")[1]


def test_it_is_the_same_file_each_time_and_goes_to_stdout(cli, collected, sent):
    before = sent.read_bytes()
    code, out, err = cli("export", "--evidence", sent)
    assert (code, out) == (0, "") and f"1 run with evidence in {sent}" in err
    assert sent.read_bytes() == before
    assert json.loads(cli("export", "--evidence", sent, "--json")[1]) == {"file": str(sent), "runs": 1}
    assert sent.read_bytes() == before
    command = [sys.executable, "-m", "provisioner", "export", "--evidence", "-"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, check=True)
    assert done.stdout == before


def test_a_verdict_that_was_sent_is_not_believed(elsewhere, sent, tmp_path):
    members = untar(sent)
    name = f"gpu-01/{RUN}/record.json"
    record = json.loads(members[name])
    proved = record["total_seconds"]
    record["audit"]["verdict"], record["total_seconds"] = "accepted", 1.0
    code, out, _ = elsewhere(
        "import", tar(tmp_path / "forged.tar", members | {name: json.dumps(record).encode()}), "--json"
    )
    (taken,) = json.loads(out)["runs"]
    assert (code, taken["audit"]["verdict"], taken["total_seconds"]) == (0, "incomplete", proved)


def test_evidence_that_was_altered_is_rejected_where_it_comes(elsewhere, sent, tmp_path):
    members = untar(sent)
    name = f"gpu-01/{RUN}/{archive.NAME}"
    run, contents = archive.unpack(members[name])
    altered = archive.pack(run, contents | {"commit.txt": b"0" * 40})
    code, out, err = elsewhere("import", tar(tmp_path / "forged.tar", members | {name: altered}), "--json")
    assert code == 4 and json.loads(out)["runs"][0]["audit"]["verdict"] == "rejected"
    assert "altered after the controller received it" in err


def test_loose_evidence_of_an_earlier_version_travels_as_an_archive(cli, elsewhere, state, tmp_path):
    folder = evidence_sample.copy(state / "runs/gpu-01" / RUN)
    reception.record(folder, "gpu-01")
    path = tmp_path / "runs.tar"
    assert cli("export", "--evidence", path)[0] == 0
    assert set(untar(path)) == {f"gpu-01/{RUN}/{name}" for name in ("evidence.tar.xz", "record.json")}
    assert elsewhere("import", path)[0] == 0
    assert elsewhere("audit", RUN)[0] == 0


def test_a_log_of_the_shell_benchmark_travels_too(cli, elsewhere, tmp_path):
    log = evidence_sample.SAMPLE.parent / "upstream.log"
    assert cli("import", log, "--host", "den")[0] == 0
    path = tmp_path / "runs.tar"
    assert cli("export", "--evidence", path)[0] == 0
    code, out, _ = elsewhere("import", path, "--json")
    assert code == 0 and json.loads(out)["runs"] == json.loads(cli("facts", "--json")[1])["runs"]


def test_a_run_without_evidence_does_not_travel_as_if_it_had(cli, collected, keep, state, tmp_path):
    keep(run_id="lone")
    (state / "runs/h1/lone/run.json").unlink()
    code, _, err = cli("export", "--evidence", tmp_path / "runs.tar")
    assert code == 0 and "left out 1 run that came without evidence: lone" in err and "1 run with evidence" in err


def test_what_is_here_stays_and_what_was_unverified_is_verified(cli, elsewhere, collected, sent, tmp_path):
    assert cli("import", sent)[0] == 0
    records = tmp_path / "runs.jsonl"
    cli("export", records)
    code, out, err = elsewhere("import", records)
    assert code == 0 and "unverified" in out and "1 record without evidence: unverified" in err
    assert "unverified" in elsewhere("facts")[1]
    code, out, _ = elsewhere("import", sent)
    assert code == 0 and "unverified" not in out and "unverified" not in elsewhere("facts")[1]
    assert "is here already, and stays as it is" in elsewhere("import", sent)[2]


def test_the_same_evidence_under_two_names_is_one_run(elsewhere, sent, tmp_path):
    members = untar(sent)
    twice = members | {name.replace("gpu-01", "gpu-02"): content for name, content in members.items()}
    code, out, err = elsewhere("import", tar(tmp_path / "twice.tar", twice), "--json")
    assert code == 0 and [run["host"] for run in json.loads(out)["runs"]] == ["gpu-01"]
    assert f"run {RUN} on gpu-02 has the same evidence as {RUN}: left out" in err
    renamed = {name.replace(RUN, "another"): content for name, content in members.items()}
    code, _, err = elsewhere("import", tar(tmp_path / "renamed.tar", renamed))
    assert code == 2 and f"the evidence that came as run another is that of run {RUN}" in err
    assert elsewhere("facts", "-q", "runs[].host")[1] == "gpu-01\n"


def test_records_of_one_evidence_are_one_run_too(elsewhere, sent, collected, tmp_path):
    assert elsewhere("import", sent)[0] == 0
    record = json.loads((collected / "record.json").read_text())
    path = tmp_path / "runs.jsonl"
    path.write_text(json.dumps(record | {"run_id": "another"}) + "\n")
    code, _, err = elsewhere("import", path)
    assert code == 0 and f"run another on gpu-01 has the same evidence as {RUN}: left out" in err


def test_who_only_claims_an_evidence_does_not_keep_it_out(elsewhere, sent, collected, tmp_path):
    record = json.loads((collected / "record.json").read_text())
    path = tmp_path / "runs.jsonl"
    path.write_text(json.dumps(record | {"run_id": "claimed"}) + "\n")
    assert elsewhere("import", path)[0] == 0
    code, _, err = elsewhere("import", sent)
    assert code == 0 and "left out" not in err
    assert elsewhere("facts", "-q", "runs[?!unverified].run_id")[1] == f"{RUN}\n"


BROKEN = {
    "a link": lambda made: made.addfile(_of_type("gpu-01/x/evidence.tar.xz", tarfile.SYMTYPE)),
    "another file": lambda made: made.addfile(tarfile.TarInfo("gpu-01/x/notes.txt")),
    "a path upwards": lambda made: made.addfile(tarfile.TarInfo("../x/evidence.tar.xz")),
    "no host": lambda made: made.addfile(tarfile.TarInfo(f"{RUN}/evidence.tar.xz")),
    "the same twice": lambda made: made.addfile(tarfile.TarInfo(f"gpu-01/{RUN}/evidence.tar.xz")),
    "an archive that is none": lambda made: made.addfile(tarfile.TarInfo("gpu-01/other/evidence.tar.xz")),
    "a record alone": lambda made: made.addfile(tarfile.TarInfo("gpu-01/other/record.json")),
    "an id that is a path": lambda made: made.addfile(tarfile.TarInfo("gpu-01/.x/evidence.tar.xz")),
}


def _of_type(name, kind):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    return member


@pytest.mark.parametrize("add", BROKEN.values(), ids=BROKEN)
def test_one_that_is_broken_is_refused_and_nothing_of_it_taken(elsewhere, sent, tmp_path, add):
    with tarfile.open(sent, "a") as made:
        add(made)
    code, out, err = elsewhere("import", sent)
    assert (code, out, err.count("\n")) == (2, "", 1) and "is not what `provisioner export --evidence` writes" in err
    assert not (tmp_path / "elsewhere/runs").exists()


def test_one_that_is_cut_off_or_huge_is_refused(elsewhere, sent, tmp_path):
    sent.write_bytes(sent.read_bytes()[:40_000])
    code, out, err = elsewhere("import", sent)
    assert (code, out, err.count("\n")) == (2, "", 1)
    with sent.open("r+b") as file:
        file.truncate(bounds.EXPORT + 1)
    code, out, err = elsewhere("import", sent)
    assert (code, out, err.count("\n")) == (2, "", 1) and "has more than 512 MiB" in err
    assert not (tmp_path / "elsewhere/runs").exists()


@pytest.fixture(scope="module")
def three_once(packed, tmp_path_factory):
    """A state directory with three runs, and beside it what a colleague sends of them: both to be copied."""
    state = tmp_path_factory.mktemp("three") / "state"
    run, contents = archive.of_host(packed)
    # Without the times of its objects, by which one run is known under another name.
    contents = {name: content for name, content in contents.items() if not name.endswith("/ninja_log")}
    for number in (1, 2, 3):
        folder = state / f"runs/h{number}" / run
        folder.mkdir(parents=True)
        # Each is evidence of its own.
        (folder / archive.NAME).write_bytes(archive.pack(run, contents | {"manifest.sha256": b"%d" % number}))
        reception.record(folder, f"h{number}")
    assert main(["--state-dir", str(state), "export", "--evidence", str(state.parent / "three.tar")]) == 0
    return state.parent


@pytest.fixture
def three(three_once, state, tmp_path):
    """An export of three runs with evidence, and what a state directory has of them by host."""
    shutil.copytree(three_once / "state", state, dirs_exist_ok=True)
    return Path(shutil.copy(three_once / "three.tar", tmp_path))


def kept(state):
    return {path.relative_to(state): path.read_bytes() for path in (state / "runs").rglob("*") if path.is_file()}


@pytest.mark.parametrize("at", ["write_bytes", "rename"])
@pytest.mark.parametrize("before", [False, True])
def test_a_disk_that_is_full_at_the_third_leaves_all_as_it_was(elsewhere, three, tmp_path, monkeypatch, at, before):  # noqa: PLR0917
    there = tmp_path / "elsewhere"
    if before:  # one is there, unverified
        records = tmp_path / "runs.jsonl"
        record = json.loads(untar(three)[f"h2/{RUN}/record.json"])
        records.write_text(f"{json.dumps(record)}\n")
        assert elsewhere("import", records)[0] == 0
    was = kept(there)
    real, calls = getattr(Path, at), []

    def no_room(path, *arguments):
        if "incoming-" in str(path) and (at == "rename" or path.name == archive.NAME):
            calls.append(path)
            if len(calls) == 3:
                raise OSError(28, "No space left on device")
        return real(path, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Path, at, no_room)
        code, out, err = elsewhere("import", three)
    assert (code, out) == (2, "") and "cannot keep run" in err and len(calls) >= 3
    assert kept(there) == was and not list(there.glob("incoming-*"))
    assert elsewhere("import", three)[0] == 4, "not as the manifest says"
    assert elsewhere("facts", "-q", "length(runs[?!unverified])")[1] == "3\n"
    assert not list(there.glob("incoming-*"))


def test_more_runs_than_anybody_exports_are_refused_before_one_is_judged(cli, elsewhere, three, tmp_path, monkeypatch):
    monkeypatch.setattr(evidence_export, "judged", lambda *_: pytest.fail("it is judged"))
    monkeypatch.setattr(bounds, "EXPORT_RUNS", 2)
    code, out, err = elsewhere("import", three)
    assert (code, out) == (2, "") and "it has more than 2 runs" in err
    code, out, err = cli("export", "--evidence", tmp_path / "more.tar")
    assert (code, out, err.count("\n")) == (1, "", 1) and "these are more than 2 runs or 512 MiB; choose fewer" in err


def test_evidence_that_is_too_much_unpacked_is_refused(elsewhere, three, tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "EXPORT_UNPACKED", 2**20)
    code, out, err = elsewhere("import", three)
    assert (code, out) == (2, "") and "unpacked it has more than 1 MiB" in err
    assert not (tmp_path / "elsewhere/runs").exists()


def test_a_failed_export_leaves_the_file_that_was_there(cli, collected, tmp_path):
    path = tmp_path / "runs.tar"
    path.write_text("before")
    (collected / archive.NAME).unlink()
    (collected / archive.NAME).symlink_to("/etc/passwd")
    code, out, err = cli("export", "--evidence", path)
    assert code != 0 and (out, err.count("\n")) == ("", 1)
    assert path.read_text() == "before" and not list(tmp_path.glob(".runs.tar*"))


# ---- without evidence ------------------------------------------------------------------------------------------------


@pytest.fixture
def invented(cli, keep, record, tmp_path):
    """Five records that somebody made up are imported, beside a run of our own."""
    keep(run_id="own")
    path = tmp_path / "invented.jsonl"
    made = [record | {"run_id": f"made-{n}", "host": "made-up", "unverified": False} for n in range(5)]
    for one in made:
        one["audit"] = one["audit"] | {"verdict": "accepted"}
    path.write_text("".join(f"{json.dumps(one)}\n" for one in made))
    assert cli("import", path)[0] == 0
    return path


def test_invented_records_are_unverified_wherever_they_are_shown(cli, invented, tmp_path):
    lines = {line.split()[-1]: line for line in cli("facts", "--all")[1].splitlines()}
    assert all("unverified" in lines[f"made-{n}"] and "accepted" not in lines[f"made-{n}"] for n in range(5))
    assert "unverified" not in lines["own"]
    assert cli("facts", "-q", "length(runs[?unverified])")[1] == "5\n"
    assert all(
        run.get("unverified", False) == (run["host"] == "made-up")
        for run in json.loads(cli("facts", "--json")[1])["runs"]
    )
    report = tmp_path / "report"
    options = [f"--{name}={report}.{name}" for name in ("html", "markdown", "junit", "openmetrics")]
    assert cli("report", *options)[0] == 0
    assert "5 unverified" in report.with_suffix(".markdown").read_text()
    assert '<span class="badge unverified">' in report.with_suffix(".html").read_text()
    assert report.with_suffix(".junit").read_text().count("it came without evidence: unverified") == 5
    metrics = report.with_suffix(".openmetrics").read_text()
    assert any("unverified" in line and line.endswith(" 1.0") for line in metrics.splitlines() if "made-up" in line), (
        metrics
    )


def test_compare_leaves_them_out_unless_told_to(cli, invented):
    code, out, err = cli("compare", "own", "made-up")
    assert (code, out) == (2, "") and "every run of made-up came without evidence" in err and "--unverified" in err
    code, out, err = cli("compare", "own", "*", "--json")
    assert code == 0 and json.loads(out)["b"]["runs"] == ["own"] and "left out 5 runs that came without evidence" in err
    code, out, _ = cli("compare", "own", "made-up", "--unverified", "--json")
    assert code == 0 and len(json.loads(out)["b"]["runs"]) == 5


def test_a_file_of_records_says_so(cli, invented, tmp_path):
    code, out, err = cli("compare", "own", invented)
    assert (code, out) == (2, "") and f"every run of {invented} came without evidence" in err and "--unverified" in err
    code, out, _ = cli("compare", "own", invented, "--unverified", "--json")
    assert code == 0 and len(json.loads(out)["b"]["runs"]) == 5


def test_an_unverified_run_cannot_be_audited(cli, invented):
    code, out, err = cli("audit", "made-1")
    assert (code, out, err.count("\n")) == (2, "", 1) and "run.json is missing" in err


def test_compare_takes_the_same_evidence_once(cli, keep):
    keep(run_id="a", evidence_sha256="1" * 64)
    keep(run_id="b", evidence_sha256="1" * 64, started_at="2026-11-23T12:00:00Z")
    code, out, err = cli("compare", "h1", "h1", "--json")
    assert code == 0 and json.loads(out)["a"]["runs"] == ["b"]
    assert "left out a on h1, which is of the same evidence as b on h1" in err
    assert "h1 and h1 have the same evidence in b: that does not repeat it" in err


def test_a_store_of_before_is_read_anew(cli, keep, state):
    """Its index does not tell of evidence."""
    keep(run_id="lone")
    cli("facts")
    (state / "runs/h1/lone/run.json").unlink()
    import sqlite3  # noqa: PLC0415

    with sqlite3.connect(state / "store.db") as connection:
        connection.execute("PRAGMA user_version = 1")
    assert "unverified" in cli("facts")[1]


def test_one_run_under_two_hosts_is_counted_once(elsewhere, sent, tmp_path):
    """Also where a record without evidence was there before, by the other name, to make room for it."""
    assert elsewhere("import", sent)[0] == 0
    record = json.loads(elsewhere("facts", "--json")[1])["runs"][0] | {"host": "gpu-99", "evidence_sha256": None}
    record["compile"] = record["compile"] | {"ledger": []}
    (tmp_path / "invented.json").write_text(json.dumps(record))
    assert elsewhere("import", tmp_path / "invented.json")[0] == 0
    members = {name.replace("gpu-01", "gpu-99"): content for name, content in untar(sent).items()}
    members = {name: content for name, content in members.items() if "receipt" not in name}
    _, err = tar(tmp_path / "other.tar", members), elsewhere("import", tmp_path / "other.tar")[2]
    assert f"run {RUN} on gpu-99 has the same evidence as {RUN}: left out" in err
    runs = json.loads(elsewhere("facts", "--json")[1])["runs"]
    assert {(run["host"], run["unverified"]) for run in runs if run.get("unverified")} == {("gpu-99", True)}


def test_one_run_with_another_manifest_is_counted_once(elsewhere, sent, tmp_path):
    assert elsewhere("import", sent)[0] == 0
    members = untar(sent)
    (name,) = [name for name in members if name.endswith(archive.NAME)]
    run_id, contents = archive.unpack(members[name])
    lines = contents["manifest.sha256"].splitlines(keepends=True)
    contents["manifest.sha256"] = b"".join(reversed(lines))
    tar(tmp_path / "other.tar", {f"gpu-99/{RUN}/{archive.NAME}": archive.pack(run_id, contents)})
    assert "left out" in elsewhere("import", tmp_path / "other.tar")[2]
    assert len(json.loads(elsewhere("facts", "--json")[1])["runs"]) == 1


def test_what_was_received_from_one_host_is_not_taken_as_another_s(elsewhere, sent, tmp_path):
    members = {name.replace("gpu-01", "gpu-99"): content for name, content in untar(sent).items()}
    tar(tmp_path / "other.tar", members)
    code, _, err = elsewhere("import", tmp_path / "other.tar")
    assert code == 4 and "the controller's receipt is of another host, gpu-01" in err


def test_a_record_in_the_archive_is_none_that_counts(elsewhere, sent, tmp_path):
    """The one beside it is the store's own, and is what an audit looks at."""
    members = untar(sent)
    (name,) = [name for name in members if name.endswith(archive.NAME)]
    run_id, contents = archive.unpack(members[name])
    contents["record.json"] = members[f"gpu-01/{RUN}/record.json"]
    tar(tmp_path / "other.tar", {name: archive.pack(run_id, contents)})
    assert elsewhere("import", tmp_path / "other.tar")[0] == 0
    kept = tmp_path / "elsewhere/runs/gpu-01" / RUN / "record.json"
    kept.write_text(kept.read_text().replace('"total_seconds": ', '"total_seconds": 1'))
    assert "record_is_true" in elsewhere("audit", RUN)[1].splitlines()[2]
