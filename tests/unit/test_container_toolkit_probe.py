"""The container toolkit's probe, and what it shares: daemon.json, keys, repositories, packages."""

import importlib
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer

import pytest

ROOT = Path(__file__).parents[2]


def of(name):
    return importlib.import_module(f"ansible_collections.provisioner.gpu_hosts.plugins.module_utils.{name}")


# --- daemon.json ---

NVIDIA = {"nvidia": {"args": [], "path": "nvidia-container-runtime"}}


def merge(text, features=None, present=()):
    daemon = of("docker_daemon")
    values = daemon.parse(text.encode()).values
    return daemon.merged(values, NVIDIA, features or {}, lambda path: path if path in present else "")


@pytest.mark.parametrize("text", ["", " \n", "{}", "null", '{"runtimes": {}}', '{"runtimes": null}'])
def test_an_empty_daemon_json_gets_the_runtime(text):
    assert merge(text) == {"runtimes": NVIDIA}


def test_what_a_site_has_stays():
    site = {
        "log-opts": {"max-size": "10m"},
        "runtimes": {"mine": {"path": "/x"}},
        "dns": ["10.0.0.1"],
        "default-runtime": "mine",
        "big": 123456789012345678901234567890,
        "none": None,
    }
    found = merge(json.dumps(site), {"cdi": True})
    assert found == {**site, "runtimes": {**site["runtimes"], **NVIDIA}, "features": {"cdi": True}}
    assert [*found][:6] == [*site]


def test_a_shim_of_containerd_s_under_the_same_name_stays():
    own = {"runtimes": {"nvidia": {"runtimeType": "io.containerd.nvidia.v1"}}}
    assert merge(json.dumps(own)) == own


def test_a_site_s_own_choices_of_the_same_names_stay():
    own = {
        "runtimes": {"nvidia": {"path": "/usr/local/nvidia/runtime", "runtimeArgs": ["--x"]}},
        "features": {"cdi": False},
    }
    assert merge(json.dumps(own), {"cdi": True}, present=["/usr/local/nvidia/runtime"]) == own
    gone = merge(json.dumps(own))["runtimes"]["nvidia"]
    assert gone == {"path": "nvidia-container-runtime", "runtimeArgs": ["--x"], "args": []}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"a": 1, 2}', "line 1, column 10"),
        (b"{", "line 1"),
        (b"[]", "JSON object"),
        (b"7", "JSON object"),
        (b'{"runtimes": []}', "runtimes is not"),
        (b'{"features": 0}', "features is not"),
        (b'{"a": NaN}', "NaN"),
        (b"[" * 100000, "recursion"),
    ],
)
def test_a_broken_daemon_json(data, said):
    daemon = of("docker_daemon")
    with pytest.raises(daemon.BrokenSettingsError, match=said):
        daemon.parse(data)


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize(
    ("data", "values", "read_by", "loss"),
    [
        (b'{"debug": null, "features": null}', {"debug": None, "features": None}, "both", ""),
        (b'{"a": 1, "a": 2}', {"a": 2}, "both", "a is in it twice"),
        (b'{"runtimes": {"a": 1}, "runtimes": {"b": 2}}', {"runtimes": {"a": 1, "b": 2}}, "both", "runtimes is in it"),
        (b'{"a": "\xff"}', {"a": "\ufffd"}, "old", "it is not UTF-8"),
        (b"{} x", {}, "old", "there is more after its end"),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}, "new", ""),
        ('\ufeff{"a": "\xfc"}'.encode("utf-16-le"), {"a": "\xfc"}, "new", ""),
        ('\ufeff{"a": "\xfc"}'.encode("utf-16-be"), {"a": "\xfc"}, "new", ""),
    ],
)  # fmt: skip
def test_it_is_read_as_the_host_s_dockerd_reads_it(*, tmp_path, host, old, data, values, read_by, loss):
    """What each of them says of such a file was seen of Debian 12's 20.10 and Debian 13's 26.1."""
    path = tmp_path / "daemon.json"
    path.write_bytes(data)
    daemon = of("docker_daemon")
    newer = (0, "configuration OK", "") if read_by != "old" else (1, "", "unable to configure: invalid\n")
    host.run = lambda *words: (125, "", "unknown flag: --validate") if old else newer
    host.which = lambda _: "/usr/sbin/dockerd"
    if read_by in ("both", "old" if old else "new"):
        found = daemon.settings(host, str(path))
        assert found.values == values and found.loss.startswith(loss) and bool(found.loss) == bool(loss)
    else:
        with pytest.raises(of("host").RefusalError, match=f"{path} is broken: .* the file stays as it is"):
            daemon.settings(host, str(path))


def test_a_daemon_json_that_is_a_pipe_or_a_device_is_refused_and_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    host = of("host").Host()
    for path in (tmp_path / "pipe", "/dev/zero"):
        assert (host.read(path), host.sha256(path)) == ("", "")
        with pytest.raises(of("host").RefusalError, match="is a device, a pipe or a socket, and a file must be there"):
            of("docker_daemon").settings(host, str(path))


@pytest.mark.parametrize(
    "text", ["", '{"a": 1}', '{\n  "a": 1\n}', '{\n\t"a": 1}', '{\r\n "a": 1\r\n}\r\n', '{"a": "\\ud800"}']
)
@pytest.mark.parametrize(("mark", "codec"), [(b"", "utf-8"), (b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le")])
def test_it_is_written_as_it_was(text, mark, codec):
    daemon = of("docker_daemon")
    found = daemon.parse(mark + text.encode(codec))
    data = daemon.rendered({**found.values, "tag": "ü"}, found)
    again = daemon.parse(data)
    assert (again.values, again.mark, again.codec) == ({**found.values, "tag": "ü"}, mark, codec)
    indent = {"{\n  ": "  ", "{\n\t": "\t", "{\r\n ": " "}.get(re.match(r"[{\s]*", text)[0], "    ")
    assert re.search(rf'^{indent}"tag": ', again.text, re.MULTILINE)
    assert again.text.count("\n") - again.text.count("\r\n") == 0 or "\r\n" not in text


# --- keys ---


def repository(key, folder, **changes):
    return {
        "name": "r",
        "kind": "deb",
        "url": "http://mirror/r",
        "suites": "{codename}",
        "components": "main",
        "key_url": "http://mirror/key",
        "fingerprints": [key[0]],
        "keyring": str(folder / "r.gpg"),
        "source": str(folder / "r.sources"),
        **changes,
    }


def test_a_key_is_read_as_gpg_reads_it(key, tmp_path):
    openpgp, repositories = of("openpgp"), of("signed_repository")
    fingerprint, text, packets = key
    assert openpgp.dearmored(text) == openpgp.dearmored(packets) == packets
    assert openpgp.dearmored(text.replace(b"\n", b"\r\n")) == packets
    assert openpgp.fingerprints(packets) == [fingerprint]
    assert repositories.pinned(text, repository(key, tmp_path)) == packets
    assert repositories.pinned(
        text, repository(key, tmp_path, fingerprints=[f"{fingerprint[:20]} {fingerprint[20:].lower()}"])
    )
    # What is written for rpm is what gpg itself would write, but for the lengths of lines.
    assert "".join(repositories.key_file(packets, "rpm").decode().split()) == "".join(text.decode().split())


def test_another_key_is_refused_also_beside_the_pinned_one(key, tmp_path):
    repositories = of("signed_repository")
    other = bytearray(key[2])
    other[12] ^= 1
    for data in (bytes(other), key[2] + bytes(other)):
        with pytest.raises(ValueError, match=f"it has the fingerprint [0-9A-F]{{40}}, not {key[0]}"):
            repositories.pinned(data, repository(key, tmp_path))


@pytest.mark.parametrize("data", [b"", b"<html>404</html>", b"\x99", b"\xff\xff\x00", b"\xb4\x04test"])
def test_what_is_no_key(data, key, tmp_path):
    with pytest.raises(ValueError, match=r"it is|there is no"):
        of("signed_repository").pinned(data, repository(key, tmp_path))


@pytest.mark.parametrize("cut", [1, 5, 100])
def test_a_key_that_is_cut_off(key, tmp_path, cut):
    with pytest.raises(ValueError, match="cut off"):
        of("signed_repository").pinned(key[2][:-cut], repository(key, tmp_path))


# --- repositories ---


@pytest.fixture
def host():
    made = of("host").Host()
    made.os_release = {"ID": "debian", "VERSION_ID": "12", "VERSION_CODENAME": "bookworm"}
    made._dpkg = []
    return made


def test_source_lists(key, tmp_path):
    text = of("signed_repository").source_text
    flat = repository(key, tmp_path, suites="/", components="", url="http://mirror/$(ARCH)")
    assert text(flat, "bookworm").splitlines()[1:] == [
        "Types: deb",
        "URIs: http://mirror/$(ARCH)",
        "Suites: /",
        f"Signed-By: {tmp_path}/r.gpg",
    ]
    assert "Suites: bookworm\nComponents: main\n" in text(repository(key, tmp_path), "bookworm")
    rpm = text(repository(key, tmp_path, kind="rpm", gpgcheck=False, repo_gpgcheck=True), "")
    assert "[r]\n" in rpm and "gpgcheck=0\nrepo_gpgcheck=1\n" in rpm and f"gpgkey=file://{tmp_path}/r.gpg" in rpm


@pytest.mark.skipif(os.geteuid() != 0, reason="the files must be root's")
def test_a_repository_is_looked_at(key, tmp_path, host):
    repositories = of("signed_repository")
    wanted = repository(key, tmp_path)
    seen = lambda: [one["what"] for one in repositories.look(host, wanted)]  # noqa: E731
    assert seen() == ["signing key of r", "source list of r"]
    (tmp_path / "r.gpg").write_bytes(key[2])
    (tmp_path / "r.sources").write_text(repositories.source_text(wanted, "bookworm"))
    assert seen() == []
    (tmp_path / "r.gpg").write_bytes(key[2][:-1])
    (tmp_path / "r.sources").chmod(0o600)
    assert seen() == ["signing key of r", "source list of r: mode"]


# --- the probe ---

INFO = {
    "ServerVersion": "26.1.5+dfsg1",
    "Runtimes": {"runc": {"path": "runc"}, "nvidia": {"path": "nvidia-container-runtime"}},
    "CDISpecDirs": ["/etc/cdi"],
    "Swarm": {"LocalNodeState": "inactive"},
}
WORKER = {"Names": ["/worker"]}
NAMES = ["nvidia-container-toolkit", "libnvidia-container1"]


@pytest.fixture
def engine(tmp_path):
    """An engine that answers on a socket; its answers can be changed."""
    answers = {"/info": dict(INFO), "/containers/json": [], "/_ping": "OK"}

    class Answer(BaseHTTPRequestHandler):
        def version_string(self):
            return f"Docker/{answers['/info']['ServerVersion']} (linux)"

        def do_GET(self):
            self.send_response(200 if self.path in answers else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answers.get(self.path, {})).encode())

        def address_string(self):
            return "test"

        def log_message(self, *_):
            pass

    made = UnixStreamServer(str(tmp_path / "socket"), Answer)
    threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
    yield answers
    made.shutdown()
    made.server_close()


@pytest.fixture
def hook():
    """Whether the engine has seen the toolkit's hook when it started."""
    return {"seen": True}


@pytest.fixture
def look(tmp_path, engine, host, hook, monkeypatch):
    """Look at a host that has all it should, but for what is changed."""
    probe = of("nvidia_container_toolkit")
    monkeypatch.setattr(of("nvidia"), "PCI", tmp_path / "pci")
    monkeypatch.setattr(of("packages"), "foresee", lambda *_: of("installation").Outcome({}, [], [], [], "not there"))
    monkeypatch.setattr(of("packages"), "lists_are_new", lambda: True)
    monkeypatch.setattr(of("engine"), "SOCKET", str(tmp_path / "socket"))
    monkeypatch.setattr(of("docker_processes"), "containers", list)
    monkeypatch.setattr(probe, "_has_seen_hook", lambda *_: hook["seen"])
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    daemon = of("docker_processes").Daemon(7, "root", ["dockerd"], "0::/system.slice/docker.service")
    monkeypatch.setattr(of("engine").Engine, "daemon", daemon)
    (tmp_path / "daemon.json").write_text(json.dumps({"runtimes": NVIDIA, "features": {"cdi": True}}))
    host._dpkg = [["hold", "installed", name, "1.0-1"] for name in NAMES]
    host.unit = lambda _: {"LoadState": "loaded", "ActiveState": "active", "MainPID": "7"}

    def run(**changes):
        of("engine").of.cache_clear()  # a test changes what the engine answers
        wanted = {
            "manage": True,
            "force": True,
            "repositories": {},
            "packages": NAMES,
            "version": "",
            "hold": True,
            "daemon_json": str(tmp_path / "daemon.json"),
            "runtimes": NVIDIA,
            "restart": "spare",
            "cdi": True,
            "cdi_engine": "25",
            "cdi_default_engine": "28.2",
            "cdi_gpus_engine": "29.2",
            "toolkit_config": str(tmp_path / "config.toml"),
            "cdi_specs": [str(tmp_path / "etc.yaml"), str(tmp_path / "run.yaml")],
            "driver_version": str(tmp_path / "version"),
            **changes,
        }
        return probe.look(host, wanted)

    return run


def whats(found):
    return [change["what"] for change in found["changes"]]


def test_a_host_that_has_all_needs_nothing(look):
    found = look()
    assert (found["changes"], found["engine"], found["notes"], found["cdi_spec"]) == ([], "", [], "")


def test_a_host_without_a_gpu_is_left_alone(look, tmp_path):
    assert look(force=False, packages=["absent"]) == {
        "changes": [],
        "notes": [],
        "skipped": "no NVIDIA GPU on the PCI bus",
    }
    device = tmp_path / "pci/0000:01:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x040300\n")  # the sound on a graphics card
    assert look(force=False)["skipped"]
    (device / "class").write_text("0x030200\n")
    assert not look(force=False)["skipped"]
    device.joinpath("vendor").unlink()
    (tmp_path / "version").write_text("580.1\n")  # a container host, say, whose PCI bus is not shown
    assert not look(force=False)["skipped"]


def test_a_distribution_that_has_no_repository(look, host):
    host.os_release = {"ID": "arch"}
    with pytest.raises(of("host").RefusalError, match=r"no repository r is known for arch; .* run this again"):
        look(repositories={"debian": {"name": "r"}})


def test_a_package_of_another_version(look):
    assert look(version="2.0-1")["changes"][0] == {"what": f"package {NAMES[0]}", "from": "1.0-1", "to": "2.0-1"}


def test_a_broken_daemon_json_is_refused_with_the_place(look, tmp_path):
    (tmp_path / "daemon.json").write_text('{"a": }')
    with pytest.raises(
        of("host").RefusalError, match=r"daemon.json is broken: line 1, column 7: Expecting value; .*mend"
    ):
        look()


@pytest.mark.parametrize(
    ("containers", "swarm", "restart", "action", "warning"),
    [
        ([], "inactive", "spare", "restart", ""),
        (
            [WORKER],
            "inactive",
            "spare",
            "reload",
            "without the toolkit's hook, which --gpus may need until",
        ),
        ([WORKER], "inactive", "always", "restart", "restarted under its 1 running container, which stops"),
        ([], "active", "spare", "reload", "which it is not under a Docker Swarm that it is a node of: restart"),
        ([], "active", "always", "restart", "restarted under a Docker Swarm"),
    ],
)
def test_an_engine_that_does_not_know_the_runtime(*, look, engine, hook, containers, swarm, restart, action, warning):
    hook["seen"] = False
    engine["/info"].update({"Runtimes": {"runc": {"path": "runc"}}, "Swarm": {"LocalNodeState": swarm}})
    engine["/containers/json"] = containers
    found = look(restart=restart)
    assert (found["engine"], found["pid"], found["containers"]) == (action, 7, ["worker"] * len(containers))
    assert len(found["notes"]) == bool(warning) and warning in "".join(found["notes"])
    assert found["changes"] == [{"what": "Docker engine", "from": "without runtime nvidia", "to": action}]


def test_what_only_a_restart_would_bring_is_no_change_but_told(look, engine):
    engine["/info"]["CDISpecDirs"] = []
    engine["/containers/json"] = [WORKER]
    found = look()
    assert (found["changes"], found["engine"]) == ([], "")
    assert "without CDI until it is restarted" in found["notes"][0]


def test_an_engine_that_started_before_the_hook_was_there_is_told(look, hook):
    hook["seen"] = False
    found = look()
    assert (found["changes"], found["engine"]) == ([], "")
    assert "runs since before nvidia-container-runtime-hook was installed" in found["notes"][0]


def test_a_shim_of_a_site_s_is_known_by_its_name(look, engine, tmp_path):
    runtime = {"runtimeType": "io.containerd.nvidia.v1"}
    (tmp_path / "daemon.json").write_text(json.dumps({"runtimes": {"nvidia": runtime}, "features": {"cdi": True}}))
    engine["/info"]["Runtimes"] = {"nvidia": runtime}
    assert look()["changes"] == []


def test_an_engine_that_systemd_does_not_keep_is_never_restarted(look, engine, host, monkeypatch):
    engine["/info"]["Runtimes"] = {}
    host.unit = lambda _: {}
    monkeypatch.setattr(of("engine").Engine, "daemon", of("docker_processes").Daemon(7, "root", ["dockerd"], "0::/"))
    assert look()["engine"] == "reload"
    monkeypatch.setattr(of("engine").Engine, "daemon", None)
    with pytest.raises(of("host").RefusalError, match="lacks runtime nvidia, and no dockerd is seen on this host"):
        look()


def test_an_engine_that_is_stopped_is_not_started_by_looking(look, engine, host):
    engine["/info"]["Runtimes"] = {}
    states = {"docker.service": "inactive", "docker.socket": "active"}
    host.unit = lambda name: {"LoadState": "loaded", "ActiveState": states[name]}
    assert look()["engine"] == ""


def test_an_engine_that_is_stuck_counts_as_silent(look, engine):
    """It says that it lives, and does not tell its containers."""
    del engine["/containers/json"]
    engine["/info"]["Runtimes"] = {}
    assert look()["engine"] == ""


def test_where_the_site_has_a_way_of_its_own_nothing_is_looked_at(look):
    found = look(manage=False, packages=["not-there"])
    assert found == {
        "changes": [],
        "notes": [],
        "skipped": "the site gives containers the GPUs in a way of its own",
    }


def test_an_engine_too_old_for_cdi(look, engine, tmp_path):
    engine["/info"].update({"ServerVersion": "20.10.24+dfsg1", "CDISpecDirs": None})
    (tmp_path / "daemon.json").write_text(json.dumps({"runtimes": NVIDIA}))
    (tmp_path / "version").write_text("580.1\n")
    assert look()["changes"] == []


def test_the_cdi_specification_is_the_driver_s(look, tmp_path):
    (tmp_path / "version").write_text("580.1\n")
    assert look()["cdi_spec"] == str(tmp_path / "etc.yaml")
    (tmp_path / "etc.yaml").write_text("libcuda.so.580.1")
    assert look()["changes"] == []
    # The one that the toolkit itself keeps goes first.
    (tmp_path / "run.yaml").write_text("libcuda.so.570.9")
    found = look()
    assert whats(found) == ["CDI specification"] and found["cdi_spec"] == str(tmp_path / "run.yaml")
    assert look(cdi=False)["changes"] == []


@pytest.fixture
def gpus_by_cdi(engine, host, tmp_path):
    """A host whose engine serves --gpus by CDI, and that has nothing else of the toolkit's."""
    (tmp_path / "daemon.json").write_text("{}")
    (tmp_path / "version").write_text("580.1\n")
    (tmp_path / "cdi").mkdir()
    (tmp_path / "cdi/site.json").write_text("libcuda.so.580.1")
    host._dpkg = []
    host.which = lambda name: f"/usr/bin/{name}" if name in ("docker", "nvidia-cdi-hook") else ""
    engine["/info"].update(
        {
            "ServerVersion": "29.2.0",
            "Runtimes": {"runc": {"path": "runc"}},
            "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=all"}],
            "CDISpecDirs": [str(tmp_path / "cdi")],
        }
    )
    return engine


def test_an_engine_that_serves_the_gpus_by_cdi_is_left_alone(look, gpus_by_cdi, tmp_path):
    found = look()
    assert (found["changes"], found["notes"], found["install"], found["runtimes"]) == ([], [], False, {})
    # But for a specification of a driver that is no longer there.
    (tmp_path / "version").write_text("590.1\n")
    found = look()
    assert whats(found) == ["CDI specification"] and not found["install"]


@pytest.mark.parametrize(
    "changes",
    [
        {"ServerVersion": "28.5.1"},
        {"DiscoveredDevices": None},
        {"DiscoveredDevices": [{"Source": "cdi", "ID": "amd.com/gpu=all"}]},
    ],
)
def test_an_engine_that_does_not_serve_them_so_gets_the_toolkit(look, gpus_by_cdi, changes):
    gpus_by_cdi["/info"].update(changes)
    assert f"package {NAMES[0]}" in whats(look())


def test_cdi_that_an_engine_has_by_itself_is_not_written_down(look, engine, tmp_path):
    engine["/info"]["ServerVersion"] = "28.2.0"
    (tmp_path / "daemon.json").write_text(json.dumps({"runtimes": NVIDIA}))
    assert look()["changes"] == []


@pytest.mark.parametrize(
    ("text", "version", "refused"),
    [
        ('[nvidia-container-runtime]\nmode = "cdi"\n', "26.1.5", True),
        ("[nvidia-container-runtime]\ndebug = 1\n  mode='csv' # ours\n[other]\nmode = 'auto'\n", "26.1.5", True),
        ('[nvidia-container-runtime]\nmode = "cdi"\n', "29.2.0", False),
        ('[nvidia-container-runtime]\nmode = "auto"\n[other]\nmode = "cdi"\n', "26.1.5", False),
        ('#[nvidia-container-runtime]\n#mode = "cdi"\n', "26.1.5", False),
        (
            '[nvidia-container-runtime-hook]\nskip-mode-detection = true\n[nvidia-container-runtime]\nmode = "cdi"\n',
            "26.1.5",
            False,
        ),
    ],
)
def test_a_mode_in_which_the_hook_refuses_gpus_is_told(*, look, engine, tmp_path, text, version, refused):
    engine["/info"]["ServerVersion"] = version
    (tmp_path / "config.toml").write_text(text)
    if refused:
        with pytest.raises(of("host").RefusalError, match=r"mode is c\w+ in .*config.toml, .* and run this again"):
            look()
    else:
        assert look()["changes"] == []


def test_what_cannot_be_written_without_loss_is_refused_only_where_it_has_to_be(look, tmp_path):
    (tmp_path / "daemon.json").write_text('{"debug": true, "debug": false}')
    with pytest.raises(of("host").RefusalError, match=r"runtimes.nvidia is to be added to .* debug is in it twice"):
        look()
    own = json.dumps({"runtimes": NVIDIA, "features": {"cdi": True}})
    (tmp_path / "daemon.json").write_text(own[:-1] + ', "debug": true, "debug": false}')
    assert look()["changes"] == []


def test_an_engine_that_reads_another_file_is_told(look, engine, tmp_path, monkeypatch):
    engine["/info"]["Runtimes"] = {}
    (tmp_path / "daemon.json").write_text("{}")
    words = ["dockerd", "--config-file=/var/snap/docker/daemon.json"]
    monkeypatch.setattr(of("engine").Engine, "daemon", of("docker_processes").Daemon(7, "root", words, ""))
    with pytest.raises(of("host").RefusalError, match=r"reads /var/snap/docker/daemon.json, not .*; set nvidia"):
        look()


# --- the roles' data, also of distributions that no host is made of here ---

PLAY = """
- hosts: localhost
  gather_facts: false
  vars:
    profile: {}
    everything:
      toolkit: "{{ nvidia_container_toolkit_wanted }}"
      docker: "{{ docker_engine_repositories }}"
      engines: "{{ docker_engine_packages }}"
  vars_files:
    - ROOT/roles/nvidia_container_toolkit/defaults/main.yml
    - ROOT/roles/nvidia_container_toolkit/vars/main.yml
    - ROOT/roles/docker_engine/defaults/main.yml
    - ROOT/roles/docker_engine/vars/main/main.yml
    - ROOT/roles/docker_engine/vars/main/docker_repository.yml
  tasks:
    - ansible.builtin.copy:
        content: "{{ everything | to_json }}"
        dest: "{{ out }}"
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """What Ansible makes of the roles' defaults and variables."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "play.yml").write_text(PLAY.replace("ROOT", str(ROOT)))
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", "-c", "local"]
    variables = ["-e", f"out={folder}/out.json", "-e", f"ansible_python_interpreter={sys.executable}"]
    done = subprocess.run(
        [*command, *variables, str(folder / "play.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "duplicate" not in done.stderr
    return json.loads((folder / "out.json").read_text())


@pytest.mark.parametrize(
    ("release", "toolkit", "docker", "fingerprint"),
    [
        ({"ID": "debian", "VERSION_ID": "13"}, "deb/$(ARCH)", "debian", "9DC8"),
        ({"ID": "ubuntu", "VERSION_ID": "24.04", "ID_LIKE": "debian"}, "deb/$(ARCH)", "ubuntu", "9DC8"),
        ({"ID": "rocky", "VERSION_ID": "9.4", "ID_LIKE": "rhel centos fedora"}, "rpm/$basearch", "centos", "060A"),
        ({"ID": "rhel", "VERSION_ID": "9.4", "ID_LIKE": "fedora"}, "rpm/$basearch", "rhel", "060A"),
    ],
    ids=lambda value: value.get("ID") if isinstance(value, dict) else "",
)
def test_each_distribution_has_its_repositories(*, data, host, release, toolkit, docker, fingerprint):
    repositories = of("signed_repository")
    host.os_release = {**release, "VERSION_CODENAME": "name"}
    ours = repositories.pick(host, data["toolkit"]["repositories"])
    assert ours["url"] == f"https://nvidia.github.io/libnvidia-container/stable/{toolkit}"
    assert ours["fingerprints"] == ["C95B321B61E88C1809C4F759DDCAE044F796ECB0"]
    theirs = repositories.pick(host, data["docker"])
    assert theirs["key_url"] == f"https://download.docker.com/linux/{docker}/gpg"
    assert theirs["fingerprints"][0].startswith(fingerprint)
    for one in (ours, theirs):
        text = repositories.source_text(one, "name")
        assert one["url"] in text and "{" not in text
        assert text.endswith("\n") and "True" not in text


@pytest.mark.parametrize(
    ("name", "version", "distribution"),
    [
        ("debian", "12", "docker.io"),
        ("debian", "13", "docker.io"),
        ("ubuntu", "22.04", "docker.io"),
        ("ubuntu", "24.04", "docker.io"),
        ("rhel", "9.4", None),
        ("rocky", "9.4", None),
        ("almalinux", "9.4", None),
        ("debian", "11", None),
    ],
)
def test_each_distribution_has_its_engine(data, host, name, version, distribution):
    host.os_release = {"ID": name, "VERSION_ID": version, "ID_LIKE": "rhel fedora"}
    assert (host.pick(data["engines"]["distribution"]) or [None])[0] == distribution
    assert (host.pick(data["engines"]["docker"]) or [None])[0] == (None if version == "11" else "docker-ce")


def test_the_role_s_types(data):
    wanted = data["toolkit"]
    assert (wanted["force"], wanted["hold"], wanted["cdi"], wanted["version"]) == (False, True, True, "")
    assert wanted["cdi_engine"] == "25" and wanted["runtimes"] == NVIDIA
