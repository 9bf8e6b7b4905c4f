"""Evidence arrives whole or not at all."""

import io
import tarfile
from pathlib import Path

import pytest

from provisioner import arrival


def archive(run="r", **files):
    """A tar of a run's folder."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"{run}/{name.replace('_json', '.json')}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()


def names(folder: Path):
    return sorted(path.name for path in folder.iterdir())


def test_it_arrives_and_leaves_nothing_beside(tmp_path):
    folder = tmp_path / "h1" / "r"
    assert not arrival.is_here(folder)
    arrival.bring_in(archive(result_json="{}", run_json="{}"), folder)
    assert arrival.is_here(folder)
    assert names(folder) == ["result.json", "run.json"]
    assert names(tmp_path / "h1") == ["r"]


def test_what_another_command_brought_first_stays(tmp_path):
    folder = tmp_path / "r"
    arrival.bring_in(archive(result_json="first"), folder)
    (folder / "record.json").touch()
    arrival.bring_in(archive(result_json="second"), folder)
    assert names(folder) == ["record.json", "result.json"]
    assert (folder / "result.json").read_text() == "first"


def test_what_a_killed_command_left_goes(tmp_path):
    (tmp_path / ".r.abc").mkdir()
    (tmp_path / ".other.abc").mkdir()
    arrival.bring_in(archive(result_json="{}"), tmp_path / "r")
    assert names(tmp_path) == [".other.abc", "r"]


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
)
def test_what_is_broken_does_not_arrive(tmp_path, broken):
    with pytest.raises(ValueError, match="evidence came"):
        arrival.bring_in(broken, tmp_path / "r")
    assert names(tmp_path) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_only_folders_and_files_arrive(tmp_path, kind):
    """What follows a link in the archive's order is not written through it."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        link = tarfile.TarInfo("r/odd")
        link.type, link.linkname = kind, "/tmp"
        tar.addfile(link)
        folder = tarfile.TarInfo("r/inner/deep")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name in ("r/odd/file", "r/result.json"):
            member = tarfile.TarInfo(name)
            member.size = 2
            tar.addfile(member, io.BytesIO(b"{}"))
    arrival.bring_in(data.getvalue(), tmp_path / "r")
    assert names(tmp_path / "r") == ["inner", "odd", "result.json"]
    assert (tmp_path / "r" / "odd").is_dir() and not (tmp_path / "r" / "odd").is_symlink()
    assert (tmp_path / "r" / "inner" / "deep").is_dir()


def test_what_is_in_the_way_is_not_overwritten(tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "mine").touch()
    with pytest.raises(OSError, match="in the way"):
        arrival.bring_in(archive(result_json="{}"), tmp_path / "r")
    assert names(tmp_path / "r") == ["mine"]
