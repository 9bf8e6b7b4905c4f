"""What an installation would do, told from what apt and dnf really print; and what of it is refused."""

import json
import os
import re
from types import SimpleNamespace

import pytest

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import apt, files, installation, packages
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.installation import Outcome

# Of apt 2.6 and 3.0; kubelet and containerd.io were there.
CONFLICT = """Reading package lists...
The following additional packages will be installed:
   containerd (1.6.20~ds1-1)
   runc (1.1.5+ds1-1)
Suggested packages:
   docker-doc (20.10.24)
The following packages will be REMOVED:
   containerd.io (1.7)
   kubelet* (1.30)
The following NEW packages will be installed:
   docker.io (20.10.24+dfsg1-1+b6)
   runc (1.1.5+ds1-1)
The following packages will be upgraded:
   libc6 (2.36-9 => 2.36-10)
1 upgraded, 2 newly installed, 2 to remove and 0 not upgraded.
Need to get 66.5 MB of archives.
After this operation, 262 MB of additional disk space will be used.
'http://x/runc.deb' runc_1.1.5+ds1-1_amd64.deb 2000000 SHA256:0
'http://x/docker.deb' docker.io_20.10.24+dfsg1-1+b6_amd64.deb 98000000 MD5Sum:0
"""
HARM = """The following held packages will be changed:
   a (2-1 => 1-1)
The following packages will be DOWNGRADED:
   a (2-1 => 1-1)
   b (2-1 => 1-1)
"""
UNMET = """You might want to run 'apt --fix-broken install' to correct these.
The following packages have unmet dependencies:
 needs : Depends: nowhere but it is not going to be installed
E: Unmet dependencies. Try 'apt --fix-broken install' with no packages (or specify a solution).
"""
# Of dnf 4, as its documentation and its public bug reports show it.
DNF = """Dependencies resolved.
================================================================================
 Package             Arch    Version                     Repository        Size
================================================================================
Installing:
 docker-ce           x86_64  3:28.0.1-1.el9              docker-ce-stable  20 M
     replacing  podman-docker.noarch 2:5.2.2-1.el9
Installing dependencies:
 containerd.io       x86_64  1.7.25-3.1.el9              docker-ce-stable  43 M
Upgrading:
 selinux-policy      noarch  38.1.45-3.el9_5             baseos            42 k
Removing dependent packages:
 cockpit-podman      noarch  93-1.el9                    @appstream       600 k
Downgrading:
 runc                x86_64  4:1.1.12-3.el9              appstream         3 M

Transaction Summary
================================================================================
Install  2 Packages
"""


class Asked(Host):
    """A host whose programs answer as told, by how their words begin; keeps what was run."""

    def __init__(self, tool="apt-get", answers=None, dpkg=()):
        super().__init__()
        self.tool, self.answers, self.ran = tool, answers or {}, []
        self._dpkg = [line.split(" ") for line in dpkg]
        self.os_release = {"ID": "debian", "VERSION_ID": "12"}

    def which(self, command):
        return f"/usr/bin/{command}" if command in {self.tool, "dpkg-query"} else ""

    def run(self, *command):
        words = " ".join(word for word in command if word not in {"--quiet", "-o", "DPkg::Lock::Timeout=600"})
        self.ran.append(words)
        return next((answer for start, answer in self.answers.items() if words.startswith(start)), (0, "", ""))


@pytest.fixture(autouse=True)
def places(monkeypatch, tmp_path):
    """No other program is at the packages; nothing is ours, and there is room."""
    monkeypatch.setattr(installation, "waiting_for", lambda _: "")
    monkeypatch.setattr(installation, "RECORD", tmp_path / "packages.json")
    monkeypatch.setattr(installation, "JOURNAL", tmp_path / "updates")
    monkeypatch.setattr(installation, "ARCHIVES", tmp_path)
    monkeypatch.setattr(installation, "PLACES", ())
    monkeypatch.setattr(packages, "lists_are_new", lambda: True)
    return tmp_path


def ours(folder, *names, pending=()):
    (folder / "packages.json").write_text(json.dumps({"installed": names, "pending": pending}))


def simulated(out="", code=0, errors="", **more):
    return {"apt-get install --print-uris": (code, out, errors), **more}


def test_what_apt_would_do(places):
    ours(places, "containerd.io", "kubelet")
    found = installation.foresee(Asked(answers=simulated(CONFLICT)), ["docker.io"])
    assert found == Outcome(
        {"runc": ("", "1.1.5+ds1-1"), "docker.io": ("", "20.10.24+dfsg1-1+b6"), "libc6": ("2.36-9", "2.36-10")},
        ["containerd.io", "kubelet"],
        [],
        [],
        "",
    )


def test_what_others_have_is_neither_removed_nor_changed(places):
    refusal = "installing docker.io would remove containerd.io kubelet, which provisioner did not install; "
    host = Asked(answers=simulated(CONFLICT))
    with pytest.raises(RefusalError, match=f"{refusal}remove containerd.io kubelet by hand if nothing on the host"):
        installation.foresee(host, ["docker.io"])
    with pytest.raises(RefusalError, match=f"{refusal}set docker_engine_source to docker, and run this again"):
        installation.foresee(host, ["docker.io"], "", "set docker_engine_source to docker")
    ours(places, "containerd.io")
    with pytest.raises(RefusalError, match="would remove kubelet, which"):
        installation.foresee(host, ["docker.io"])

    host = Asked(answers=simulated(HARM))
    with pytest.raises(RefusalError, match="would downgrade a b, which"):
        installation.foresee(host, ["a"], "1-1")
    ours(places, "b")
    with pytest.raises(RefusalError, match="would downgrade a, which"):
        installation.foresee(host, ["a"], "1-1")
    ours(places, "a", "b")
    assert installation.foresee(host, ["a"], "1-1")[1:4] == ([], ["a", "b"], ["a"])
    host = Asked(answers=simulated(HARM.replace("packages will be DOWNGRADED", "packages will be upgraded")))
    ours(places)
    with pytest.raises(RefusalError, match=r"would change a, which is held; unhold it \('apt-mark unhold a'\) and"):
        installation.foresee(host, ["a"])


@pytest.mark.parametrize(
    ("errors", "version"),
    [
        ("E: Unable to locate package a", ""),
        ("E: Package 'a' has no installation candidate", ""),
        ("E: Version '9' for 'a' was not found", "9"),
    ],
)
def test_what_the_lists_do_not_have_is_not_refused_yet(errors, version):
    host = Asked(answers=simulated(code=100, errors=errors))
    assert installation.foresee(host, ["a"], version).unknown == errors[3:]
    assert packages.look(host, ["a"], version) == [{"what": "package a", "from": "absent", "to": version or "newest"}]


def test_a_package_that_the_site_forbids_is_told_as_such():
    table = "jq:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n     1.6-2 -1\n        500 http://x y\n"
    other = (
        "git:\n  Installed: (none)\n  Candidate: 2.39-1\n  Version table:\n     2.39-1 500\n        500 http://x y\n"
    )
    errors = "E: Package 'jq' has no installation candidate"
    host = Asked(answers=simulated(code=100, errors=errors, **{"apt-cache policy git jq": (0, other + table, "")}))
    with pytest.raises(RefusalError, match=r"^jq is forbidden by the host's apt preferences .*'apt-cache policy jq'"):
        installation.foresee(host, ["git", "jq"])


@pytest.mark.parametrize(
    ("errors", "says"),
    [
        (
            "E: Conflicting values set for option Signed-By regarding source http://x/ y: /a != /b\nE: The list of",
            "Conflicting values set for option Signed-By .*; mend the host's sources in /etc/apt and run this again",
        ),
        ("E: Malformed entry 1 in list file /etc/apt/sources.list.d/x.list (Suite)", "Malformed entry 1 in list file"),
        (UNMET, r"needs : Depends: nowhere but .*; mend the host's packages \('apt-get check' shows what is wrong\)"),
    ],
)
def test_a_broken_apt_is_told_in_its_own_words(errors, says):
    host = Asked(answers=simulated(code=100, errors=errors, **{"apt-get check": (100, "", errors)}))
    with pytest.raises(RefusalError, match=f"^a cannot be installed: {says}") as refusal:
        installation.foresee(host, ["a"])
    assert "\n" not in str(refusal.value)


def test_a_dependency_that_another_role_brings_is_no_matter():
    class Broken(Asked):
        def run(self, *command):
            code, out, errors = super().run(*command)
            return (0, "", "") if command[-1] == "iptables" else (code, out, errors)

    host = Broken(answers=simulated(code=100, errors=UNMET, **{"apt-get check": (100, "", UNMET)}))
    with pytest.raises(RefusalError, match="needs : Depends: nowhere"):
        installation.foresee(host, ["git"])
    host.asked = []
    installation.foresee(host, ["iptables"])
    assert not installation.foresee(host, ["git"]).unknown


def test_a_package_that_another_left_unfinished_is_told_and_left(places):
    host = Asked(dpkg=["install half-configured other 1", "install half-installed more ", "install installed x 1"])
    with pytest.raises(
        RefusalError, match=r"^the package other is half-configured \(and 1 more\), .* --configure other"
    ):
        installation.foresee(host, ["a"])
    assert host.ran == []
    for state in ("triggers-awaited", "triggers-pending", "config-files"):
        assert not installation.foresee(Asked(dpkg=[f"install {state} other 1"]), ["a"]).unknown
    # What we were at, or are asked for, is ours to finish.
    ours(places, pending=["other"])
    assert "broken off" in installation.foresee(host, ["more"]).unknown


def test_a_dpkg_that_was_stopped_by_others_is_told_and_one_that_is_at_work_is_not(places, monkeypatch):
    (places / "updates").mkdir()
    (places / "updates/0001").touch()
    with pytest.raises(RefusalError, match="dpkg was interrupted, not by provisioner; run 'dpkg --configure -a'"):
        installation.foresee(Asked(), ["a"])
    ours(places, pending=["a"])
    assert "broken off" in installation.foresee(Asked(), ["a"]).unknown
    ours(places)
    monkeypatch.setattr(installation, "waiting_for", lambda _: "apt (process 1)")
    assert "another program" in installation.foresee(Asked(), ["a"]).unknown


def test_a_system_on_which_dpkg_would_break_off_is_refused_unless_apt_itself_opens_it(monkeypatch):
    monkeypatch.setattr(installation, "PLACES", ("/usr", installation.SCRIPTS))
    flags = {"/usr": os.ST_NOEXEC, installation.SCRIPTS: os.ST_NOEXEC}
    monkeypatch.setattr(
        os, "statvfs", lambda path: SimpleNamespace(f_flag=flags.get(path, 0), f_bavail=9, f_frsize=9, f_files=0)
    )
    with pytest.raises(RefusalError, match=r"^/var/lib/dpkg is mounted noexec, .*; mount it otherwise .*remount,exec'"):
        installation.foresee(Asked(), ["a"])
    flags["/usr"] = os.ST_RDONLY
    with pytest.raises(RefusalError, match=r"^/usr is mounted read-only, so no package can be installed; mount it"):
        installation.foresee(Asked(), ["a"])
    hook = {"apt-config dump DPkg::Pre-Invoke": (0, 'DPkg::Pre-Invoke:: "mount -o remount,rw /usr";\n', "")}
    host = Asked(answers=hook)
    host.which = lambda command: f"/usr/bin/{command}"
    assert not installation.foresee(host, ["a"]).unknown


@pytest.mark.parametrize(
    ("free", "one_disk", "told"),
    [
        ((99, 300), False, "99 MB are free at {cache}, and what is fetched for a takes 100 MB; make room and run"),
        ((101, 261), False, "261 MB are free at /usr, and what is installed for a takes 262 MB"),
        ((361, 361), True, "361 MB are free at /, and what is installed for a takes 362 MB"),
        ((101, 263), False, ""),
    ],
)
def test_a_disk_without_room_is_told_before_anything_is_fetched(places, monkeypatch, free, one_disk, told):
    ours(places, "containerd.io", "kubelet")
    free = dict(zip((str(places), "/usr"), free, strict=True))
    room = lambda path: SimpleNamespace(f_flag=0, f_bavail=free.get(str(path), 0), f_frsize=10**6, f_files=0)  # noqa: E731
    monkeypatch.setattr(os, "statvfs", room)
    for module in (installation, files):
        monkeypatch.setattr(module, "mount", lambda path: "/" if one_disk else str(path))
    host = Asked(answers=simulated(CONFLICT))
    if told:
        with pytest.raises(RefusalError, match="^" + told.format(cache=places)):
            installation.foresee(host, ["a"])
    else:
        assert not installation.foresee(host, ["a"]).unknown


@pytest.mark.parametrize(
    ("said", "needed"),
    [
        ("After this operation, 262 MB of additional disk space will be used.", 262_000_000),
        ("  Space needed: 1,709 kB / 55.4 GB available", 1_709_000),
        ("After this operation, 12.5 kB disk space will be freed.", 0),
        ("After this operation, 64 B of additional disk space will be used.", 64),
        ("", 0),
    ],
)
def test_what_apt_says_that_it_takes(said, needed):
    assert installation.space_needed(said) == needed


def test_a_held_package_in_the_way_is_named():
    errors = " docker.io : Depends: containerd (>= 1.4~) but 1.0-1 is to be installed\nE: held broken packages."
    host = Asked(answers=simulated(code=100, errors=errors), dpkg=["hold installed containerd 1.0-1"])
    with pytest.raises(
        RefusalError, match=r"; let go of containerd, which is held \('apt-mark unhold containerd'\), and"
    ):
        installation.foresee(host, ["docker.io"])


def test_what_dnf_would_do(places):
    host = Asked("dnf", {"dnf --cacheonly --assumeno install": (1, DNF, "Operation aborted.")})
    host.packages = {"runc": "4:1.1.13", "selinux-policy": "38.1"}
    with pytest.raises(RefusalError, match="would remove podman-docker cockpit-podman, which"):
        installation.foresee(host, ["docker-ce"])
    ours(places, "podman-docker", "cockpit-podman", "runc")
    assert installation.foresee(host, ["docker-ce"]) == Outcome(
        {
            "docker-ce": ("", "3:28.0.1-1.el9"),
            "containerd.io": ("", "1.7.25-3.1.el9"),
            "selinux-policy": ("38.1", "38.1.45-3.el9_5"),
            "runc": ("4:1.1.13", "4:1.1.12-3.el9"),
        },
        ["podman-docker", "cockpit-podman"],
        ["runc"],
        [],
        "",
    )
    host.answers = {"dnf --cacheonly": (1, "", "Error: Unable to find a match: docker-ce")}
    assert "Unable to find" in installation.foresee(host, ["docker-ce"]).unknown
    host.answers = {"dnf --cacheonly": (1, "", "Error: package podman requires runc, but none can be installed")}
    with pytest.raises(RefusalError, match="podman requires runc"):
        installation.foresee(host, ["docker-ce"])


def test_a_host_without_a_package_manager_is_told():
    with pytest.raises(
        RefusalError, match="a b cannot be installed: debian12 has neither apt nor dnf; install them by"
    ):
        installation.foresee(Asked("pacman"), ["a", "b"])


@pytest.mark.parametrize("text", ["", "[]", "{", '{"installed": 1, "pending": []}', '{"installed": []}'])
def test_notes_that_are_damaged_claim_nothing(places, text):
    (places / "packages.json").write_text(text)
    assert installation.recorded() == {"installed": set(), "pending": set()}


# --- what is off about packages ---


def test_nothing_is_asked_where_nothing_is_missing():
    host = Asked(dpkg=["hold installed a 1", "install installed b 2", "deinstall config-files c 1"])
    assert packages.look(host, ["a", "b"]) == packages.look(host, ["a"], "1") == []
    assert packages.off(host, ["a", "b", "c"], "1") == ["b", "c"]
    assert [change["what"] for change in packages.holds(host, ["a", "b"])] == ["hold on b"]
    assert host.ran == []


def test_what_comes_is_told_with_its_version_and_what_comes_with_it(places, monkeypatch):
    monkeypatch.setattr(packages, "lists_are_new", lambda: False)
    monkeypatch.setattr(packages, "age_of_lists", lambda: "9 days old")
    ours(places, "containerd.io", "kubelet")
    host = Asked(answers=simulated(CONFLICT), dpkg=["install installed kubelet 1.30"])
    told = [tuple(change.values()) for change in packages.look(host, ["docker.io"])]
    assert told == [
        ("apt's package lists", "9 days old", "refreshed"),
        ("package docker.io", "absent", "20.10.24+dfsg1-1+b6"),
        ("package libc6", "2.36-9", "2.36-10"),
        ("package runc", "absent", "1.1.5+ds1-1"),
        ("package containerd.io", "present", "removed"),
        ("package kubelet", "1.30", "removed"),
    ]


def test_a_source_comes_only_where_the_host_has_neither_it_nor_the_packages(monkeypatch, tmp_path):
    signed = packages.signed
    repository = {
        "name": "r",
        "kind": "deb",
        "url": "http://x/r",
        "suites": "/",
        "fingerprints": ["A" * 40],
        "keyring": str(tmp_path / "r.gpg"),
        "source": str(tmp_path / "r.sources"),
    }
    monkeypatch.setattr(signed, "configured", lambda *_: "")
    there = Asked(answers=simulated("The following NEW packages will be installed:\n   a (1-1)\n"))
    absent = Asked(answers=simulated(code=100, errors="E: Unable to locate package a"))

    def whats(host, **more):
        return [change["what"] for change in packages.look(host, ["a"], "", {"debian": {**repository, **more}})]

    assert whats(there) == ["package a"]
    assert whats(absent) == ["signing key of r", "source list of r", "package a"]
    # The distribution has an older one of the same name.
    assert whats(there, shared_names=True) == ["signing key of r", "source list of r", "package a"]
    monkeypatch.setattr(signed, "configured", lambda *_: "/etc/apt/sources.list.d/site.list:1")
    assert whats(absent) == ["package a"]
    # One of ours is kept as it is wanted though nothing is missing.
    (tmp_path / "r.sources").touch()
    assert whats(Asked(dpkg=["install installed a 1"])) == ["signing key of r", "source list of r: content"]


# --- what apt says ---


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("Hit:1\nW: GPG error: x InRelease: NO_PUBKEY 1\nE: It is not signed.", "GPG error: x InRelease: NO_PUBKEY 1"),
        ("W: x\nE: Unable to locate package a", "Unable to locate package a"),
        (
            "E: held broken packages.\n a : Depends: b but it is not installable",
            "a : Depends: b but it is not installable",
        ),
        (
            "dpkg: error processing package x (--configure):\n installed x package post-installation script failed\n"
            "Errors were encountered while processing:\n x\nE: Sub-process /usr/bin/dpkg returned an error code (1)",
            "dpkg: error processing package x (--configure): installed x package post-installation script failed",
        ),
        ("Error: Failed to download metadata", "Error: Failed to download metadata"),
        ("something", "something"),
        ("", "no message"),
    ],
)
def test_the_line_that_says_what_is_wrong(said, line):
    assert apt.complaint(said) == line


@pytest.mark.parametrize(
    ("why", "remedy"),
    [
        ("You don't have enough free space in /var/cache/apt/archives/.", "make room on the host"),
        ("dpkg: error processing package x (--configure): it failed", "mend that package on the host .*configure x'"),
        ("Could not get lock /var/lib/dpkg/lock-frontend", "wait until that program is done"),
        ("Problem executing scripts DPkg::Pre-Invoke 'etckeeper pre-install'", "see on the host what that hook of apt"),
        ("404  Not Found", "mend the host's sources or network"),
    ],
)
def test_a_complaint_has_its_own_remedy(why, remedy):
    assert re.search(f"^{remedy}.* and run this again$", apt.remedy_of(why))


@pytest.mark.parametrize(
    ("kernel", "flavour"),
    [
        ("6.1.0-30-amd64", "amd64"),
        ("6.1.0-30-cloud-amd64", "cloud-amd64"),
        ("6.12.41+deb13-rt-amd64", "rt-amd64"),
        ("5.15.0-105-generic", "generic"),
    ],
)
@pytest.mark.parametrize("why", ["Unable to locate package {}", "Package '{}' has no installation candidate"])
def test_headers_that_are_no_longer_offered_have_a_remedy_of_their_own(kernel, flavour, why):
    remedy = apt.remedy_of(why.format(f"linux-headers-{kernel}"))
    assert f"'apt-get install linux-image-{flavour} linux-headers-{flavour}', restart" in remedy
    assert "mend the host's sources" in apt.remedy_of(why.format(f"linux-headers-{flavour}"))


def test_the_age_of_the_lists(monkeypatch, tmp_path):
    monkeypatch.setattr(apt, "LISTS", tmp_path)
    monkeypatch.setattr(apt, "REFRESHED", (tmp_path,))
    assert apt.age_of_lists() == "absent"
    (tmp_path / "mirror_dists_x_main_binary-amd64_Packages.lz4").touch()
    os.utime(tmp_path, (0, apt.time.time() - 5 * 3600))
    assert apt.age_of_lists() == "5 h old"
    os.utime(tmp_path, (0, apt.time.time() - 9 * 86400))
    assert apt.age_of_lists() == "9 days old"
