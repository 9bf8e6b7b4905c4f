"""Evidence arrives whole or not at all."""

import gzip
import io
import os
import shutil
import tarfile
import time
from pathlib import Path

import pytest

from provisioner.store import reception
from provisioner.text import bounds

SAMPLE = Path(__file__).parent / "data" / "evidence"


def archive(run="r", **files):
    """A tar of a run's folder."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"{run}/{name.replace('_json', '.json')}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()


def kept(folder: Path):
    """What the archive in a run's folder has."""
    run, contents = reception.archive.read(folder / "evidence.tar.xz")
    assert run == folder.name
    return contents


def names(folder: Path):
    return sorted(path.name for path in folder.iterdir())


def test_it_arrives_and_leaves_nothing_beside(tmp_path):
    folder = tmp_path / "h1" / "r"
    assert not reception.is_here(folder)
    reception.bring_in(archive(result_json="{}", run_json="{}"), folder)
    assert reception.is_here(folder)
    assert names(folder) == ["evidence.tar.xz"]
    assert kept(folder) == {"result.json": b"{}", "run.json": b"{}"}
    assert names(tmp_path / "h1") == ["r"]


def test_what_another_command_brought_first_stays(tmp_path):
    folder = tmp_path / "r"
    reception.bring_in(archive(result_json="first"), folder)
    (folder / "record.json").touch()
    reception.bring_in(archive(result_json="second"), folder)
    assert names(folder) == ["evidence.tar.xz", "record.json"]
    assert kept(folder) == {"result.json": b"first"}


def test_what_a_killed_command_left_goes(tmp_path):
    for name in (".r.abc", ".r.at-work", ".other.abc"):
        (tmp_path / name).mkdir()
    for name in (".r.abc", ".other.abc"):
        os.utime(tmp_path / name, (0, time.time() - reception.STALE - 1))
    reception.bring_in(archive(result_json="{}"), tmp_path / "r")
    assert names(tmp_path) == [".other.abc", ".r.at-work", "r"], "another command's is its own"


def test_whoever_is_slower_finds_it_there(tmp_path, monkeypatch):
    """Also where its temporary folder was swept meanwhile."""
    folder = tmp_path / "r"

    def quicker(kept):
        reception.bring_in(archive(result_json="first"), folder)
        for path in tmp_path.glob(".r.*"):
            shutil.rmtree(path)
        return {}

    reception.bring_in(archive(result_json="second"), folder, quicker)
    assert kept(folder) == {"result.json": b"first"}


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"nonsense",
        archive(result_json="{}" * 9999)[:60],
        archive(run_json="{}"),
        archive("other", result_json="{}"),
        archive("r/../..", result_json="{}"),
        archive("/tmp/r", result_json="{}"),
    ],
    ids=["empty", "nonsense", "cut off", "no result", "of another run", "upwards", "elsewhere"],
)
def test_what_is_broken_does_not_arrive(tmp_path, broken):
    with pytest.raises(ValueError, match="evidence came"):
        reception.bring_in(broken, tmp_path / "r")
    assert names(tmp_path) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_what_has_more_than_folders_and_files_does_not_arrive(tmp_path, kind):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name in ("r/result.json", "r/odd"):
            made = tarfile.TarInfo(name)
            made.type, made.linkname = (kind, "/tmp") if name == "r/odd" else (tarfile.REGTYPE, "")
            tar.addfile(made)
    with pytest.raises(ValueError, match="r/odd in it is a link, a device or the like"):
        reception.bring_in(data.getvalue(), tmp_path / "r")
    assert names(tmp_path) == []


def test_what_is_in_the_way_is_not_overwritten(tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "mine").touch()
    with pytest.raises(OSError, match="in the way"):
        reception.bring_in(archive(result_json="{}"), tmp_path / "r")
    assert names(tmp_path / "r") == ["mine"]


def test_a_record_of_the_hosts_own_does_not_arrive(tmp_path):
    reception.bring_in(archive(result_json="{}", record_json='{"host": "another"}'), tmp_path / "r")
    assert kept(tmp_path / "r") == {"result.json": b"{}"}


def test_evidence_of_another_run_makes_no_record(tmp_path):
    shutil.copytree(SAMPLE, tmp_path / "other")
    with pytest.raises(ValueError, match="the evidence is that of run 2026"):
        reception.record(tmp_path / "other", "h1")
    assert not (tmp_path / "other" / "record.json").exists()


def test_a_record_of_another_host_is_not_taken_for_this_ones(tmp_path):
    run = tmp_path / reception.Evidence(SAMPLE).run["run_id"]
    shutil.copytree(SAMPLE, run)
    reception.record(run, "h1")
    with pytest.raises(ValueError, match=f"is of run {run.name} on h1; move it elsewhere"):
        reception.record(run, "h2")


def packed(*members):
    """A tar.gz of these members, each with how many zeros follow it."""
    data = io.BytesIO()
    with gzip.open(data, "wb", compresslevel=1) as file:
        for member, zeros in members:
            file.write(member.tobuf(tarfile.GNU_FORMAT))
            for start in range(0, zeros, 2**20):
                file.write(bytes(min(2**20, zeros - start)))
            file.write(bytes(-zeros % 512))
        file.write(bytes(1024))
    return data.getvalue()


def member(name, size=0, kind=tarfile.REGTYPE):
    made = tarfile.TarInfo(name)
    made.size, made.type = size, kind
    return made, size


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([member("r/zeros", bounds.EVIDENCE + 1)], "more than 128 MiB"),
        ([member("r/a", bounds.EVIDENCE // 2), member("r/b", bounds.EVIDENCE // 2 + 1)], "more than 128 MiB"),
        ([member("r/head", bounds.EVIDENCE + 1, tarfile.GNUTYPE_LONGNAME)], "more than 128 MiB"),
        ([member(f"r/{number}") for number in range(bounds.FILES + 1)], "more than 10000 files"),
        ([member("r/" + "d/" * 20 + "f")], "deeper than 16"),
        ([member("r/a\nb")], "is not the path of a file"),
        ([member("r/a\x1b[2J")], "is not the path of a file"),
        ([member("q/r", 2), member("q/r/result.json", 2)], "q/r is both a file and a folder in it"),
        ([member("r", 2)], "r in it is in no folder"),
        ([member("r/result.json", 2), member("q/result.json", 2)], "not the archive of one run"),
        ([member("r/result.json", 2), member("r/result.json", 2)], "is in it twice"),
        ([member("r/result.json", 2), member("r/large", bounds.FILE + 1)], "larger than evidence is"),
    ],
)
def test_what_no_evidence_is_does_not_arrive(tmp_path, members, said):
    with pytest.raises((ValueError, OSError), match=said):
        reception.bring_in(packed(*members), tmp_path / "r")
    assert names(tmp_path) == []


def test_an_archive_has_a_size(tmp_path):
    with pytest.raises(ValueError, match="more than 32 MiB"):
        reception.bring_in(bytes(bounds.ARCHIVE + 1), tmp_path / "r")
