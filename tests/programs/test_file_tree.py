"""Action and module `file_tree`, by Ansible on this machine."""

import json
import os
import struct
import sys
from pathlib import Path

import ansible_forked
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def lay_down(tmp_path):
    """Have a folder laid down: `lay_down(check=False, diff=True, **arguments)` gives the task's result."""
    source = tmp_path / "files/tree"
    (source / "deep/__pycache__").mkdir(parents=True)
    (source / "deep/program.sh").write_text("#!/bin/sh\n")
    (source / "deep/program.sh").chmod(0o775)
    (source / "deep/__pycache__/left.txt").write_text("not ours")
    (source / "plain.txt").write_text("{{ not a template }}\n\n")
    (source / "plain.txt").chmod(0o600)
    environment = {
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_LOCALHOST_WARNING": "False",
    }

    def run(check=False, diff=True, **arguments):
        given = {"src": "tree", "dest": str(tmp_path / "there"), **arguments}
        task = {name: value for name, value in given.items() if value is not None}
        tasks = [
            {"provisioner.gpu_hosts.file_tree": task, "register": "done", "ignore_errors": True, "diff": diff},
            ansible_forked.tell("done"),
        ]
        play = tmp_path / "play.yml"
        play.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
        options = ["-i", "localhost,", "-c", "local", *(["--check"] if check else [])]
        done = ansible_forked.run("playbook", *options, play, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return ansible_forked.told(done)["localhost"]

    return run


def found(folder):
    """Path, mode and content of each file in `folder`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(str(path.relative_to(folder)), path.stat().st_mode & 0o777, path.read_text()) for path in files]


def test_all_files_are_laid_down_once_and_drift_is_mended(lay_down, tmp_path):
    there = tmp_path / "there"
    texts = {"deep/made.json": '{"a": 1}\n'}
    wanted = [
        ("deep/made.json", 0o644, '{"a": 1}\n'),
        ("deep/program.sh", 0o755, "#!/bin/sh\n"),
        ("plain.txt", 0o644, "{{ not a template }}\n\n"),
    ]
    planned = lay_down(check=True, texts=texts)
    assert planned["changed_files"] == [name for name, _, _ in wanted] and not there.exists()
    assert lay_down(texts=texts)["changed"] and found(there) == wanted
    assert not lay_down(texts=texts)["changed"]

    (there / "plain.txt").chmod(0o666)
    (there / "deep/program.sh").unlink()
    (there / "the site's own.txt").write_text("stays")
    (there / "gone.crt").write_text("old")
    (tmp_path / "host's.crt").write_text("on the host")
    mended = lay_down(
        texts={"deep/made.json": '{"a": 2}\n'},
        copies={"site.crt": str(tmp_path / "host's.crt")},
        absent=["gone.crt", "never.crt"],
    )
    assert mended["changed_files"] == ["deep/made.json", "deep/program.sh", "plain.txt", "site.crt", "gone.crt"]
    assert (mended["diff"][0]["before"], mended["diff"][0]["after"]) == ('{"a": 1}\n', '{"a": 2}\n')
    now = [("deep/made.json", 0o644, '{"a": 2}\n'), *wanted[1:]]
    now += [("site.crt", 0o644, "on the host"), ("the site's own.txt", 0o644, "stays")]
    assert found(there) == now


def test_what_cannot_be_written_is_one_line_and_leaves_nothing_half_done(lay_down, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there/deep").write_text("a file, where a folder is wanted")
    said = lay_down()
    assert said["failed"] and said["msg"].endswith("it is left as it is: move it away and run this again")
    assert "exception" not in said or "Traceback" not in said["msg"]
    assert [name for name, _, _ in found(tmp_path / "there")] == ["deep"]


def test_folders_modes_and_links_are_had_and_a_stranger_is_left_alone(lay_down, tmp_path):
    there = tmp_path / "there"
    (tmp_path / "files/site.pem").write_bytes(b"# Zertifikat f\xfcr alle\n")
    wanted = {
        "dest": str(tmp_path),
        "folders": {str(there / "bin"): "0750"},
        "texts": {"there/bin/tool": {"content": "#!/bin/sh\n", "mode": "0755"}, "there/site.pem": {"src": "site.pem"}},
        "links": {"there/tool": str(there / "bin/tool")},
    }
    changes = [str(there / "bin"), "there/bin/tool", "there/site.pem", "there/tool"]
    assert lay_down(check=True, src=None, **wanted)["changed_files"] == changes and not there.exists()
    assert lay_down(src=None, **wanted)["changed_files"] == changes
    assert not lay_down(src=None, **wanted)["changed"]
    assert (there / "site.pem").read_bytes() == b"# Zertifikat f\xfcr alle\n"
    assert [(there / name).stat().st_mode & 0o777 for name in ("bin", "tool")] == [0o750, 0o755]

    (there / "bin").chmod(0o777)
    assert lay_down(src=None, **wanted)["changed_files"] == changes[:1]
    assert (there / "bin").stat().st_mode & 0o777 == 0o750 and (there / "tool").exists()


def test_a_link_for_convenience_is_no_reason_to_fail(lay_down, tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    for name, make in {
        "file": lambda path: path.write_text("the site's own"),
        "dangling": lambda path: path.symlink_to("/nonexistent"),
        "folder": lambda path: path.mkdir(),
    }.items():
        make(there / name)
        said = lay_down(src=None, links={name: "/bin/true"})
        assert not said.get("failed") and not said["changed"]
        assert f"{there / name} is not ours, and stays" in said["warnings"]
    assert (there / "file").read_text() == "the site's own"
    assert str((there / "dangling").readlink()) == "/nonexistent"
    said = lay_down(src=None, links={"file/below": "/bin/true"})
    assert not said.get("failed") and f"{there / 'file'} is a file" in said["warnings"][0]


def test_links_are_followed_and_stay(lay_down, tmp_path):
    there, elsewhere = tmp_path / "there", tmp_path / "elsewhere"
    for folder in (there, elsewhere):
        folder.mkdir()
    (elsewhere / "big").mkdir()
    (elsewhere / "big").chmod(0o775)
    (there / "big").symlink_to(elsewhere / "big")
    (there / "real").write_text("old")
    (there / "here").symlink_to("real")
    wanted = {"folders": {"big": "0755"}, "texts": {"big/file": "text", "here": "new"}}
    assert lay_down(src=None, **wanted)["changed_files"] == ["big/file", "here"]
    assert not lay_down(src=None, **wanted)["changed"]
    assert (elsewhere / "big/file").read_text() == "text" and (there / "big").is_symlink()
    assert str((there / "here").readlink()) == "real" and (there / "real").read_text() == "new"
    assert (elsewhere / "big").stat().st_mode & 0o777 == 0o775

    (elsewhere / "theirs").write_text("theirs")
    (there / "out").symlink_to(elsewhere / "theirs")
    assert not lay_down(src=None, texts={"out": "theirs"})["changed"]
    for given in ({"texts": {"out": "ours"}}, {"texts": {"out": {"content": "theirs", "mode": "0600"}}}):
        assert "is left as it is; remove the link" in lay_down(src=None, **given)["msg"]
    (there / "nowhere").symlink_to(elsewhere / "none")
    assert "which is not there; mend or remove it" in lay_down(src=None, texts={"nowhere": "ours"})["msg"]
    lay_down(src=None, absent=["out", "nowhere", "big"])
    assert [(there / name).is_symlink() for name in ("out", "nowhere", "big")] == [True] * 3
    assert (elsewhere / "theirs").read_text() == "theirs" and not (elsewhere / "none").exists()


def test_attributes_and_acls_stay(lay_down, tmp_path):
    path = tmp_path / "there/file"
    lay_down(src=None, texts={"file": "old"})
    os.setxattr(path, "user.note", b"the site's")
    # What `setfacl -m u:12345:rw` sets: owner rw, user 12345 rw, group r, mask rw, others r.
    entries = [(1, 6, -1), (2, 6, 12345), (4, 4, -1), (16, 6, -1), (32, 4, -1)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    os.setxattr(path, "system.posix_acl_access", acl)
    assert not lay_down(src=None, texts={"file": "old"})["changed"]
    assert lay_down(src=None, texts={"file": "new"})["changed"] and path.read_text() == "new"
    assert (os.getxattr(path, "user.note"), os.getxattr(path, "system.posix_acl_access")) == (b"the site's", acl)


def test_all_can_be_read_by_everybody_whatever_the_umask(lay_down, tmp_path):
    there = tmp_path / "there"
    before = os.umask(0o077)
    try:
        lay_down(texts={"deep/er/made.txt": "text"})
        assert {path.stat().st_mode & 0o777 for path in there.rglob("*") if path.is_dir()} == {0o755}
        (there / "spoilt").mkdir()
        (there / "spoilt/program").touch(0o700)
        (there / "spoilt/link").symlink_to(tmp_path / "private")
        (tmp_path / "private").touch()
    finally:
        os.umask(before)
    assert lay_down(check=True, src=None, readable=["spoilt"])["changed_files"] == ["spoilt"]
    assert lay_down(src=None, readable=["spoilt"])["changed"]
    assert not lay_down(src=None, readable=["spoilt"])["changed"]
    modes = [(there / name).stat().st_mode & 0o777 for name in ("spoilt", "spoilt/program", "spoilt/link")]
    assert modes == [0o755, 0o755, 0o600]


def test_what_is_secret_does_not_come_back(lay_down):
    said = lay_down(diff=False, src=None, texts={"proxy.conf": "user:secret"})
    assert said["changed"] and "user:secret" not in json.dumps(said)


@pytest.mark.parametrize("text", [7, {}, {"content": "a", "src": "plain.txt"}])
def test_a_text_that_is_none_is_refused(lay_down, text):
    assert "texts has no text for a" in lay_down(src=None, texts={"a": text})["msg"]
