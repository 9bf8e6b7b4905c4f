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


@pytest.fixture
def mend(monkeypatch, tmp_path):
    """Mend a host that has nothing, and suppose that it then has everything."""
    modules = importlib.import_module("host_packages")
    monkeypatch.setattr(modules, "STAMP", tmp_path / "stamp")
    monkeypatch.setattr(modules, "SOURCES", tmp_path / "sources")

    def run(host, version="1-1", hold=True, upgrade=False):
        after = Host()
        after.packages, after.held = dict.fromkeys("ab", version), {"a", "b"}
        monkeypatch.setattr(modules, "Host", lambda: after)
        wanted = {"names": ["a", "b"], "version": version, "hold": hold}
        return modules.mend(host, host.run, wanted, upgrade, "some_variable")

    return run


def test_dnf_installs_a_version_and_locks_it(mend):
    host = Host(["dnf"], {"dnf --quiet repoquery": (0, "1-1\n2-1\n", "")})
    assert mend(host) == ""
    assert host.ran[1:] == [
        ("dnf", "--assumeyes", "--disableplugin=versionlock", "install", "a-1-1", "b-1-1"),
        ("dnf", "--assumeyes", "install", "python3-dnf-plugin-versionlock"),
        ("dnf", "versionlock", "delete", "a", "b"),
        ("dnf", "versionlock", "add", "a", "b"),
    ]


def test_dnf_has_not_got_the_version(mend):
    host = Host(["dnf"], {"dnf --quiet repoquery": (0, "1-1\n2-1\n", "")})
    said = mend(host, "3-1")
    assert said == "a 3-1 is in none of the host's sources, they have 2-1, 1-1; change some_variable"
    assert len(host.ran) == 1


def test_apt_s_complaint_is_passed_on(mend):
    madison = "   a |  1-1 | http://mirror Packages\n"
    why = {
        "apt-get": (100, "", "E: Unable to correct problems, you have held broken packages."),
        "apt-cache": (0, madison, ""),
    }
    said = mend(Host(["apt-get"], why))
    assert said.startswith("a b cannot be installed: Unable to correct problems, you have held broken packages.")
    assert "run this again" in said and "\n" not in said


def test_a_full_disk_has_its_own_remedy(mend):
    host = Host(["apt-get"], {"apt-get": (100, "", "E: You don't have enough free space in /var/cache/apt/archives/.")})
    assert mend(host, version="").endswith("; make room on the host and run this again")


def test_a_host_without_a_package_manager_is_told(mend):
    host = Host()
    host.os_id = "arch"
    assert mend(host) == "a b cannot be installed: arch has neither apt nor dnf; install them by hand"


def apts(host):
    """What apt-get and dpkg were asked to do."""
    return [next(word for word in words if word in {"update", "install", "--configure"}) for words in host.ran]


def test_lists_are_refreshed_once_in_a_while_and_when_sources_change(mend, tmp_path):
    (tmp_path / "sources").mkdir()
    for expected in (["update", "install"], ["install"]):
        host = Host(["apt-get"])
        assert mend(host, version="", hold=False) == ""
        assert apts(host) == expected
    os.utime(tmp_path / "stamp", (0, 0))
    host = Host(["apt-get"])
    mend(host, version="", hold=False)
    assert apts(host) == ["update", "install"]

    # What cannot be installed with lists that are there is tried again with new ones.
    host = Host(["apt-get"], {"apt-get --quiet -o DPkg::Lock::Timeout=600 install": (100, "", "E: 404")})
    assert "404" in mend(host, version="", hold=False)
    assert apts(host) == ["install", "update", "install"]


def test_what_was_broken_off_is_finished_where_apt_says_so(mend, tmp_path):
    """A dpkg that is at work has the same notes on disk as one that was stopped; apt looks when it has the lock."""
    (tmp_path / "sources").mkdir()
    broken = (100, "", "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem. ")

    class Once(Host):
        def run(self, *command):
            answer = super().run(*command)
            if command[0] == "dpkg":
                self.answers = {}
            return answer

    host = Once(["apt-get"], {"apt-get --quiet -o DPkg::Lock::Timeout=600 install": broken})
    assert mend(host, version="", hold=False) == ""
    assert apts(host) == ["update", "install", "--configure", "install"]
    host = Host(["apt-get"], {"apt-get": broken, "dpkg": (1, "", "dpkg: error processing package a\n")})
    assert "cannot be finished: dpkg --configure -a: dpkg: error processing" in mend(host, version="", hold=False)


def test_what_is_there_is_upgraded_where_that_is_wanted(mend):
    host = Host(["apt-get"])
    host.packages = {"a": "1-1", "b": "1-1"}
    assert mend(host, version="", hold=False, upgrade=True) == ""
    assert apts(host) == ["update", "install"]
    upgrades = importlib.import_module("host_packages").upgrades
    assert upgrades(["a", "b", "c"], {"a": "1", "b": "1"}, {"a": "2", "b": "1", "c": "1"}) == [
        {"what": "package a", "from": "1", "to": "2"}
    ]


def test_a_lock_is_waited_for(monkeypatch, tmp_path):
    modules = importlib.import_module("host_packages")
    monkeypatch.setattr(modules, "STAMP", tmp_path / "stamp")
    monkeypatch.setattr(modules.time, "sleep", lambda _: None)
    answers = iter([(100, "", "E: Could not get lock /var/lib/apt/lists/lock."), (0, "", "")])
    assert modules.Apt(None, lambda *_: next(answers)).refresh() == ""
    assert next(answers, None) is None


def test_only_a_hold_is_missing(mend):
    host = Host(["apt-get"])
    host.packages = dict.fromkeys("ab", "1-1")
    assert mend(host) == ""
    assert host.ran == [("apt-mark", "hold", "a", "b")]


@pytest.mark.parametrize("url", ["ftp://x/key", "/etc/key", "data:text/plain,x"])
def test_an_address_of_a_kind_that_is_not_known(url):
    repositories = importlib.import_module("signed_repository")
    with pytest.raises(ValueError, match="https://"):
        repositories.fetched({"key_url": url, "fingerprints": []})


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    repositories = importlib.import_module("signed_repository")
    path = tmp_path / "folder/file"
    repositories.write(path, b"before")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"before", 0o644)
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        repositories.write(path, b"after")
    assert [one.read_bytes() for one in path.parent.iterdir()] == [b"before"]


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
    daemon = importlib.import_module("ansible.module_utils.provisioner_docker_daemon")
    assert daemon.complaint(Host(answers={"dockerd --validate": answer}), "/x") == said


class Module:
    """What the module asks of Ansible: a file is put in its place, owner and mode as they were."""

    @staticmethod
    def atomic_move(source, target):
        Path(source).replace(target)


@pytest.mark.skipif(os.geteuid() != 0, reason="the file becomes another user's")
def test_a_daemon_json_that_is_written_anew_is_alike_in_all_else(tmp_path):
    module = importlib.import_module("docker_daemon_json")
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
