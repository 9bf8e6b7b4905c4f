"""What is in the way of our files on a host, and who can read them."""

import errno
import os
import re
import socket
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import (
    docker_daemon,
    files,
    installation,
    look,
    mending,
    site,
)
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.local_sources import closed_in_image, kept_in
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.write import write
from ansible_collections.provisioner.gpu_hosts.plugins.modules import signed_repository


@pytest.fixture
def top(tmp_path):
    """A folder that everybody can read; pytest's own is closed."""
    folder = tmp_path / "top"
    folder.mkdir()
    folder.chmod(0o755)
    return folder


def test_what_is_in_the_way_is_told_with_its_remedy(top):
    (top / "file").touch()
    (top / "folder").mkdir()
    (top / "nowhere").symlink_to("/nonexistent/there")
    os.mkfifo(top / "pipe")
    assert files.obstacle(top / "file", "file") == files.obstacle(top / "folder", "directory") == ""
    assert files.obstacle(top / "not/yet/there", "file") == ""
    for path, kind, told in (
        ("folder", "file", f"{top}/folder is a folder, and a file must be there"),
        ("file", "directory", f"{top}/file is a file, and a folder must be there"),
        ("file/below/it", "file", f"{top}/file is a file, and a folder must be there"),
        ("pipe", "file", f"{top}/pipe is a device, a pipe or a socket, and a file must be there"),
        ("nowhere", "file", f"{top}/nowhere is a link to /nonexistent/there, which is not there; mend or remove it"),
        ("nowhere/below", "file", f"{top}/nowhere is a link to /nonexistent/there, which is not there"),
    ):
        assert files.obstacle(top / path, kind).startswith(told)


def test_what_cannot_be_written_is_told(top, monkeypatch):
    assert files.locked(top / "not/yet/there") == ""
    read_only = SimpleNamespace(f_flag=os.ST_RDONLY, f_bavail=10, f_frsize=10**6, f_files=0)
    monkeypatch.setattr(files.os, "statvfs", lambda _: read_only)
    assert files.locked(top / "x") == (
        f"{top}/x cannot be written: the file system of {top} is read-only; mount it writable and run this again"
    )
    assert files.no_room(top / "x", 9 * 10**6, "a tool") == ""
    told = files.no_room(top / "x", 11 * 10**6, "a tool")
    assert told == f"10 MB are free at {files.mount(top)}, and a tool takes 11 MB; make room and run this again"


def test_an_immutable_file_is_told(top, monkeypatch):
    """Not every machine lets its root set the flag, so the kernel's answer is made up."""
    (top / "file").touch()
    monkeypatch.setattr(files.fcntl, "ioctl", lambda *_: (0x10).to_bytes(8, "little"))
    assert f"'chattr -i {top}/file'" in files.locked(top / "file")


def test_a_link_out_of_its_folder_is_read_and_what_it_leads_to_stays(top, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.write_text("text")
    theirs.chmod(0o664)
    (top / "link").symlink_to(theirs)
    host = Host()
    assert host.file_changes(str(top / "link"), mode="0644", sha256=host.sha256(theirs)) == []
    for given in ({"mode": "0600"}, {"mode": "0644", "sha256": "other"}):
        with pytest.raises(RefusalError, match=r"is a link to .*theirs, which is not as it should be"):
            host.file_changes(str(top / "link"), **given)


def test_the_first_that_not_everybody_can_read_is_found(top):
    program = top / "a/b/program"
    program.parent.mkdir(parents=True)
    program.touch()
    for mode, path, found in ((0o755, program, ""), (0o744, program, program), (0o750, top / "a", top / "a")):
        program.chmod(0o755)
        path.chmod(mode)
        assert files.first_closed([top / "none", program], top) == str(found)
        assert files.first_closed([program], top / "a/b") == ("" if path == top / "a" else str(found))


def test_a_spoilt_image_is_told_where_the_engine_shows_its_layer(top):
    folder = top / "usr/local/cuda/bin"
    folder.mkdir(parents=True)
    answer = {"GraphDriver": {"Data": {"UpperDir": str(top)}}}
    engine = SimpleNamespace(answer=lambda question: answer if question == "/images/cuda:1/json" else None)
    assert closed_in_image(engine, "cuda:1", ["/usr/local/cuda/bin"]) == ""
    (top / "usr/local").chmod(0o700)
    assert closed_in_image(engine, "cuda:1", ["/usr/local/cuda/bin"]) == "/usr/local"
    (top / "usr/local").chmod(0o755)
    top.chmod(0o700)
    assert closed_in_image(engine, "cuda:1", ["/usr/local/cuda/bin"]) == "/"
    assert closed_in_image(engine, "other", ["/usr/local/cuda/bin"]) == ""
    answer["GraphDriver"]["Data"]["LowerDir"] = "/elsewhere"
    assert closed_in_image(engine, "cuda:1", ["/usr/local/cuda/bin"]) == ""


def test_the_sources_are_all_looked_at(top):
    (top / "git/objects").mkdir(parents=True)
    wanted = {"repository": str(top / "git"), "bundle": "", "bundle_folder": str(top / "bundle")}
    assert list(kept_in(wanted)) == [top / "git", top / "git/objects"]
    assert list(kept_in({**wanted, "repository": "", "bundle": "b"})) == [top / "bundle"]


def test_a_site_without_a_bundle_keeps_what_is_no_file_of_ours(top):
    (top / "ca.crt").symlink_to("/etc/hosts")
    (top / "settings").write_text("ours")
    (top / "environment").write_text("ours")
    paths = {"path": str(top / "ca.crt"), "apt_settings_path": str(top / "settings")}
    paths |= {"environment_path": str(top / "environment")}
    looked = site.look(Host(), {**paths, **dict.fromkeys(("bundle", "sha256", "environment_sha256"), "")})
    assert [change["what"] for change in looked["changes"]] == [str(top / "settings"), str(top / "environment")]


def test_a_host_that_cannot_be_mended_at_all_is_refused_only_where_something_is_off(top, monkeypatch):
    (top / "state").symlink_to("/nonexistent")
    monkeypatch.setattr(look, "STATE", str(top / "state"))
    off = [{"what": "package git", "from": "absent", "to": "installed"}]
    assert look.in_the_way([]) == ""
    assert "which is not there; mend or remove it" in look.in_the_way(off)
    monkeypatch.setattr(look, "STATE", str(top))
    monkeypatch.setattr(look, "locked", lambda path: "read-only" if path == "/usr" else "")
    assert look.in_the_way(off) == "read-only"
    assert look.in_the_way([{**off[0], "what": "a file"}]) == ""


# --- what is no file, and disks that are full ---


@pytest.fixture
def small():
    """A real file system of 1 MB, and its folder; only root may mount one."""
    with tempfile.TemporaryDirectory() as name:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", name], check=False).returncode:
            pytest.skip("only root may mount")
        Path(name).chmod(0o755)
        yield Path(name)
        subprocess.run(["umount", name], check=True)


def not_files(top):
    """A folder, a pipe, a socket, a device, a link to itself and one to a pipe, all in the place of a file."""
    (top / "folder").mkdir()
    os.mkfifo(top / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(top / "socket"))
    (top / "device").symlink_to("/dev/zero")
    (top / "loop").symlink_to(top / "loop")
    (top / "to-pipe").symlink_to(top / "pipe")
    return sorted(top.iterdir())


def test_only_files_are_read_and_none_without_an_end(top):
    for path in not_files(top):
        with pytest.raises(OSError, match=r"not a file|directory|Too many levels"):
            files.content(path)
        assert Host.read(path) == "" == Host().sha256(path)
        assert str(path) in files.obstacle(path, "file") and "run this again" in files.obstacle(path, "file")
    (top / "file").write_bytes(b"12345")
    assert files.content(top / "file", 5) == b"12345"
    with pytest.raises(OSError, match="it is larger than 0 MiB"):
        files.content(top / "file", 4)
    assert files.content("/proc/sys/kernel/random/boot_id").count(b"-") == 4
    with pytest.raises(FileNotFoundError):
        files.content(top / "absent")


def test_what_is_no_file_is_refused_by_each_look_before_anything(top):
    for path in not_files(top):
        with pytest.raises(RefusalError, match=f"^{path} is a .*run this again$"):
            Host().file_changes(str(path), mode="0644")
    assert not files.is_foreign(top / "loop") and files.closed_above(top / "loop") is not None


def test_a_daemon_json_that_is_no_file_is_refused_and_dockerd_is_not_asked(top):
    host = Host()
    host.run = lambda *_, **__: pytest.fail("dockerd is asked")
    for path in not_files(top):
        if path.name == "loop":  # to dockerd, too, as if none were there
            assert docker_daemon.settings(host, str(path)).values == {}
        else:
            with pytest.raises(RefusalError, match=f"^{path} is a .*, and a file must be there; it is left as it is"):
                docker_daemon.settings(host, str(path))


@pytest.mark.parametrize("name", ["folder", "pipe", "socket", "loop", "to-pipe"])
def test_no_module_waits_for_a_pipe_and_all_name_what_is_in_the_way(run_module, top, name):
    path = top / name
    not_files(top)
    told = rf"{path} is a .*{'mend or remove it' if name == 'loop' else 'move it away'} and run this again"
    for module, given in (
        ("docker_daemon_json", {"path": str(path), "features": {"cdi": True}}),
        ("file_tree", {"dest": str(top), "files": [{"path": name, "content": "a", "mode": "0644"}]}),
    ):
        said = run_module(module, given, timeout=60)
        assert said["failed"] and re.search(told, said["msg"]), said
    for lock in (f"{top}/venv.lock", f"{top}/venv"):
        Path(lock).unlink(missing_ok=True)
        Path(lock).symlink_to(path)
        given = {"folder": f"{top}/venv", "name": "a", "version": "1", "lock": ""}
        said = run_module("python_venv", given, timeout=60)
        if (name, lock) != ("folder", f"{top}/venv"):
            assert said["failed"] and f"{lock} is a " in said["msg"], said
        Path(lock).unlink()
    assert sorted(each.name for each in top.iterdir() if each.name.startswith(".")) == []


def test_what_a_host_is_mended_with_is_looked_at_first(top, monkeypatch):
    change = [{"what": "package x", "from": "absent", "to": "1"}]
    monkeypatch.setattr(look, "STATE", str(top))
    for module, name in ((mending, "LOCK"), (installation, "RECORD")):
        os.mkfifo(top / name)
        monkeypatch.setattr(module, name, top / name)
        assert look.in_the_way(change).startswith(f"{top / name} is a device, a pipe or a socket")
        assert look.in_the_way([]) == ""
        (top / name).unlink()
    (top / "facts.d").touch()
    fact = f"{top}/facts.d/scenario_a.fact"
    assert look.looks({}, fact=fact)["msg"].startswith(f"{top}/facts.d is a file, and a folder must be there")
    assert "failed" not in look.looks({})


def test_a_log_that_is_no_file_is_told_before_and_not_waited_for(top, monkeypatch):
    os.mkfifo(top / "log")
    change = {"role": "r", "what": "w", "from": "a", "to": "b"}
    with pytest.raises(OSError, match="it is not a file"):
        mending.append(f"{top}/log", "me", [change])
    monkeypatch.setattr(look, "in_the_way", lambda _: "")
    monkeypatch.setattr(site, "look", lambda *_: {"changes": [change]})
    found = look.looks({"site": {}}, log=f"{top}/log")
    (note,) = found["warnings"]
    assert found["looks"]["site"]["notes"] == [note]
    assert note.startswith(f"what is changed will not be in the log: {top}/log is a device, a pipe or a socket")


def test_a_full_disk_is_named_with_what_is_free_and_what_mends_it(small, run_module):
    content = "a" * 2_000_000
    for module, given in (
        ("file_tree", {"dest": str(small), "files": [{"path": "a/b", "content": content, "mode": "0644"}]}),
        ("docker_daemon_json", {"path": f"{small}/daemon.json", "runtimes": {"x": {"path": content}}}),
    ):
        said = run_module(module, given)
        wanted = rf"no space was left at {small} \(\d MB are free there now\); make room there and run this again"
        assert said["failed"] and re.fullmatch(wanted, said["msg"]), said["msg"][:500]
        assert [each for each in small.rglob("*") if each.is_file()] == []
    with pytest.raises(OSError, match=f"No space left on device: '{small}/c'"):
        write(small / "c", content.encode())
    assert [each for each in small.rglob("*") if each.is_file()] == []


def test_a_program_s_full_disk_is_the_fullest_of_those_that_it_may_have_written_to(small):
    (small / "fills").write_bytes(b"a" * 1_000_000)
    for said in (
        f"cannot copy extracted data for './usr/bin/x' to '{small}/x': failed to write (No space left on device)",
        f"write {small}/layer: no space left on device",
        f"E: You don't have enough free space in {small}/.",
        "npm error code ENOSPC",
        "Disk quota exceeded",
    ):
        told = files.full_by(f"first\n{said}\nlast", ["/", small], 5_000_000, "a tool")
        assert told == (
            f"no space was left at {small} (0 MB are free there now, and a tool takes 5 MB); "
            "make room there and run this again"
        )
    assert files.full_by("No such file or directory: /usr", [small]) == ""


def test_a_full_disk_leaves_no_half_of_a_repository(small, top):
    (small / "fills").write_bytes(b"a" * 2**20)
    repository = {"name": "x", "kind": "deb", "url": "http://x", "suites": "/", "keyring": f"{top}/key.gpg"}
    repository["source"] = f"{small}/x.sources"
    with pytest.raises(OSError, match=f"No space left on device: '{small}/x.sources'"):
        signed_repository.put(Host(), repository, b"key")
    assert list(top.iterdir()) == [] and [path.name for path in small.iterdir()] == ["fills"]


def test_inodes_that_are_used_up_are_told_as_such(top, monkeypatch):
    used = SimpleNamespace(f_flag=0, f_bavail=10, f_frsize=10**6, f_files=100, f_favail=0)
    monkeypatch.setattr(files.os, "statvfs", lambda _: used)
    assert "whose inodes are used up; remove files there" in files.full(top)
    assert files.no_room(top, 1, "a tool").startswith("0 MB are free at ")


def test_other_errors_keep_their_words(top):
    assert files.trouble(top / "x", PermissionError(errno.EPERM, "Operation not permitted")) == (
        f"{top}/x: Operation not permitted; mend that on the host and run this again"
    )
