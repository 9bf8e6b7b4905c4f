"""Action and module `file_tree`, by Ansible on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLAYBOOKS = Path(__file__).parents[2] / "playbooks"


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
        "ANSIBLE_LIBRARY": str(PLAYBOOKS / "library"),
        "ANSIBLE_ACTION_PLUGINS": str(PLAYBOOKS / "action_plugins"),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "LC_ALL": "C.UTF-8",
    }

    def run(check=False, diff=True, **arguments):
        given = {"src": "tree", "dest": str(tmp_path / "there"), **arguments}
        task = {name: value for name, value in given.items() if value is not None}
        kept = {"content": "{{ done | to_json }}", "dest": str(tmp_path / "done.json"), "mode": "0600"}
        tasks = [
            {"file_tree": task, "register": "done", "ignore_errors": True, "diff": diff},
            {"ansible.builtin.copy": kept, "check_mode": False},
        ]
        play = tmp_path / "play.yml"
        play.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
        command = [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", "-c", "local", play]
        done = subprocess.run(
            [*command, *(["--check"] if check else [])],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads((tmp_path / "done.json").read_text())

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
    (there / "deep/program.sh").symlink_to("/bin/true")
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
    assert said["failed"] and "mend that on the host and run this again" in said["msg"]
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
    (there / "tool").unlink()
    (there / "tool").symlink_to("/nonexistent")
    assert lay_down(src=None, **wanted)["changed_files"] == [changes[0], changes[3]]
    assert (there / "bin").stat().st_mode & 0o777 == 0o750 and (there / "tool").exists()

    (there / "tool").unlink()
    (there / "tool").write_text("the site's own")
    said = lay_down(src=None, **wanted)
    assert said["failed"] and "tool: File exists; mend that on the host" in said["msg"]
    assert (there / "tool").read_text() == "the site's own"


def test_what_is_secret_does_not_come_back(lay_down):
    said = lay_down(diff=False, src=None, texts={"proxy.conf": "user:secret"})
    assert said["changed"] and "user:secret" not in json.dumps(said)


@pytest.mark.parametrize("text", [7, {}, {"content": "a", "src": "plain.txt"}])
def test_a_text_that_is_none_is_refused(lay_down, text):
    assert "texts has no text for a" in lay_down(src=None, texts={"a": text})["msg"]
