"""What the probe says of Docker engines that do not answer, by processes and sockets of the test's own."""

import contextlib
import hashlib
import json
import socket

import pytest

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import docker_engine, packages
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import docker_processes as processes
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import engine as engines
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.installation import Outcome

ID = "ab" * 32
SERVICE = "0::/system.slice/docker.service"
LISTENS = "/run/docker.sock (Stream)"


class Fake(Host):
    """A host with systemd whose units, packages and programs are told."""

    systemd = True

    def __init__(self, units=None, packages=("docker.io",), programs=("docker", "dockerd"), answers=None):
        super().__init__()
        self.os_release = {"ID": "debian", "VERSION_ID": "12"}
        self.packages = dict.fromkeys(packages, "1")
        self.told, self.programs, self.answers = units or {}, programs, answers or {}

    def units(self, *names):
        pass

    def unit(self, name):
        return self.told.get(name, {})

    def which(self, command):
        return f"/usr/bin/{command}" if command in self.programs else ""

    def run(self, *command):
        words = " ".join(command)
        return next((answer for part, answer in self.answers.items() if part in words), (127, "", ""))


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A /proc and a socket of the test's own."""
    monkeypatch.setattr(processes, "PROC", tmp_path / "proc")
    monkeypatch.setattr(packages, "foresee", lambda *_: Outcome({}, [], [], [], "Unable to locate package"))
    monkeypatch.setattr(packages, "lists_are_new", lambda: True)
    monkeypatch.setattr(engines, "SOCKET", str(tmp_path / "docker.sock"))
    monkeypatch.setattr(docker_engine.refusals, "SOCKET", str(tmp_path / "docker.sock"))
    monkeypatch.setattr(engines, "PING_SECONDS", 0.05)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.setattr(processes, "_user", lambda pid: "site" if int(pid) >= 1000 else "root")
    (tmp_path / "proc").mkdir()


@pytest.fixture
def process(tmp_path):
    """Have a process: process(pid, "name", "word word", cgroup, numbers in its namespaces)."""

    def make(pid, name, words="", cgroup="0::/init.scope", numbers=""):
        folder = tmp_path / f"proc/{pid}"
        folder.mkdir()
        (folder / "comm").write_text(f"{name[:15]}\n")
        (folder / "cmdline").write_text("".join(f"{word}\0" for word in words.split()))
        (folder / "cgroup").write_text(f"{cgroup}\n")
        (folder / "status").write_text(f"Name:\t{name}\nNSpid:\t{numbers or pid}\n")

    return make


@pytest.fixture
def look(tmp_path):
    def run(host=None, settings=None):
        if settings is not None:
            (tmp_path / "daemon.json").write_text(json.dumps(settings))
        wanted = {
            "oldest": "19.03",
            "source": "distribution",
            "packages": {"debian12": ["docker.io"]},
            "repositories": {},
            "instead": "remove it by hand",
            "group": "docker",
            "users": [],
            "environment": {},
            "drop_in": str(tmp_path / "provisioner.conf"),
            "drop_in_sha256": "",
            "environment_path": str(tmp_path / "docker.env"),
            "environment_sha256": "",
            "site_ca_path": "",
            "site_ca_sha256": "",
            "daemon_json": str(tmp_path / "daemon.json"),
            "pid_file": str(tmp_path / "pid"),
            "pid_files": {},
        }
        return docker_engine.look(host or Fake(), wanted)

    return run


def units(state="active", pid="5", **more):
    service = {"LoadState": "loaded", "ActiveState": state, "MainPID": pid, "UnitFileState": "enabled"}
    service |= {
        "Requires": "docker.socket",
        "ExecStart": "{ path=/usr/sbin/dockerd ; argv[]=/usr/sbin/dockerd -H fd:// ; }",
    }
    return {"docker.service": service | more, "docker.socket": {"ActiveState": "active", "Listen": LISTENS}}


def shim(process, pid=9, namespace="moby", **more):
    process(pid, "containerd-shim-runc-v2", f"/usr/bin/containerd-shim-runc-v2 -namespace {namespace} -id {ID}", **more)


# --- containers, as the kernel shows them ---


@pytest.mark.parametrize(
    ("name", "words", "cgroup", "numbers", "counts"),
    [
        ("containerd-shim-runc-v2", f"/usr/bin/containerd-shim-runc-v2 -namespace moby -id {ID}", "", "", True),
        (
            "containerd-shim-kata-v2",
            f"containerd-shim-kata-v2 -namespace moby -id {ID} -x y",
            "",
            "",
            True,
        ),
        ("containerd-shim", f"containerd-shim -namespace moby -workdir /var/lib/x/moby/{ID} -address y", "", "", True),
        ("docker-containerd-shim", f"docker-containerd-shim -namespace moby -workdir /x/{ID}", "", "", True),
        ("sleep", "sleep 1", f"0::/system.slice/docker-{ID}.scope", "9 1", True),
        ("sleep", "sleep 1", f"9:name=systemd:/docker/{ID}\n8:pids:/docker/{ID}", "9 1", True),
        ("cc1plus", "cc1plus", "0::/system.slice/docker/buildkit/nvqzrk0qg8wxjp2dmn4ixpzxa", "9 1", True),
        # Those of others: Kubernetes', Podman's, a rootless engine's, and of an engine inside of a container.
        ("containerd-shim-runc-v2", f"containerd-shim-runc-v2 -namespace k8s.io -id {ID}", "", "", False),
        ("sleep", "sleep 1", f"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope", "9 1", False),
        ("conmon", "conmon", f"0::/machine.slice/libpod-conmon-{ID}.scope", "", False),
        ("sleep", "sleep 1", f"0::/user.slice/user-1000.slice/user@1000.service/docker-{ID}.scope", "9 1", False),
        ("containerd-shim-runc-v2", f"containerd-shim-runc-v2 -namespace moby -id {ID}", "", "9 4", False),
        ("dockerd", "dockerd", SERVICE, "", False),
    ],
)
def test_containers_that_run_under_the_engine(*, process, name, words, cgroup, numbers, counts):
    process(9, name, words, cgroup or "0::/", numbers)
    assert bool(processes.containers()) == counts


def test_what_a_host_that_is_a_container_has_around_it_is_not_counted(process):
    process(1, "systemd", cgroup=f"0::/docker/{ID}/init.scope")
    process(9, "sleep", cgroup=f"0::/docker/{ID}/system.slice")
    assert processes.containers() == []
    process(10, "sleep", cgroup=f"0::/docker/{ID}/docker/{'cd' * 32}")
    assert processes.containers() == ["cd" * 32]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("dockerd -H a --host b", ["a", "b"]),
        ("dockerd --host=a -H=b -Hc", ["a", "b", "c"]),
        ("dockerd --hostess x -D", []),
    ],
)
def test_options_as_go_programs_take_them(words, found):
    assert sorted(processes.option(words.split(), "-H", "--host")) == found


# --- what is refused ---

TCP, OTHER = "-H tcp://127.0.0.1:2375", "-H unix:///run/site/docker.sock"


@pytest.mark.parametrize(
    ("words", "settings", "said"),
    [
        (f"dockerd {TCP}", {}, "listens on tcp://127.0.0.1:2375, not on .*context create site --docker host=tcp://127"),
        (f"dockerd {OTHER} {TCP}", {}, "listens on unix:///run/site/docker.sock and tcp://127.0.0.1:2375, not on"),
        ("dockerd", {"hosts": ["tcp://0.0.0.0:2375"]}, "listens on tcp://0.0.0.0:2375, not on"),
        ("dockerd --config-file /site.json", {"hosts": ["tcp://0.0.0.0:2375"]}, "not restarted under its 1 running"),
        ("dockerd", {}, "does not answer on .*, and is not restarted under its 1 running container; restart it when"),
        ("dockerd -H unix://", {}, "not restarted under its 1 running container"),
    ],
)
def test_an_engine_with_containers_is_never_touched(*, process, look, monkeypatch, words, settings, said):
    monkeypatch.setattr(engines, "SOCKET", "/var/run/docker.sock-of-a-test")
    monkeypatch.setattr(docker_engine.refusals, "SOCKET", "/var/run/docker.sock-of-a-test")
    monkeypatch.setattr(processes, "DEFAULT_ADDRESS", "unix:///var/run/docker.sock-of-a-test")
    process(5, "dockerd", words, SERVICE)
    shim(process)
    with pytest.raises(RefusalError, match=said) as refused:
        look(Fake(units()), settings)
    assert str(refused.value).endswith("and run this again") and "\n" not in str(refused.value)


def test_an_engine_elsewhere_is_not_touched_without_containers_either(process, look):
    process(5, "dockerd", f"dockerd {TCP}", SERVICE)
    with pytest.raises(RefusalError, match="listens on tcp"):
        look(Fake(units()))


def test_a_silent_engine_without_containers_is_restarted_with_its_socket(process, look, place, monkeypatch):
    monkeypatch.setattr(processes, "same_socket", lambda address, path: address == "unix:///run/docker.sock")
    process(5, "dockerd", "dockerd -H fd://", SERVICE)
    found = look(Fake(units()))
    assert (found["restart"], found["companions"], found["run"]) == (True, ["docker.socket"], True)
    assert [(one["what"], one["to"]) for one in found["changes"]] == [
        ("the Docker engine", "restarted, with its socket")
    ]


def test_an_engine_that_is_starting_is_waited_for(process, look):
    process(5, "dockerd", "dockerd -H fd://", SERVICE)
    shim(process)
    found = look(Fake(units("activating")))
    assert (found["restart"], found["changes"][0]["from"]) == (False, "starts")


@pytest.mark.parametrize("live", [True, False])
def test_containers_that_outlived_their_engine(*, process, look, live):
    shim(process)
    host = Fake(units("failed", pid="0"))
    if live:
        assert not look(host, {"live-restore": True})["restart"]
    else:
        with pytest.raises(RefusalError, match="the Docker engine is gone, and a start of it would stop its 1 running"):
            look(host, {})


def test_a_rootless_engine_is_told_as_such(process, look):
    process(1000, "dockerd", "dockerd -H unix:///run/user/1000/docker.sock")
    with pytest.raises(RefusalError, match=r"rootless, user site's, .* \('systemctl enable --now docker.service'\)"):
        look(Fake(units("inactive", pid="0")))


def test_an_engine_of_another_service_is_not_touched(process, look, monkeypatch):
    monkeypatch.setattr(processes, "same_socket", lambda address, path: True)
    process(7, "dockerd", "dockerd", "0::/system.slice/site-engine.service")
    with pytest.raises(RefusalError, match=r"dockerd \(process 7\) does not answer .* and is not docker.service's"):
        look(Fake())


def test_an_engine_inside_of_a_container_is_none_of_the_host_s(process, look):
    process(7, "dockerd", f"dockerd {TCP}", numbers="7 1")
    assert look(Fake(programs=()))["packages"] == []


def test_podman_in_docker_s_place(look, monkeypatch):
    head = "HTTP/1.0 200 OK\r\nServer: Libpod/4.3.1 (linux)"
    monkeypatch.setattr(engines, "_talk", lambda path, seconds: (head, "OK"))
    with pytest.raises(RefusalError, match=r"Podman 4.3.1 answers on"):
        look()
    monkeypatch.setattr(engines, "_talk", lambda path, seconds: ("", ""))
    with pytest.raises(RefusalError, match="the docker command is Podman's"):
        look(Fake(packages=["podman-docker"]))


def test_a_folder_in_the_socket_s_place(look, tmp_path):
    (tmp_path / "docker.sock").mkdir()
    with pytest.raises(RefusalError, match=r"docker.sock is a folder, .*'rmdir .*'"):
        look()


@pytest.mark.parametrize(
    ("units_of_it", "hosts", "said"),
    [
        (units("inactive", pid="0"), ["unix:///var/run/docker.sock"], "hosts is set in .* and by -H in docker.service"),
        ({}, ["unix:///var/run/docker.sock"], "hosts is set in"),
        (
            units("inactive", pid="0", ExecStart="dockerd"),
            ["tcp://0.0.0.0:1"],
            "listen on tcp://0.0.0.0:1 only; add",
        ),
    ],
)
def test_an_engine_that_would_not_start_is_refused_before(look, units_of_it, hosts, said):
    with pytest.raises(RefusalError, match=said):
        look(Fake(units_of_it), {"hosts": hosts})


def test_settings_that_dockerd_refuses_are_told_before_a_start(look):
    refuses = {"--validate": (1, "", "unable to configure: no such directive: x\n")}
    with pytest.raises(RefusalError, match=r"is broken: unable to configure: no such directive: x; the file"):
        look(Fake(units("inactive", pid="0"), answers=refuses), {"x": 1})


# --- an engine that answers ---


def answers(version, containers="[]"):
    head = f"HTTP/1.0 200 OK\r\nServer: Docker/{version} (linux)"
    return lambda path, seconds: (head, containers)


def test_an_engine_counts_without_a_client_and_that_is_told(look, monkeypatch):
    monkeypatch.setattr(engines, "_talk", answers("27.1"))
    with pytest.raises(RefusalError, match=r"Docker 27.1 answers on .*, and no docker client is on root's PATH"):
        look(Fake(programs=["dockerd"]))
    assert look(Fake(packages=["docker.io"], programs=["docker"]))["answers"]


def test_an_engine_that_is_too_old(look, monkeypatch):
    monkeypatch.setattr(engines, "_talk", answers("18.09.1"))
    with pytest.raises(RefusalError, match=r"Docker 18.09.1 is too old: 19.03 is the first"):
        look()


def test_an_engine_that_only_says_that_it_lives_is_silent(process, look, monkeypatch):
    def stuck(path, seconds):
        return answers("27.1")(path, seconds) if path == "/_ping" else ("", "")

    monkeypatch.setattr(engines, "_talk", stuck)
    monkeypatch.setattr(processes, "same_socket", lambda address, path: True)
    process(5, "dockerd", "dockerd", SERVICE)
    shim(process)
    with pytest.raises(RefusalError, match="not restarted under its 1 running container"):
        look(Fake(units()))


def test_an_engine_that_root_s_client_is_told_of(look, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2375")
    host = Fake(answers={"{{.Server.Version}}": (0, "27.1\n", ""), "{{.Names}}": (0, "one two\n", "")})
    found = look(host)
    assert (found["version"], found["containers"], found["elsewhere"]) == ("27.1", 2, "tcp://127.0.0.1:2375")
    with pytest.raises(RefusalError, match=r"client asks at tcp://127.0.0.1:2375, and no engine answers there"):
        look(Fake())


@pytest.mark.parametrize("address", ["tcp://192.0.2.1:2375", "ssh://build"])
def test_an_engine_of_another_machine_is_no_host_s(look, monkeypatch, address):
    monkeypatch.setenv("DOCKER_HOST", address)
    host = Fake(answers={"{{.Server.Version}}": (0, "27.1\n", ""), "{{.Names}}": (0, "", "")})
    with pytest.raises(RefusalError, match=f"client asks at {address}, another machine"):
        look(host)


def test_a_swarm_is_not_disturbed(look, monkeypatch):
    monkeypatch.setattr(docker_engine, "_is_stale", lambda *_: True)
    info = json.dumps({"ServerVersion": "27.1", "Swarm": {"LocalNodeState": "active"}})
    monkeypatch.setattr(engines, "_talk", lambda path, s: answers("27.1", info if path == "/info" else "[]")(path, s))
    found = look(Fake(units(pid="5")))
    assert (found["restart"], found["run"]) == (False, False)
    assert "not restarted under a Docker Swarm that it is a node of" in found["notes"][0]


def test_a_build_is_not_disturbed(process, look, monkeypatch):
    monkeypatch.setattr(docker_engine, "_is_stale", lambda *_: True)
    monkeypatch.setattr(engines, "_talk", answers("27.1"))
    process(9, "cc1plus", cgroup="0::/system.slice/docker-nvqzrk0qg8wxjp2dmn4ixpzxa.scope")
    found = look(Fake(units(pid="5")))
    assert not found["restart"] and "not restarted under a build that it runs" in found["notes"][0]


def test_a_socket_that_accepts_and_never_answers_is_asked_once(look, tmp_path):
    asked = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(tmp_path / "docker.sock"))
        server.listen()
        assert not look(Fake(programs=["docker", "dockerd"]))["answers"]
        server.setblocking(False)
        with contextlib.suppress(BlockingIOError):  # nobody else asked
            while True:
                asked.append(server.accept()[0])
    assert len(asked) == 1
    asked[0].close()


@pytest.mark.parametrize("programs", [("docker",), ()], ids=["client", "none-yet"])
def test_an_engine_elsewhere_by_a_context_is_known_before_there_is_a_client(tmp_path, programs):
    def elsewhere():
        return engines.Engine(Fake(programs=programs)).elsewhere

    kept = tmp_path / "contexts/meta" / hashlib.sha256(b"build").hexdigest() / "meta.json"
    kept.parent.mkdir(parents=True)
    kept.write_text('{"Name": "build", "Endpoints": {"docker": {"Host": "tcp://192.0.2.1:2375"}}}')
    assert elsewhere() == ""
    (tmp_path / "config.json").write_text('{"currentContext": "build"}')
    assert elsewhere() == "tcp://192.0.2.1:2375"
    for wrong in ('{"Endpoints": []}', "no JSON", "[]"):
        kept.write_text(wrong)
        assert elsewhere() == ""
    (tmp_path / "config.json").write_text('{"currentContext": ["build"]}')
    assert elsewhere() == ""


@pytest.mark.parametrize(
    ("info", "settings", "folders"),
    [
        ({"DockerRootDir": "/srv/docker"}, '{"data-root": "/not/in/force"}', ["/srv/docker"]),
        (
            {"DockerRootDir": "/srv/docker", "DriverStatus": [["driver-type", engines.CONTAINERD_STORE]]},
            "{}",
            ["/srv/docker", "/var/lib/containerd"],
        ),
        ({}, '{"data-root": "/srv/new"}', ["/srv/new"]),
        ({}, "no JSON", ["/var/lib/docker"]),
        ({}, "[]", ["/var/lib/docker"]),
    ],
    ids=["as-it-says", "store-of-containerd", "not-started-yet", "broken-settings", "wrong-settings"],
)
def test_where_an_engine_keeps_its_images(tmp_path, monkeypatch, info, settings, folders):
    (tmp_path / "daemon.json").write_text(settings)
    monkeypatch.setattr(engines, "SETTINGS", tmp_path / "daemon.json")
    engine = engines.Engine(Fake())
    monkeypatch.setattr(engines.Engine, "info", info)
    assert [str(path) for path in engine.folders] == folders
    monkeypatch.setattr(engines.Engine, "elsewhere", "tcp://192.0.2.1:2375")
    assert engines.Engine(Fake()).folders == [], "there is no room of this host's to ask for"
