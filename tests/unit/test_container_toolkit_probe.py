"""The container toolkit's probe, and what it shares: daemon.json, keys, repositories, packages."""

import importlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer

import pytest

ROOT = Path(__file__).parents[2]


def of(name):
    return importlib.import_module(f"ansible.module_utils.provisioner_{name}")


# --- daemon.json ---

NVIDIA = {"nvidia": {"args": [], "path": "nvidia-container-runtime"}}


def merge(text, features=None, present=()):
    daemon = of("docker_daemon")
    return daemon.merged(daemon.parse(text), NVIDIA, features or {}, lambda path: path if path in present else "")


@pytest.mark.parametrize("text", ["", " \n", "{}", '{"runtimes": {}}'])
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
    ("text", "said"),
    [
        ('{"a": 1, 2}', "line 1, column 10"),
        ("{", "line 1"),
        ("[]", "JSON object"),
        ("7", "JSON object"),
        ('{"runtimes": []}', "runtimes is not"),
        ('{"features": null}', "features is not"),
        ('{"a": 1, "a": 2}', "a is in it twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": "\ufffd"}', "UTF-8"),
        ('\ufeff{"a": 1}', "BOM"),
    ],
)
def test_a_broken_daemon_json(text, said):
    daemon = of("docker_daemon")
    with pytest.raises(daemon.BrokenSettingsError, match=said):
        daemon.parse(text)


@pytest.mark.parametrize(
    ("like", "indent"), [("", "    "), ('{"a": 1}', "    "), ('{\n  "a": 1\n}', "  "), ('{\n\t"a": 1}', "\t")]
)
def test_it_is_written_as_it_was(like, indent):
    daemon = of("docker_daemon")
    text = daemon.rendered({"tag": "ü"}, like)
    assert text == f'{{\n{indent}"tag": "ü"\n}}\n'
    assert daemon.parse(text) == {"tag": "ü"}


# --- keys ---


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    """A key made by gpg, with a subkey: its fingerprint, and it as a text and as packets."""
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)

    def gpg(*arguments):
        command = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", "", *arguments]
        return subprocess.run(command, capture_output=True, check=True).stdout

    gpg("--quick-generate-key", "test", "rsa2048", "default", "never")
    lines = gpg("--with-colons", "--list-keys").decode().splitlines()
    fingerprint = next(line.split(":")[9] for line in lines if line.startswith("fpr"))
    yield fingerprint, gpg("--armor", "--export"), gpg("--export")
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)


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
        "supersedes": [str(folder / "r.list")],
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
    (tmp_path / "r.list").touch()
    assert seen() == ["another source list of r"]
    (tmp_path / "r.list").unlink()
    (tmp_path / "r.gpg").write_bytes(key[2][:-1])
    (tmp_path / "r.sources").chmod(0o600)
    assert seen() == ["signing key of r", "source list of r: mode"]


# --- packages ---


def test_packages(host):
    packages = of("packages")
    host._dpkg = [
        ["hold", "installed", "a", "1"],
        ["install", "installed", "b", "2"],
        ["deinstall", "config-files", "c", "1"],
    ]
    assert packages.look(host, ["a", "b"]) == []
    assert packages.look(host, ["a"], "1", hold=True) == []
    assert [one["what"] for one in packages.look(host, ["a", "b", "c"], "1", hold=True)] == [
        "package b",
        "hold on b",
        "package c",
        "hold on c",
    ]


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("Hit:1\nW: GPG error: x InRelease: NO_PUBKEY 1\nE: It is not signed.", "GPG error: x InRelease: NO_PUBKEY 1"),
        ("W: x\nE: Unable to locate package a", "Unable to locate package a"),
        (
            "E: held broken packages.\n a : Depends: b but it is not installable",
            "a : Depends: b but it is not installable",
        ),
        ("Error: Failed to download metadata", "Error: Failed to download metadata"),
        ("something", "something"),
        ("", "no message"),
    ],
)
def test_the_line_that_says_what_is_wrong(said, line):
    assert of("packages").complaint(said) == line


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
    remedy = of("packages").remedy_of(why.format(f"linux-headers-{kernel}"))
    assert f"'apt-get install linux-image-{flavour} linux-headers-{flavour}', restart" in remedy
    assert "mend the host's sources" in of("packages").remedy_of(why.format(f"linux-headers-{flavour}"))


# --- the probe ---

INFO = {
    "ServerVersion": "26.1.5+dfsg1",
    "Runtimes": {"runc": {"path": "runc"}, "nvidia": {"path": "nvidia-container-runtime"}},
    "CDISpecDirs": ["/etc/cdi"],
    "ContainersRunning": 0,
    "LiveRestoreEnabled": False,
}
NAMES = ["nvidia-container-toolkit", "libnvidia-container1"]


@pytest.fixture
def engine(tmp_path):
    """An engine that answers on a socket; its answers can be changed."""
    answers = {"/info": dict(INFO), "/containers/json": [{"Names": ["/worker"]}]}

    class Answer(BaseHTTPRequestHandler):
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
def look(tmp_path, engine, host, monkeypatch):
    """Look at a host that has all it should, but for what is changed."""
    probe = of("nvidia_container_toolkit")
    monkeypatch.setattr(of("gpu_driver"), "PCI", tmp_path / "pci")
    monkeypatch.setattr(of("engine"), "SOCKET", str(tmp_path / "socket"))
    (tmp_path / "daemon.json").write_text(json.dumps({"runtimes": NVIDIA, "features": {"cdi": True}}))
    host._dpkg = [["hold", "installed", name, "1.0-1"] for name in NAMES]
    host.unit = lambda _: {"LoadState": "loaded", "ActiveState": "active", "ExecStart": "dockerd"}

    def run(**changes):
        wanted = {
            "force": True,
            "repositories": {},
            "packages": NAMES,
            "version": "",
            "hold": True,
            "daemon_json": str(tmp_path / "daemon.json"),
            "runtimes": NVIDIA,
            "restart": "spare",
            "cdi": True,
            "cdi_engine": 25,
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
    assert look(force=False, packages=["absent"]) == {"changes": [], "notes": [], "skipped": of("gpu_driver").NO_GPU}
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
    ("info", "settings", "restart", "action", "warning"),
    [
        ({}, {}, "spare", "restart", ""),
        ({"ContainersRunning": 2}, {}, "spare", "reload", ""),
        ({"ContainersRunning": 2}, {}, "always", "restart", "which stops them"),
        ({"ContainersRunning": 2, "LiveRestoreEnabled": True}, {"live-restore": True}, "spare", "restart", "outlive"),
        # The engine that starts would not spare them.
        ({"ContainersRunning": 2, "LiveRestoreEnabled": True}, {}, "spare", "reload", ""),
    ],
)
def test_an_engine_that_does_not_know_the_runtime(*, look, engine, tmp_path, info, settings, restart, action, warning):
    engine["/info"].update({"Runtimes": {"runc": {"path": "runc"}}, **info})
    (tmp_path / "daemon.json").write_text(json.dumps({"runtimes": NVIDIA, "features": {"cdi": True}, **settings}))
    found = look(restart=restart)
    assert (found["engine"], found["containers"]) == (action, ["worker"])
    assert len(found["notes"]) == bool(warning) and warning in "".join(found["notes"])
    assert found["changes"] == [{"what": "Docker engine", "from": "without runtime nvidia", "to": action}]


def test_what_only_a_restart_would_bring_is_no_change_but_told(look, engine):
    engine["/info"].update({"CDISpecDirs": [], "ContainersRunning": 1})
    found = look()
    assert (found["changes"], found["engine"]) == ([], "")
    assert "without CDI until it is restarted" in found["notes"][0]


def test_an_engine_that_systemd_does_not_keep_is_never_restarted(look, engine, host):
    engine["/info"]["Runtimes"] = {}
    host.unit = lambda _: {}
    assert look()["engine"] == "reload"


def test_an_engine_that_is_stopped_is_not_started_by_looking(look, engine, host):
    engine["/info"]["Runtimes"] = {}
    host.unit = lambda _: {"LoadState": "loaded", "ActiveState": "inactive"}
    assert look()["engine"] == ""


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
    assert wanted["cdi_engine"] == 25 and wanted["runtimes"] == NVIDIA
