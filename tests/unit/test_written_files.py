"""What a user has written somewhere: there whole, or not at all, and devices and pipes stay what they are."""

import os
import stat
import threading

import evidence_sample
import pytest

from provisioner.errors import Exit, ProvisionerError
from provisioner.store import reception
from provisioner.system import files


@pytest.fixture
def pipe(tmp_path):
    """A pipe that somebody reads from: its path, and what came."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    came = []
    reader = threading.Thread(target=lambda: came.append(path.read_bytes()), daemon=True)
    reader.start()
    return path, came, reader


def put(path, data=b"new"):
    with files.replacing(path) as file:
        file.write(data)


def test_a_pipe_gets_what_is_written_and_stays_a_pipe(pipe):
    path, came, reader = pipe
    while True:
        try:
            put(path)
            break
        except ProvisionerError as error:  # the reader is not there yet
            assert "nobody reads from it" in str(error)
    reader.join(timeout=60)  # where the pipe was replaced, nothing ever comes
    assert came == [b"new"] and stat.S_ISFIFO(path.stat().st_mode)
    assert [each.name for each in path.parent.iterdir() if "pipe" in each.name] == ["pipe"]


def test_an_export_with_evidence_goes_to_a_pipe_too(cli, state, tmp_path):
    folder = evidence_sample.copy(state / "runs/gpu-01" / reception.Evidence(evidence_sample.SAMPLE).run["run_id"])
    reception.record(folder, "gpu-01")
    path = tmp_path / "pipe"
    os.mkfifo(path)
    code, out, err = cli("export", "--evidence", path)
    assert (code, out, err.count("\n")) == (2, "", 1) and "nobody reads from it" in err
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_device_without_room_and_a_folder_are_told(tmp_path):
    device = tmp_path / "full"
    try:  # one of the test's own: where this fails, the machine's would be replaced
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 7))
        device.open("wb").close()
    except PermissionError:
        pytest.skip("only root makes a device, and not everywhere")
    with pytest.raises(ProvisionerError, match=f"cannot write {device}: No space left") as raised:
        put(device)
    assert raised.value.code == Exit.FAILED and stat.S_ISCHR(device.stat().st_mode)
    with pytest.raises(ProvisionerError, match="Is a directory"):
        put(tmp_path)


def test_what_goes_wrong_within_is_no_fault_of_the_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), files.replacing(path) as file:
        file.write(b"new")
        (tmp_path / "missing").read_bytes()
    assert path.read_text() == "old" and [each.name for each in tmp_path.iterdir() if "file" in each.name] == ["file"]


@pytest.mark.parametrize("at", ["write", "fsync", "replace"])
def test_a_full_disk_is_told_and_leaves_the_old_file(tmp_path, monkeypatch, at):
    path = tmp_path / "file"
    path.write_text("old")

    def no_room(*_):
        raise OSError(28, "No space left on device")

    if at == "write":
        monkeypatch.setattr(files, "atomically", lambda _path: open("/dev/full", "wb", buffering=0))  # noqa: PTH123, SIM115
    else:
        monkeypatch.setattr(*((os, "fsync") if at == "fsync" else (type(path), "replace")), no_room)
    with pytest.raises(ProvisionerError, match=f"cannot write {path}: No space left") as raised:
        put(path)
    assert raised.value.code == Exit.FAILED
    assert path.read_text() == "old" and [each.name for each in tmp_path.iterdir() if "file" in each.name] == ["file"]


def test_evidence_that_cannot_be_read_is_not_told_as_a_file_that_cannot_be_written(cli, state, tmp_path):
    folder = evidence_sample.copy(state / "runs/gpu-01" / reception.Evidence(evidence_sample.SAMPLE).run["run_id"])
    reception.record(folder, "gpu-01")
    record = folder / "record.json"
    cli("facts")
    record.rename(folder / "kept")
    record.symlink_to("kept")
    code, out, err = cli("export", "--evidence", tmp_path / "runs.tar")
    assert (code, out, err.count("\n")) == (1, "", 1) and "cannot export: run" in err and "cannot write" not in err
    assert not list(tmp_path.glob("*runs.tar*"))
