"""The modules that the container toolkit's role changes a host with: what they would run, and what they refuse."""

import importlib
import os
from pathlib import Path

import pytest


class Host:
    """A host whose packages are what its package manager was told; keeps what was run."""

    def __init__(self, tools=(), answers=()):
        self.tools, self.answers, self.ran = tools, dict(answers), []
        self.held, self.packages = set(), {}

    def which(self, name):
        return name if name in self.tools else ""

    def run(self, *command):
        self.ran.append(command)
        found = [answer for start, answer in self.answers.items() if " ".join(command).startswith(start)]
        return found[0] if found else (0, "", "")

    def ask(self, *command):
        return self.run(*command)[1]


@pytest.mark.parametrize("url", ["ftp://x/key", "/etc/key", "data:text/plain,x"])
def test_an_address_of_a_kind_that_is_not_known(url):
    repositories = importlib.import_module(
        "ansible_collections.provisioner.gpu_hosts.plugins.modules.signed_repository"
    )
    with pytest.raises(ValueError, match="https://"):
        repositories.fetched({"key_url": url, "fingerprints": []})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((0, "configuration OK", ""), ""),
        ((125, "", "unknown flag: --validate\nSee 'dockerd --help'."), None),
        ((127, "", "no such file"), None),
        ((1, "", "unable to configure: hosts given twice\n"), "unable to configure: hosts given twice"),
    ],
)
def test_what_dockerd_says_of_settings(answer, said):
    daemon = importlib.import_module("ansible_collections.provisioner.gpu_hosts.plugins.module_utils.docker_daemon")
    assert daemon.complaint(Host(answers={"dockerd --validate": answer}), "/x") == said


class Module:
    """What the module asks of Ansible: a file is put in its place, owner and mode as they were."""

    @staticmethod
    def atomic_move(source, target):
        Path(source).replace(target)


@pytest.mark.skipif(os.geteuid() != 0, reason="the file becomes another user's")
def test_a_daemon_json_that_is_written_anew_is_alike_in_all_else(tmp_path):
    module = importlib.import_module("ansible_collections.provisioner.gpu_hosts.plugins.modules.docker_daemon_json")
    path = tmp_path / "daemon.json"
    path.write_bytes(b"{}")
    path.chmod(0o640)
    os.chown(path, 1, 2)
    os.setxattr(path, "user.site", b"1")
    silent = Host(answers={"dockerd --validate": (127, "", "")})
    umask = os.umask(0o077)
    try:
        assert module.write(Module, silent, path, b'{"a": 1}') == ""
        new = tmp_path / "folder/daemon.json"
        assert module.write(Module, silent, new, b"{}") == ""
    finally:
        os.umask(umask)
    status = path.stat()
    assert (path.read_bytes(), status.st_mode & 0o777, status.st_uid, status.st_gid) == (b'{"a": 1}', 0o640, 1, 2)
    assert os.getxattr(path, "user.site") == b"1"
    assert (new.stat().st_mode & 0o777, new.parent.stat().st_mode & 0o777) == (0o644, 0o755)

    refusing = Host(answers={"dockerd --validate": (1, "", "no such directive\n")})
    assert module.write(Module, refusing, path, b"{}") == "no such directive"
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["daemon.json"]
    assert path.read_bytes() == b'{"a": 1}'
