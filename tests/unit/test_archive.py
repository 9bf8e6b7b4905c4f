"""A run's evidence as one file: the same for the same evidence, judged as the folder is, and anybody's."""

import io
import json
import lzma
import os
import shutil
import tarfile
from pathlib import Path

import evidence_sample
import pytest
from fuzz import examples
from hypothesis import given
from hypothesis import strategies as st

from provisioner.audit.judge import judge
from provisioner.runs import archive
from provisioner.runs.evidence import Evidence
from provisioner.system import files
from provisioner.text import bounds

SAMPLE = json.loads((evidence_sample.SAMPLE / "run.json").read_text())
RUN = SAMPLE["run_id"]


def contents(folder: Path):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path):
    return evidence_sample.copy(tmp_path / "run")


@pytest.fixture
def packed(folder, tmp_path):
    """The sample, packed, in a file of its own."""
    path = tmp_path / "sent.tar.xz"
    files.put(path, archive.pack(RUN, contents(folder)))
    return path


def test_the_same_evidence_is_the_same_archive(folder):
    files = contents(folder)
    backwards = dict(sorted(files.items(), reverse=True))
    assert archive.pack(RUN, files) == archive.pack(RUN, backwards)
    assert archive.unpack(archive.pack(RUN, files)) == (RUN, files)


def test_tar_unpacks_it_and_nothing_of_who_packed_it_is_in_it(packed):
    with tarfile.open(packed) as tar:
        members = tar.getmembers()
    assert {(member.uid, member.gid, member.uname, member.gname, member.mtime) for member in members} == {
        (0, 0, "", "", 0)
    }
    assert [member.name for member in members] == sorted(member.name for member in members)


def test_it_is_read_and_judged_as_its_folder_is(folder, packed, tmp_path):
    beside = tmp_path / "kept"
    beside.mkdir()
    shutil.copy(packed, beside / archive.NAME)
    loose, lone, kept = Evidence(folder), Evidence(packed), Evidence(beside)
    assert judge(loose) == judge(lone) == judge(kept)
    assert loose.entries == lone.entries == kept.entries
    assert {name: loose.content(name) for name in loose.entries} == {name: kept.content(name) for name in kept.entries}
    assert (loose.content("none"), lone.content("none"), kept.content("../sent.tar.xz")) == (b"", b"", b"")
    with pytest.raises(ValueError, match=r"run\.log has more than"):
        lone.content("run.log", 1)


def test_a_record_lies_beside_the_archive_and_nothing_else_that_does_is_evidence(packed, tmp_path):
    beside = tmp_path / "kept"
    beside.mkdir()
    shutil.move(packed, beside / archive.NAME)
    (beside / "record.json").write_text('{"host": "x"}')
    (beside / "commit.txt").write_text("another")
    evidence = Evidence(beside)
    assert evidence.mapping("record.json") == {"host": "x"}
    assert evidence.text("commit.txt") != "another" and "record.json" not in evidence.entries


def test_all_rules_judge_the_same_content(folder):
    evidence = Evidence(folder)
    before = evidence.text("commit.txt")
    (folder / "commit.txt").write_text("another")
    assert evidence.text("commit.txt") == before and Evidence(folder).text("commit.txt") == "another"


def test_an_archive_that_was_sent_is_audited_where_it_is(cli, packed, monkeypatch):
    monkeypatch.chdir(packed.parent)
    for name in (packed, packed.name):
        code, out, err = cli("audit", name)
        assert code == 0 and out.startswith(f"{RUN}: incomplete\n") and str(packed) in err


def test_one_that_was_altered_is_rejected(cli, folder, tmp_path):
    (folder / "commit.txt").write_text("0" * 40)
    path = tmp_path / "sent.tar.xz"
    files.put(path, archive.pack(RUN, contents(folder)))
    code, out, _ = cli("audit", path)
    assert code == 4 and "commit.txt was edited" in out


# ---- archives that somebody made to harm -----------------------------------------------------------------------------


def member(name, content=b"", **fields):
    made = tarfile.TarInfo(name)
    made.size = len(content)
    for field, value in fields.items():
        setattr(made, field, value)
    return made, content


def tar(*members):
    """The bytes of these members, whatever they claim to be."""
    data = io.BytesIO()
    for made, content in members:
        data.write(made.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512))
    return data.getvalue() + bytes(1024)


def xz(data, **options):
    return lzma.compress(data, **options)


def sparse(size):
    """A file of one hole, as GNU tar writes it: `size` zeros of a few bytes."""
    header = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.name": "r/hole",
        "GNU.sparse.map": f"{size},0",
    }
    made = tarfile.TarInfo("r/GNUSparseFile.0/hole")
    made.pax_headers = header | {"GNU.sparse.size": str(size), "GNU.sparse.numblocks": "1"}
    return made.tobuf(tarfile.PAX_FORMAT) + bytes(1024)


ONE = member("r/run.json", b"{}")
WHOLE = xz(tar(ONE))
# What takes long to make is made where it is tested.
REFUSED = {
    "nothing": (b"", "cut off"),
    "no archive": (b"nonsense", "."),
    "xz of no tar": (xz(b"x" * 2000), "."),
    "an empty tar": (xz(bytes(1024)), "archive of one run"),
    "cut off": (WHOLE[:-20], "cut off|nd"),
    "a tar that is cut off": (xz(tar(member("r/a", b"x" * 5000))[:2000]), "."),
    "something behind it": (WHOLE + b"more", "follows its end"),
    "two streams": (WHOLE + WHOLE, "follows its end"),
    "a wrong sum": (WHOLE[:40] + bytes([WHOLE[40] ^ 1]) + WHOLE[41:], "."),
    "a bomb": (lambda: xz(bytes(bounds.EVIDENCE + 10**6), preset=0), "more than 128 MiB"),
    "a dictionary without end": (
        xz(tar(ONE), filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 2**28}]),
        "[Mm]emory",
    ),
    "a file too large": (lambda: xz(tar(member("r/a", bytes(bounds.FILE + 1))), preset=0), "larger than evidence"),
    "a hole": (xz(sparse(2**50)), "a link, a device or the like"),
    "too many files": (
        lambda: xz(tar(*[member(f"r/{n}") for n in range(bounds.FILES + 1)]), preset=0),
        "more than 10000 files",
    ),
    "two folders": (xz(tar(ONE, member("q/run.json"))), "archive of one run"),
    "no folder": (xz(tar(ONE, member("loose"))), "in no folder"),
    "one name twice": (xz(tar(ONE, ONE)), "in it twice"),
    "a file and a folder": (xz(tar(ONE, member("r/run.json/x"))), "both a file and a folder"),
    "an absolute path": (xz(tar(member("/r/run.json"))), "not the path of a file"),
    "a path upwards": (xz(tar(member("r/../../x"))), "not the path of a file"),
    "an escape": (xz(tar(member("r/\x1b[2J"))), "not the path of a file"),
    "no text": (xz(tar(member("r/\udcff"))), "not the path of a file"),
    "too deep": (xz(tar(member("r/" + "d/" * 20 + "f"))), "deeper than 16"),
    **{
        f"a member of type {kind!r}": (
            xz(tar(ONE, member("r/odd", type=kind, linkname="/etc/passwd"))),
            "a link, a device",
        )
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE)
    },
}


@pytest.mark.parametrize(("data", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_archive_of_evidence_is_refused_as_a_whole(cli, tmp_path, data, said):
    data = data() if callable(data) else data
    with pytest.raises(ValueError, match=said):
        archive.unpack(data)
    path = tmp_path / "sent.tar.xz"
    path.write_bytes(data)
    code, out, err = cli("audit", path)
    assert (code, out, err.count("\n")) == (2, "", 1) and "fault in" not in err and len(err) < 2000
    assert list(tmp_path.iterdir()) == [path]


def test_an_archive_has_a_size(cli, tmp_path):
    path = tmp_path / "sent.tar.xz"
    with path.open("wb") as file:
        file.truncate(bounds.ARCHIVE + 1)
    code, out, err = cli("audit", path)
    assert (code, out, err.count("\n")) == (2, "", 1) and "more than 32 MiB" in err


@pytest.mark.parametrize("size", ["-1", "77777777777"])
def test_sizes_that_lie_do_not_lead_anywhere(size):
    """tarfile of earlier Pythons goes back and forth for ever where a size is negative."""
    header = bytearray(tar(member("r/a", b"x" * 600)))
    header[124:136] = (b"\xff" * 12) if size == "-1" else size.encode().ljust(12, b"\0")
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header[:512]):06o}\0 ".encode()
    with pytest.raises(ValueError, match=r"."):
        archive.unpack(xz(bytes(header)))


@examples(60)
@given(st.data())
def test_an_archive_with_some_bytes_changed(data):
    """Within the compression, where each change gets as far as tarfile."""
    plain = bytearray(tar(ONE, member("r/container/pip.log", b"text\n" * 30), member("r/folder", type=tarfile.DIRTYPE)))
    for _ in range(data.draw(st.integers(1, 8))):
        plain[data.draw(st.integers(0, len(plain) - 1))] = data.draw(st.integers(0, 255))
    try:
        run, found = archive.unpack(xz(bytes(plain), preset=0))
    except ValueError:
        return
    assert "/" not in run and not any(".." in name.split("/") or name.startswith("/") for name in found)


def test_a_full_disk_leaves_nothing_of_an_archive(tmp_path, monkeypatch):
    def no_room(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OSError, match="No space"):
        files.put(tmp_path / archive.NAME, b"x")
    assert list(tmp_path.iterdir()) == []
