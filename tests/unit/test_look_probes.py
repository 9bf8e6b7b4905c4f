"""What the probes say of hosts that tests make up: trees in a temporary folder, and commands that answer as told."""

import hashlib
import json
import os
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import (
    devcontainer_cli,
    docker_engine,
    docker_processes,
    engine,
    local_sources,
    packages,
    signed_repository,
)
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.installation import Outcome


class Fake(Host):
    """A host of a distribution of the test's choice; what is installed and what commands say is told."""

    systemd = True

    def __init__(self, release="ID=debian\nVERSION_ID=12\n", packages=(), unit=None, answers=None):
        super().__init__()
        self.os_release = dict(line.split("=") for line in release.splitlines())
        self.packages = dict.fromkeys(packages, "1")
        self.shown, self.answers = unit or {}, answers or {}

    def unit(self, name):
        return self.shown

    def which(self, command):
        return f"/usr/bin/{command}" if command in self.answers else ""

    def run(self, *command):
        answer = self.answers.get(command[0].rpartition("/")[2])
        return (127, "", "") if answer is None else (0, answer, "")


@pytest.fixture(autouse=True)
def own_place(tmp_path, monkeypatch):
    """The tests' own machine has engines of its own: neither its socket nor its processes are looked at."""
    monkeypatch.setattr(engine, "SOCKET", str(tmp_path / "docker.sock"))
    monkeypatch.setattr(docker_processes, "PROC", tmp_path / "proc")
    (tmp_path / "proc").mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)


@pytest.fixture(autouse=True)
def lists(monkeypatch):
    """The host's lists of packages are of today and have nothing of what is missing; the repository is not there."""
    monkeypatch.setattr(packages, "foresee", lambda *_: Outcome({}, [], [], [], "Unable to locate package"))
    monkeypatch.setattr(packages, "lists_are_new", lambda: True)
    monkeypatch.setattr(signed_repository, "configured", lambda *_: "")


def engine_wanted(tmp_path, **changes):
    return {
        "oldest": "19.03",
        "source": "distribution",
        "packages": {"debian12": ["docker.io", "iptables"]},
        "repositories": {},
        "instead": "",
        "group": "docker",
        "users": [],
        "environment": {},
        "drop_in": str(tmp_path / "docker.service.d" / "provisioner.conf"),
        "drop_in_sha256": "",
        "environment_path": str(tmp_path / "docker.env"),
        "environment_sha256": "",
        "site_ca_path": "/etc/provisioner/site-ca.crt",
        "site_ca_sha256": "",
        "daemon_json": str(tmp_path / "daemon.json"),
        "pid_file": str(tmp_path / "pid"),
        "pid_files": {str(tmp_path / "docker.pid"): "dockerd"},
        **changes,
    }


def says(version, containers=()):
    """An engine that runs `containers`, in place of `engine._talk`."""
    return lambda path, seconds: (f"HTTP/1.0 200 OK\r\nServer: Docker/{version} (linux)", json.dumps(list(containers)))


@pytest.mark.parametrize(
    ("head", "version"),
    [
        ("HTTP/1.0 200 OK\r\nApi-Version: 1.45\r\nServer: Docker/26.1.5+dfsg1 (linux)", "26.1.5+dfsg1"),
        ("HTTP/1.0 200 OK\r\nServer: proxy", "27.1"),
        ("HTTP/1.0 200 OK\r\nServer: Libpod/4.3.1 (linux)", ""),
        ("", ""),
    ],
)
def test_an_engine_s_version_is_in_the_head_of_any_answer_or_it_is_asked_for_it(monkeypatch, head, version):
    monkeypatch.setattr(engine, "_talk", lambda path, seconds: (head, '{"Version": "27.1"}'))
    assert engine.Engine(Fake()).version == version


def test_a_host_without_an_engine_gets_its_distribution_s_packages(tmp_path):
    found = docker_engine.look(Fake(), engine_wanted(tmp_path))
    assert found["packages"] == ["docker.io", "iptables"] and found["run"] and not found["restart"]
    assert [change["to"] for change in found["changes"]] == ["newest", "newest", "answers"]


def test_a_distribution_without_a_known_engine_is_refused_only_where_one_is_missing(tmp_path, monkeypatch):
    host = Fake("ID=strange\nVERSION_ID=1\n")
    with pytest.raises(RefusalError, match="no engine is known for strange1; set docker_engine_source to docker"):
        docker_engine.look(host, engine_wanted(tmp_path))
    monkeypatch.setattr(engine, "_talk", says("27.1"))
    there = Fake("ID=strange\nVERSION_ID=1\n", answers={"docker": "", "dockerd": ""})
    assert docker_engine.look(there, engine_wanted(tmp_path))["changes"] == []


REPOSITORY = {
    "name": "docker",
    "kind": "deb",
    "url": "http://localhost",
    "suites": "/",
    "fingerprints": ["A" * 40],
}


def test_docker_s_repository_is_looked_at_where_something_comes_from_it(tmp_path, monkeypatch):
    files = {"keyring": str(tmp_path / "docker.gpg"), "source": str(tmp_path / "docker.sources")}
    wanted = engine_wanted(
        tmp_path, source="docker", packages={"debian": ["docker-ce"]}, repositories={"debian": {**REPOSITORY, **files}}
    )
    host = Fake("ID=ubuntu\nVERSION_ID=24.04\nID_LIKE=debian\n")
    found = docker_engine.look(host, wanted)
    assert found["install"] and found["packages"] == ["docker-ce"]
    assert {"signing key of docker", "source list of docker", "package docker-ce"} <= {
        c["what"] for c in found["changes"]
    }

    # An engine that is there is kept, whoever brought it, and so is the repository that it came from.
    monkeypatch.setattr(engine, "_talk", says("27.1"))
    for package in ("docker.io", "docker-ce"):
        there = Fake("ID=debian\nVERSION_ID=12\n", [package], answers={"docker": "", "dockerd": ""})
        found = docker_engine.look(there, wanted)
        assert (found["changes"], found["install"]) == ([], False)

    # What we have set up is kept as it is wanted.
    Path(files["source"]).touch()
    found = docker_engine.look(there, wanted)
    assert found["install"] and "signing key of docker" in {change["what"] for change in found["changes"]}


def test_a_source_that_is_not_known_is_refused(tmp_path):
    with pytest.raises(RefusalError, match="docker_engine_source is 'snap'; set it to distribution or docker"):
        docker_engine.look(Fake(), engine_wanted(tmp_path, source="snap", packages={}))


def test_its_users_are_in_its_group(tmp_path, monkeypatch):
    passwd = namedtuple("passwd", "pw_gid")
    monkeypatch.setattr(docker_engine.pwd, "getpwnam", {"in": passwd(1), "out": passwd(1)}.__getitem__)
    wanted = engine_wanted(tmp_path, users=["in", "out"])
    group = namedtuple("group", "gr_gid gr_mem")
    monkeypatch.setattr(docker_engine.grp, "getgrnam", {"docker": group(9, ["in"])}.__getitem__)
    assert docker_engine.look(Fake(), wanted)["users"] == ["out"]
    monkeypatch.setattr(docker_engine.grp, "getgrnam", {}.__getitem__)
    assert docker_engine.look(Fake(), wanted)["users"] == ["in", "out"]
    with pytest.raises(RefusalError, match="no user gone on the host; make it, or take it out of docker_engine_users"):
        docker_engine.look(Fake(), engine_wanted(tmp_path, users=["gone"]))


def test_a_broken_daemon_json_is_refused_before_anything_is_changed(tmp_path):
    (tmp_path / "daemon.json").write_text("{ broken")
    with pytest.raises(RefusalError, match=r"daemon.json is broken: line 1, column 3: .*; the file stays as it is"):
        docker_engine.look(Fake(), engine_wanted(tmp_path))


def test_settings_that_were_emptied_are_drift(tmp_path):
    """dockerd before 23.0 does not start with them."""
    (tmp_path / "daemon.json").write_text(" \n")
    found = docker_engine.look(Fake(), engine_wanted(tmp_path))
    assert found["hollow"] and found["settings"] and not found["variables"]
    assert (str(tmp_path / "daemon.json"), "{}") in [(c["what"], c["to"]) for c in found["changes"]]
    (tmp_path / "daemon.json").unlink()
    assert not docker_engine.look(Fake(), engine_wanted(tmp_path))["hollow"]


def test_an_engine_that_systemd_has_stopped_is_not_asked_since_its_socket_would_start_it(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "_talk", lambda path, seconds: pytest.fail("the engine was asked"))
    unit = {"LoadState": "loaded", "ActiveState": "inactive", "UnitFileState": "enabled"}
    units = {"docker.service": unit, "docker.socket": {"ActiveState": "active"}, "containerd.service": {}}
    monkeypatch.setattr(Fake, "unit", lambda self, name: units[name])
    host = Fake(packages=["docker.io", "iptables"], answers={"docker": "20", "dockerd": ""})
    found = docker_engine.look(host, engine_wanted(tmp_path))
    assert [change["from"] for change in found["changes"]] == ["does not answer"]


def test_a_pid_file_of_a_killed_engine_is_drift_and_that_of_one_that_is_starting_is_not(tmp_path, monkeypatch):
    """Its number has been given to another process: this one."""
    path = tmp_path / "docker.pid"
    path.write_text(str(os.getpid()))
    host = Fake(packages=["docker.io", "iptables"])
    found = docker_engine.look(host, engine_wanted(tmp_path))
    assert found["leftovers"] == [str(path)] and str(path) in {change["what"] for change in found["changes"]}

    own_name = Path("/proc/self/comm").read_text().strip()
    starting = engine_wanted(tmp_path, pid_files={str(path): own_name})
    assert docker_engine.look(host, starting)["leftovers"] == []

    monkeypatch.setattr(engine, "_talk", says("27.1"))
    there = Fake(packages=["docker.io", "iptables"], answers={"docker": "", "dockerd": ""})
    assert docker_engine.look(there, engine_wanted(tmp_path))["changes"] == []


@pytest.mark.parametrize(
    ("needs", "socket", "containerd", "off"),
    [
        ("docker.socket containerd.service", {"LoadState": "loaded"}, {"ActiveState": "active"}, []),
        ("docker.socket", {"LoadState": "masked"}, {"ActiveState": "inactive"}, ["docker.socket"]),
        ("containerd.service", {"LoadState": "masked"}, {"ActiveState": "failed"}, ["containerd.service"]),
        ("", {"LoadState": "masked"}, {"LoadState": "masked"}, []),
    ],
)
def test_what_an_engine_needs_of_systemd_is_looked_at_too(*, tmp_path, monkeypatch, needs, socket, containerd, off):
    """An engine goes on answering for a while without its containerd, and until the next start without its socket."""
    monkeypatch.setattr(engine, "_talk", says("27.1"))
    service = {"ActiveState": "active", "UnitFileState": "enabled", "MainPID": str(os.getpid()), "Requires": needs}
    units = {"docker.service": service, "docker.socket": socket, "containerd.service": containerd}
    monkeypatch.setattr(Fake, "unit", lambda self, name: units[name])
    host = Fake(packages=["docker.io", "iptables"], answers={"docker": "", "dockerd": ""})
    found = docker_engine.look(host, engine_wanted(tmp_path))
    assert found["companions"] == off and found["run"] == bool(off) and found["restart"] == ("docker.socket" in off)


def test_files_that_systemd_has_not_read_are_drift_and_so_is_a_drop_in_of_a_site_that_has_nothing(tmp_path):
    unit = {"LoadState": "loaded", "UnitFileState": "enabled", "NeedDaemonReload": "yes"}
    wanted = engine_wanted(tmp_path)
    drop_in = Path(wanted["drop_in"])
    drop_in.parent.mkdir()
    drop_in.touch()
    found = docker_engine.look(Fake(packages=["docker.io", "iptables"], unit=unit), wanted)
    assert found["settings"] and found["variables"] and found["run"]
    whats = {change["what"]: change["to"] for change in found["changes"]}
    assert whats == {str(drop_in): "absent", "docker.service: files": "read", "the Docker engine": "answers"}


@pytest.mark.parametrize(
    ("there", "known", "unread"), [(True, True, False), (True, False, True), (False, True, True), (False, False, False)]
)
def test_a_drop_in_that_systemd_does_not_know_is_unread_whatever_it_says_itself(tmp_path, there, known, unread):
    """It does not see one in a folder that is new, and says that nothing is to be read."""
    path = tmp_path / "provisioner.conf"
    if there:
        path.touch()
    unit = {"LoadState": "loaded", "NeedDaemonReload": "no", "DropInPaths": f"/x.conf {path if known else ''}"}
    assert docker_engine._is_unread(unit, str(path)) is unread


@pytest.mark.parametrize(
    ("right", "containers", "changes", "notes", "restart"),
    [(True, [], 0, 0, False), (False, [], 1, 0, True), (False, [{"Id": "1"}], 0, 1, False)],
)
def test_old_settings_are_mended_where_no_container_is_in_the_way(
    tmp_path, monkeypatch, *, right, containers, changes, notes, restart
):
    """The engine is this very process, whose environment has the value or not; only sums are compared."""
    value = Path("/proc/self/environ").read_bytes().split(b"\0")[0].decode().partition("=")
    content = "text"
    wanted = engine_wanted(
        tmp_path,
        environment={value[0]: hashlib.sha256((value[2] if right else "other").encode()).hexdigest()},
        drop_in_sha256=hashlib.sha256(content.encode()).hexdigest(),
    )
    monkeypatch.setattr(Host, "file_changes", lambda *arguments, **options: [])
    monkeypatch.setattr(engine, "_talk", says("27.1", containers))
    unit = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled", "MainPID": "self"}
    monkeypatch.setattr(docker_engine, "int", lambda text: text, raising=False)
    monkeypatch.setattr(docker_processes, "started_at", lambda pid: 0.0)
    host = Fake(packages=["docker.io", "iptables"], unit=unit, answers={"docker": "", "dockerd": ""})
    found = docker_engine.look(host, wanted)
    assert (len(found["changes"]), len(found["notes"]), found["restart"]) == (changes, notes, restart)


def repository(tmp_path):
    folder = tmp_path / "xformers.git"
    (folder / "objects" / "pack").mkdir(parents=True)
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    (folder / "packed-refs").write_text("# pack-refs\nabc refs/heads/main\n")
    (folder / "config").write_text("[core]\n\tbare = true\n[provisioner]\n\tinputs = abc123\n")
    for name in ("pack-1.pack", "pack-1.idx"):
        (folder / "objects" / "pack" / name).write_text("data")
    return folder


def test_a_repository_counts_only_whole(tmp_path):
    folder = repository(tmp_path)
    assert local_sources.repository_inputs(str(folder)) == "abc123"
    for name in ("objects/pack/pack-1.pack", "packed-refs", "HEAD", "config"):
        kept = (folder / name).read_text()
        (folder / name).unlink()
        assert local_sources.repository_inputs(str(folder)) == "", name
        (folder / name).write_text(kept)
    assert local_sources.repository_inputs(str(tmp_path / "none")) == ""


def test_an_image_cannot_be_made_on_a_distribution_that_is_not_known():
    wanted = {
        "image": "i",
        "image_inputs": {},
        "releases": {"debian12": {}},
        "image_from": "",
        "label": "l",
        "repository": "",
        "bundle": "",
    }
    with pytest.raises(RefusalError, match="no base image can be made on strange1; use Debian"):
        local_sources.look(Fake("ID=strange\nVERSION_ID=1\n"), wanted)


@pytest.fixture
def root_image(monkeypatch, tmp_path):
    """Look at a base image of a root file system: `look(LABEL, FROM)`, LABEL what the image there was made from."""

    def look(label, source):
        engine = SimpleNamespace(image_label=lambda *_: label)
        monkeypatch.setattr(local_sources.engines, "of", lambda _: engine)
        wanted = {"bundle": "", "image": "site/base:1", "image_from": str(source), "image_from_inputs": "abc"}
        wanted |= {"label": "l", "repository": "", "folder": str(tmp_path), "work": str(tmp_path / "work")}
        return local_sources.look(Fake(), wanted)

    return look


def test_a_base_image_of_a_root_file_system_is_made_once_for_its_inputs(root_image, tmp_path):
    found = root_image(None, tmp_path)
    assert found["image"] and found["image_inputs"] == "abc"
    assert found["changes"] == [{"what": "image site/base:1", "from": "absent", "to": f"made of {tmp_path}"}]
    assert root_image("other", tmp_path)["changes"][0]["from"] == "made from other inputs"
    assert root_image("abc", tmp_path)["changes"] == []


def test_a_root_file_system_that_is_not_there_is_refused(root_image, tmp_path):
    with pytest.raises(RefusalError, match=r"; mend local_sources_base_image_from$"):
        root_image(None, tmp_path / "none.tar")


def test_a_bundle_for_another_kind_of_machine_or_runtime_is_refused_before_it_is_brought():
    wanted = {"bundle": "/b.tar", "bundle_sha256": "a" * 64, "bundle_folder": "/nonexistent", "runtime": "native"}
    other = {"platform": "manylinux_2_28_riscv64", "files": {}}
    with pytest.raises(RefusalError, match="the bundle is for machines of kind riscv64, and this one is "):
        local_sources.look(Fake(), {**wanted, "bundle_manifest": other})
    own = {"platform": f"manylinux_2_28_{os.uname().machine}", "files": {"wheels/a.whl": ""}}
    with pytest.raises(RefusalError, match=r"no Dev Container CLI.*; make it with `provisioner bundle --runtime devco"):
        local_sources.look(Fake(), {**wanted, "bundle_manifest": own, "runtime": "devcontainer"})


def test_a_cli_is_current_only_with_its_node_its_files_and_its_command(tmp_path):
    tmp_path.chmod(0o755)  # pytest's own is closed to others
    package = tmp_path / "prefix" / devcontainer_cli.CLI
    (package / "dist" / "spec-node").mkdir(parents=True)
    for name in devcontainer_cli.CLI_FILES:
        (package / name).write_text("code")
    (package / "package.json").write_text('{"version": "0.89.0"}')
    command = tmp_path / "bin" / "devcontainer"
    command.parent.mkdir(mode=0o755)
    command.write_text("exec '/opt/node/bin/node' 'x'\n")
    command.chmod(0o755)
    link = tmp_path / "link"
    link.touch()
    wanted = {
        "version": "0.89.0",
        "node_minimum": 20,
        "node_folder": str(tmp_path / "node"),
        "venv_packages": {"debian": ["python3-venv"]},
        "folder": str(tmp_path),
        "node_packages": {},
        "node_repositories": {},
        "prefix": str(tmp_path / "prefix"),
        "path": str(command),
        "link": str(link),
        "command": "exec '@NODE@' 'x'\n",
        "refusal": "",
        "node_refusal": "",
    }

    def look(node="v20.1.0"):
        found = devcontainer_cli.look(Fake(answers={"node": node}), wanted)
        whats = [change["what"] for change in found["changes"] if not change["what"].endswith(": owner")]
        return whats, found

    assert look()[0] == []
    assert look("v18.19.0")[0] == ["Node for the Dev Container CLI"]
    (package / devcontainer_cli.CLI_FILES[1]).write_text("")
    assert look()[0] == ["the Dev Container CLI"] and look()[1]["install"]
    # What is not in a lock is refused where it is to be installed, and not where it is there.
    with pytest.raises(RefusalError, match="no lock"):
        wanted["refusal"] = "no lock"
        look()
    (package / devcontainer_cli.CLI_FILES[1]).write_text("code")
    assert look()[0] == []
    wanted.update(refusal="", node_refusal="no lock for Node")
    assert look()[0] == []
    with pytest.raises(RefusalError, match="no lock for Node"):
        look("v18.19.0")
    wanted["node_refusal"] = ""
    command.write_text("exec '/opt/node/bin/node' 'y'\n")
    whats, found = look()
    assert whats == [f"{command}: content"] and not found["install"]
    link.unlink()
    assert str(link) in look()[0]

    (package / "dist").chmod(0o700)
    whats, found = look()
    assert f"{package / 'dist'}: for other users" in whats and found["closed"] and not found["install"]
    (package / "dist").chmod(0o755)


def test_a_link_to_the_command_that_cannot_be_had_is_told_and_is_no_change(tmp_path):
    ours, link = tmp_path / "ours", tmp_path / "bin/devcontainer"
    wanted = {"path": str(ours), "link": str(link)}
    look = devcontainer_cli._look_at_link
    assert look(Fake(), wanted) == ([{"what": str(link), "from": "absent", "to": f"a link to {ours}"}], [])
    link.parent.write_text("a file where the folder is to be")
    changes, (note,) = look(Fake(), wanted)
    assert not changes and f"{link.parent} is a file" in note
    link.parent.unlink()
    link.parent.mkdir()
    link.symlink_to(ours)
    assert look(Fake(), wanted) == ([], [])
    link.unlink()
    link.symlink_to("/nonexistent")
    changes, (note,) = look(Fake(), wanted)
    assert not changes and f"{link} is the site's own and is kept" in note
    changes, (note,) = look(Fake(answers={"devcontainer": ""}), wanted)
    assert not changes and "/usr/bin/devcontainer is the site's own and is kept" in note


def test_a_command_that_is_a_link_to_the_site_s_is_refused_before_anything(tmp_path):
    theirs, path = tmp_path / "theirs", tmp_path / "bin/devcontainer"
    theirs.write_text("the site's")
    path.parent.mkdir()
    path.symlink_to(theirs)
    wanted = {
        **{"version": "1", "node_minimum": 20, "node_folder": "/nonexistent", "venv_packages": {}, "command": "ours"},
        **{"prefix": str(tmp_path), "folder": str(tmp_path), "path": str(path), "link": "/nonexistent/link"},
    }
    with pytest.raises(RefusalError, match=r"devcontainer is a link to .*theirs, which is not as it should be"):
        devcontainer_cli.look(Fake(), wanted)


def test_sources_that_no_lock_has_are_refused(tmp_path):
    wanted = {
        "bundle": "",
        "image": "",
        "image_from": "",
        "repository": str(tmp_path / "x.git"),
        "repository_inputs": "abc",
    }
    with pytest.raises(RefusalError, match="no lock"):
        local_sources.look(Fake(), {**wanted, "repository_refusal": "no lock", "folder": str(tmp_path)})


def test_sources_that_are_a_link_to_the_site_s_are_not_replaced(tmp_path):
    path = tmp_path / "xformers.git"
    path.symlink_to(tmp_path.parent)
    wanted = {
        "bundle": "",
        "image": "",
        "image_from": "",
        "repository": str(path),
        "repository_inputs": "abc",
        "folder": str(tmp_path),
    }
    with pytest.raises(RefusalError, match=r"is a link to .*, which is not as it should be"):
        local_sources.look(Fake(), wanted)


def test_a_group_that_no_package_will_make_is_refused():
    wanted = {"group": "no-such-group", "users": ["games"]}
    with pytest.raises(RefusalError, match=r"^there is no group no-such-group on the host; make it "):
        docker_engine._to_join(wanted, [])
    assert docker_engine._to_join(wanted, [{"what": "package docker.io"}]) == ["games"]
    assert docker_engine._to_join({**wanted, "users": []}, []) == []


def test_a_pid_file_that_is_no_file_is_not_taken_for_a_killed_engine_s(tmp_path):
    os.mkfifo(tmp_path / "docker.pid")
    with pytest.raises(RefusalError, match=r"docker.pid is a device, a pipe or a socket, and a file must be there"):
        docker_engine._leftovers({f"{tmp_path}/docker.pid": "dockerd"})
    assert docker_engine._pid_in(f"{tmp_path}/docker.pid", "dockerd") == 0
