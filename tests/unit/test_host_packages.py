"""Module host_packages: what it runs, in which order, and what it writes down; the packages are made up."""

import json
import os

import pytest

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import apt, installation
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.installation import Outcome
from ansible_collections.provisioner.gpu_hosts.plugins.modules import host_packages as modules

MADISON = "a | 2-1 | http://mirror Packages\na | 1-1 | http://mirror Packages\n"


class World:
    """A host with a package manager: answers as told, by how the words begin; installing brings what is asked for."""

    def __init__(self, tool, outcomes, answers):
        self.tool, self.outcomes, self.answers, self.ran = tool, list(outcomes), dict(answers), []
        self.packages, self.held, self.unfinished = {}, set(), {}
        self.os_id = "arch"

    def which(self, name):
        return name if name == self.tool else ""

    def run(self, *command):
        words = " ".join(word for word in command if word not in {"--quiet", "-o", "DPkg::Lock::Timeout=600"})
        self.ran.append(words)
        found = next((answer for start, answer in self.answers.items() if words.startswith(start)), (0, "", ""))
        if " install " in words and not found[0]:
            names = {word.split("=")[0].removesuffix("-1-1") for word in words.split()}
            self.packages.update(dict.fromkeys(names & {"a", "b"}, "1-1"))
        return found

    def ask(self, *command):
        return self.run(*command)[1]

    def foresee(self, _, names, version=""):
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


BOTH = Outcome({"a": ("", "1-1"), "b": ("", "1-1"), "lib": ("", "3")}, [], [], [], "")


@pytest.fixture
def mend(monkeypatch, tmp_path):
    """Mend a made-up host; gives what was run there, without options that are always there, and what was refused."""
    (tmp_path / "sources").mkdir()
    for module in (modules, apt):
        monkeypatch.setattr(module, "STAMP", tmp_path / "stamp")
    for module in (modules, installation):
        monkeypatch.setattr(module, "RECORD", tmp_path / "packages.json")
    monkeypatch.setattr(apt, "SOURCES", tmp_path / "sources")
    monkeypatch.setattr(installation, "JOURNAL", tmp_path / "updates")
    monkeypatch.setattr(modules, "waiting_for", lambda _: "")
    monkeypatch.setattr(modules.time, "sleep", lambda _: None)

    def run(*outcomes, tool="apt-get", answers=(), version="", hold=False, upgrade=False, prepare=None):
        world = World(tool, outcomes or [BOTH], answers)
        if prepare:
            prepare(world)
        monkeypatch.setattr(modules, "Host", lambda: world)
        monkeypatch.setattr(modules, "foresee", world.foresee)
        said = ""
        try:
            modules.mend(world, world.run, {"names": ["a", "b"], "version": version, "hold": hold}, upgrade, "some_var")
        except RefusalError as refusal:
            said = str(refusal)
        return world.ran, said

    return run


UPDATE = "apt-get APT::Update::Error-Mode=any update"
INSTALL = (
    "apt-get install --yes Dpkg::Options::=--force-confdef Dpkg::Options::=--force-confold --no-install-recommends"
    " --no-auto-remove"
)


def noted(folder):
    return json.loads((folder / "packages.json").read_text())


def test_the_real_call_removes_downgrades_and_lets_go_of_nothing(mend, tmp_path):
    assert mend() == ([UPDATE, f"{INSTALL} --no-remove a b"], "")
    assert noted(tmp_path) == {"installed": ["a", "b", "lib"], "pending": []}


def test_only_what_was_foreseen_of_our_own_is_let_through(mend, tmp_path):
    (tmp_path / "packages.json").write_text('{"installed": ["old", "x"], "pending": []}')
    ran, _ = mend(Outcome({"a": ("2-1", "1-1"), "b": ("", "1-1")}, ["old"], ["a"], ["a"], ""), version="1-1")
    assert ran[1] == f"{INSTALL} --allow-downgrades --allow-change-held-packages a=1-1 b=1-1"
    # a was there before: it stays the site's.
    assert noted(tmp_path)["installed"] == ["b", "x"]


def test_what_would_do_harm_is_not_tried(mend):
    ran, said = mend(RefusalError("installing a would remove kubelet"))
    assert said == "installing a would remove kubelet" and ran == [UPDATE]


def test_lists_are_refreshed_once_in_a_while_and_when_sources_change(mend, tmp_path):
    assert [words.split()[1] for words in mend()[0]] == ["APT::Update::Error-Mode=any", "install"]
    assert [words.split()[1] for words in mend()[0]] == ["install"]
    os.utime(tmp_path / "stamp", (0, 0))
    assert UPDATE in mend()[0]
    (tmp_path / "sources/x.list").touch()
    os.utime(tmp_path / "sources/x.list", (2**33, 2**33))
    assert UPDATE in mend()[0]


def test_what_cannot_be_installed_with_lists_that_are_there_is_tried_again_with_new_ones(mend):
    mend()
    ran, said = mend(answers={"apt-get install": (100, "", "E: 404 Not Found")})
    assert ran == [f"{INSTALL} --no-remove a b", UPDATE, f"{INSTALL} --no-remove a b"]
    assert said == "a b cannot be installed: 404 Not Found; mend the host's sources or network and run this again"


def test_sources_that_fail_are_told_where_a_package_is_then_missing(mend):
    stale = {"apt-get APT::Update": (100, "", "E: Failed to fetch http://gone Could not connect")}
    unknown = BOTH._replace(brings={}, unknown="Unable to locate package a")
    _, said = mend(unknown, answers=stale)
    assert said == (
        "a b cannot be installed: Unable to locate package a; before that: Failed to fetch http://gone Could not "
        "connect; mend the host's sources or network and run this again"
    )
    assert mend(answers=stale)[1] == ""


def test_a_version_that_does_not_exist(mend):
    unknown = BOTH._replace(unknown="Version '3-1' for 'a' was not found")
    _, said = mend(unknown, version="3-1", answers={"apt-cache madison": (0, MADISON, "")})
    assert said == "a 3-1 is in none of the host's sources, they have 2-1, 1-1; change some_var"


def test_what_an_earlier_call_of_ours_broke_off_is_finished_first(mend, tmp_path):
    (tmp_path / "packages.json").write_text('{"installed": [], "pending": ["lib"]}')

    def broken(world):
        world.unfinished = {"lib": "half-configured"}

    assert mend(prepare=broken)[0] == ["dpkg --configure -a", UPDATE, f"{INSTALL} --no-remove a b"]
    answers = {"dpkg": (1, "", "dpkg: error processing package lib (--configure):\n it failed\n")}
    ran, said = mend(prepare=broken, answers=answers)
    assert len(ran) == 1
    assert "cannot be finished: dpkg: error processing package lib (--configure): it failed; mend that package" in said


def test_what_others_broke_off_is_left(mend):
    ran, said = mend(prepare=lambda world: world.unfinished.update(other="half-configured"))
    assert ran == [] and said.startswith("the package other is half-configured")


def test_a_call_that_breaks_off_stays_noted(mend, tmp_path):
    fails = {"apt-get install": (100, "", "E: Sub-process /usr/bin/dpkg returned an error code (1)")}
    mend(answers=fails)
    assert noted(tmp_path)["pending"] == []
    (tmp_path / "updates").mkdir()

    class Stops(World):
        def run(self, *command):
            if "--yes" in command:
                (tmp_path / "updates/0001").touch()
            return super().run(*command)

    world = Stops("apt-get", [BOTH], fails)
    modules.Host, modules.foresee = (lambda: world), world.foresee
    with pytest.raises(RefusalError):
        modules.attempt(modules.Apt(world.run), ["a", "b"], "", "", "")
    assert noted(tmp_path)["pending"] == ["a", "b", "lib"]


def test_what_is_there_is_upgraded_only_where_that_is_wanted(mend):
    there = lambda world: world.packages.update(a="1-1")  # noqa: E731
    assert mend(prepare=there)[0][-1].endswith("--no-remove b")
    assert mend(prepare=there, upgrade=True)[0][-1].endswith("--no-remove a b")


def test_only_a_hold_is_missing(mend):
    ran, said = mend(hold=True, prepare=lambda world: world.packages.update(a="1-1", b="1-1"))
    assert (ran, said) == (["apt-mark hold a b"], "")


def test_a_lock_is_waited_for(monkeypatch, tmp_path):
    monkeypatch.setattr(modules, "STAMP", tmp_path / "stamp")
    monkeypatch.setattr(modules.time, "sleep", lambda _: None)
    answers = iter([(100, "", "E: Could not get lock /var/lib/apt/lists/lock."), (0, "", "")])
    assert modules.Apt(lambda *_: next(answers)).refresh() == ""
    assert next(answers, None) is None
    busy = iter(["apt (process 1)", "apt (process 1)", ""])
    monkeypatch.setattr(modules, "waiting_for", lambda _: next(busy))
    modules.Apt(Host().run).settle(["a"])
    assert next(busy, None) is None


def test_dnf_installs_a_version_and_locks_it(mend):
    assert mend(tool="dnf", version="1-1", hold=True)[0] == [
        "dnf makecache",
        "dnf --assumeyes install a-1-1 b-1-1",
        "dnf --assumeyes install python3-dnf-plugin-versionlock",
        "dnf versionlock delete a b",
        "dnf versionlock add a b",
    ]


def test_dnf_has_not_got_the_version(mend):
    unknown = BOTH._replace(unknown="Unable to find a match: a-3-1")
    ran, said = mend(unknown, tool="dnf", version="3-1", answers={"dnf repoquery": (0, "1-1\n2-1\n", "")})
    assert said == "a 3-1 is in none of the host's sources, they have 2-1, 1-1; change some_var"
    assert not any(" install " in words for words in ran)


def test_a_host_without_a_package_manager_is_told(mend):
    assert mend(tool="pacman")[1] == "a b cannot be installed: arch has neither apt nor dnf; install them by hand"


def test_what_changed_is_told_by_versions_before_and_after():
    assert modules.changes_of_versions(["a", "b"], {"a": "1", "x": "1", "y": "1"}, {"a": "2", "b": "1", "x": "2"}) == [
        {"what": "package a", "from": "1", "to": "2"},
        {"what": "package b", "from": "absent", "to": "1"},
        {"what": "package x", "from": "1", "to": "2"},
        {"what": "package y", "from": "1", "to": "absent"},
    ]
