"""What is in the way of our files on a host, and who can read them."""

import os
from types import SimpleNamespace

import pytest
from ansible.module_utils import provisioner_files as files
from ansible.module_utils import provisioner_look, provisioner_site
from ansible.module_utils.provisioner_host import Host, RefusalError
from ansible.module_utils.provisioner_local_sources import closed_in_image, kept_in


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
        ("folder", "file", f"{top}/folder is a folder, and a file is to be there"),
        ("file", "directory", f"{top}/file is a file, and a folder is to be there"),
        ("file/below/it", "file", f"{top}/file is a file, and a folder is to be there"),
        ("pipe", "file", f"{top}/pipe is a device, a pipe or a socket, and a file is to be there"),
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
    assert told == f"10 MB are free at {top}, and a tool takes 11 MB; make room and run this again"


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
        with pytest.raises(RefusalError, match=r"is a link to .*theirs, which is not as it is wanted"):
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
    looked = provisioner_site.look(Host(), {**paths, **dict.fromkeys(("bundle", "sha256", "environment_sha256"), "")})
    assert [change["what"] for change in looked["changes"]] == [str(top / "settings"), str(top / "environment")]


def test_a_host_that_cannot_be_mended_at_all_is_refused_only_where_something_is_off(top, monkeypatch):
    (top / "state").symlink_to("/nonexistent")
    monkeypatch.setattr(provisioner_look, "STATE", str(top / "state"))
    off = [{"what": "package git", "from": "absent", "to": "installed"}]
    assert provisioner_look.in_the_way([]) == ""
    assert "which is not there; mend or remove it" in provisioner_look.in_the_way(off)
    monkeypatch.setattr(provisioner_look, "STATE", str(top))
    monkeypatch.setattr(provisioner_look, "locked", lambda path: "read-only" if path == "/usr" else "")
    assert provisioner_look.in_the_way(off) == "read-only"
    assert provisioner_look.in_the_way([{**off[0], "what": "a file"}]) == ""
