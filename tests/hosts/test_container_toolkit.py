"""The role nvidia_container_toolkit on real hosts, from a signed apt repository that the host itself serves.

The packages in it are stand-ins (provisioner/data/lab/outside/apt_repositories.py), since NVIDIA's are reached from few
places and need a GPU to do anything. apt, dpkg, the keys and the Docker engine are real.
"""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioner.lab import Lab

HERE = Path(__file__).parent

Run = Callable[..., subprocess.CompletedProcess[str]]

REPOSITORY = "http://127.0.0.1:8000/nvidia.github.io/libnvidia-container/stable"
SOURCE = "/etc/apt/sources.list.d/provisioner-nvidia-container-toolkit.sources"
KEYRING = "/etc/apt/keyrings/provisioner-nvidia-container-toolkit.gpg"
SETTINGS = "/etc/docker/daemon.json"
NAMES = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)
# What a site has in its daemon.json.
SITE = {
    "log-opts": {"max-size": "10m", "tag": "ü"},
    "runtimes": {"mine": {"path": "/usr/sbin/runc"}},
    "features": {"containerd-snapshotter": False},
    "max-concurrent-downloads": 2,
}
WITH_NVIDIA = {**SITE, "runtimes": {**SITE["runtimes"], "nvidia": {"args": [], "path": "nvidia-container-runtime"}}}
# All that could be touched, and when the engine last started.
STATE = f"""
sha256sum {SOURCE} {KEYRING} {SETTINGS} /etc/apt/sources.list
ls /etc/apt/sources.list.d /etc/apt/keyrings /usr/share/keyrings
dpkg-query --show --showformat '${{Package}} ${{Version}} ${{db:Status-Abbrev}}\n'; apt-mark showhold
stat --format '%n %a %u %g' {SOURCE} {KEYRING} {SETTINGS}; systemctl show docker.service --property=InvocationID
"""


class Toolkit:
    """A host with an engine and the repositories, and the role to run on it."""

    def __init__(self, lab: Lab, ask: Run, play: Run, serve_repositories: Callable, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.sh = lambda command: ask(lab, lab.hosts[0].name, command).stdout
        self.play = lambda variables, *options: play(lab, HERE / "container_toolkit.yml", variables, *options)
        keys = serve_repositories(lab, lab.hosts[0].name, "toolkit", "docker", "--stranger")
        self.key, self.other_key = keys["toolkit"], keys["stranger"]
        install = "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends"
        client = "docker-cli" if lab.hosts[0].debian == 13 else ""  # of its own there
        self.sh(f"{install} docker.io {client} iptables busybox-static")
        self.put(SETTINGS, json.dumps(SITE, indent=2))
        self.sh("systemctl restart docker.service")

    def put(self, path: str, text: str) -> None:
        self.sh(f"mkdir -p {Path(path).parent} && cat >{path} <<'END'\n{text}\nEND")

    def run(self, *options: str, **variables: object) -> tuple[list[str], int, str]:
        """Run the role: what its probe saw before, how many tasks changed something, and what failed ('': nothing)."""
        seen = self.folder / "seen.json"
        seen.unlink(missing_ok=True)
        ours = {
            "seen": str(seen),
            "nvidia_container_toolkit_force": True,
            "nvidia_container_toolkit_url": REPOSITORY,
            "nvidia_container_toolkit_key_url": "http://127.0.0.1:8000/nvidia.github.io/libnvidia-container/gpgkey",
            "nvidia_container_toolkit_key_fingerprints": [self.key],
            "nvidia_container_toolkit_version": "2.0-1",
        }
        done = self.play(ours | variables, *options)
        changed = re.search(r"changed=(\d+)", done.stdout)
        assert changed, done.stdout + done.stderr
        failed = ""
        if done.returncode:
            failed = " ".join(done.stdout.split("FAILED! =>")[1].split("PLAY RECAP")[0].split())
        changes = json.loads(seen.read_text(encoding="utf-8"))["changes"] if seen.exists() else []
        seen = [change["what"] for change in changes if change["what"] != "apt's package lists"]
        return seen, int(changed[1]), failed

    def settings(self) -> object:
        return json.loads(self.sh(f"cat {SETTINGS}"))


@pytest.fixture(scope="module")
def toolkit(make_lab, ask, play, serve_repositories, tmp_path_factory) -> Toolkit:
    return Toolkit(make_lab("toolkit"), ask, play, serve_repositories, tmp_path_factory.mktemp("toolkit"))


@pytest.fixture(scope="module")
def converged(toolkit: Toolkit) -> Toolkit:
    """The host with everything on it; the tests before this one in the file refuse to bring it there."""
    _, _, failed = toolkit.run()
    assert failed == ""
    return toolkit


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"nvidia_container_toolkit_key_url": "http://127.0.0.1:8000/stranger/key.gpg"},
            "it has the fingerprint {other}, not {key}",
        ),
        ({"nvidia_container_toolkit_key_url": "http://127.0.0.1:8000/none"}, "404"),
        ({"nvidia_container_toolkit_key_url": "file:///etc/os-release"}, "not an OpenPGP key"),
        (
            {"nvidia_container_toolkit_url": "http://127.0.0.1:8000/stranger"},
            "GPG error: http://127.0.0.1:8000/stranger",
        ),
    ],
    ids=["another key", "no key", "not a key", "signed by a stranger"],
)
def test_a_key_that_is_not_the_pinned_one_is_refused_before_anything_is_changed(toolkit, variables, said):
    before = toolkit.sh(f"{STATE} true")
    _, changed, failed = toolkit.run(**variables)
    assert said.format(key=toolkit.key, other=toolkit.other_key) in failed
    assert "nothing was changed" in failed
    assert changed == 0
    assert toolkit.sh(f"{STATE} true") == before


def test_a_fresh_host(toolkit):
    started = toolkit.sh("journalctl -u docker.service -o cat | grep -c '^Started '")
    _, changed, failed = toolkit.run("--check")
    assert (changed > 0, failed) == (True, "")
    assert toolkit.sh("ls /etc/apt/sources.list.d") == ""

    changes, changed, failed = toolkit.run()
    assert failed == "" and changed > 0
    assert {f"package {NAMES[0]}", f"signing key of {NAMES[0]}", "Docker engine"} <= set(changes)
    assert toolkit.settings() == WITH_NVIDIA
    assert toolkit.sh("apt-mark showhold").split() == sorted(NAMES)
    assert set(toolkit.sh("dpkg-query -Wf '${Version} ' " + " ".join(NAMES)).split()) == {"2.0-1"}
    assert "stand-in" in toolkit.sh("dpkg-query -Wf '${Description}' " + NAMES[0])
    assert {"nvidia", "mine"} <= set(json.loads(toolkit.sh("docker info --format '{{json .Runtimes}}'")))
    restarts = int(toolkit.sh("journalctl -u docker.service -o cat | grep -c '^Started '")) - int(started)
    assert restarts == 1

    before = toolkit.sh(STATE)
    assert toolkit.run() == ([], 0, "")
    assert toolkit.sh(STATE) == before


NAME, BASE = NAMES[:2]
KEY, LIST = f"signing key of {NAME}", f"source list of {NAME}"
APT = "apt-get -qq -y --allow-change-held-packages --allow-downgrades"


@pytest.mark.parametrize(
    "mutations",
    [
        {
            f"apt-mark unhold {BASE}": {f"hold on {BASE}"},
            f"{APT} purge {NAME}": {f"package {NAME}", f"hold on {NAME}"},
            f"chmod 600 {KEYRING}": {f"{KEY}: mode"},
            f"sed -i s/toolkit/stranger/ {SOURCE}": {f"{LIST}: content"},
            f"sed -i s/nvidia-container-runtime/gone/ {SETTINGS}": {f"{SETTINGS}: runtimes.nvidia"},
        },
        {
            f"{APT} install {NAME}=1.0-1; apt-mark hold {NAME}": {f"package {NAME}"},
            f"cp /srv/repository/stranger/key.gpg {KEYRING}": {KEY},
            f"rm {SOURCE}": {LIST},
        },
        {f"chown nobody {SOURCE}": {f"{LIST}: owner"}, f"rm {KEYRING}": {KEY}},
    ],
    ids=lambda mutations: f"{len(mutations)} mutations",
)
def test_drift_is_seen_and_mended_and_nothing_else_is_touched(converged, mutations):
    before = converged.sh(STATE)
    converged.sh("set -e; " + "; ".join(mutations))
    changes, changed, failed = converged.run()
    assert failed == ""
    assert sorted(changes) == sorted(set().union(*mutations.values()))
    assert changed > 0
    assert converged.sh(STATE) == before  # the engine was not restarted either: it had its settings all along
    assert converged.settings() == WITH_NVIDIA


def test_an_emptied_daemon_json_gets_the_runtime_back(converged):
    converged.sh(f": >{SETTINGS}")
    changes, _, failed = converged.run()
    assert (changes, failed) == ([f"{SETTINGS}: runtimes.nvidia"], "")
    assert converged.settings() == {"runtimes": {"nvidia": WITH_NVIDIA["runtimes"]["nvidia"]}}
    converged.put(SETTINGS, json.dumps(WITH_NVIDIA, indent=4, ensure_ascii=False))


ALIKE = "stat -L --format '%a %U:%G' {0}; readlink {0}; getfacl --absolute-names {1}; test -L {0}"


def test_a_daemon_json_that_is_a_link_stays_one_with_its_owner_mode_and_acl(converged):
    own = "/srv/site/daemon.json"
    converged.sh("DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends acl")
    converged.sh(f"mkdir -p /srv/site; ln -sf {own} {SETTINGS}")
    converged.put(own, json.dumps(SITE))
    converged.sh(f"chown games:adm {own}; chmod 640 {own}; setfacl -m u:www-data:r {own}")
    before = converged.sh(ALIKE.format(SETTINGS, own))
    changes, _, failed = converged.run()
    assert (changes, failed) == ([f"{SETTINGS}: runtimes.nvidia"], "")
    assert converged.settings() == WITH_NVIDIA
    assert converged.sh(ALIKE.format(SETTINGS, own)) == before
    converged.sh(f"rm {SETTINGS}; cp {own} {SETTINGS}; chmod 644 {SETTINGS}")


def test_a_daemon_json_with_nulls_gets_the_runtime_and_one_with_a_name_twice_stays(converged):
    text = converged.sh(f"cat {SETTINGS}").rstrip("\n")
    converged.put(SETTINGS, '{"runtimes": null, "features": null, "debug": null}')
    assert converged.run()[2] == ""
    runtimes = {"nvidia": WITH_NVIDIA["runtimes"]["nvidia"]}
    assert converged.settings() == {"runtimes": runtimes, "features": None, "debug": None}
    converged.put(SETTINGS, '{"log-level": "debug", "log-level": "warn"}')
    before = converged.sh(STATE)
    _, changed, failed = converged.run()
    assert "cannot be written anew without loss: log-level is in it twice" in failed
    assert changed == 0 and converged.sh(STATE) == before
    converged.put(SETTINGS, text)


def test_a_broken_daemon_json_stops_the_role_and_stays(converged):
    text = converged.sh(f"cat {SETTINGS}").rstrip("\n")
    converged.put(SETTINGS, '{"log-opts": {"max-size": "10m"},\n "runtimes": }')
    before = converged.sh(STATE)
    _, changed, failed = converged.run()
    assert f"{SETTINGS} is broken: line 2, column 14: Expecting value; the file stays as it is" in failed
    assert changed == 0
    assert converged.sh(STATE) == before
    converged.put(SETTINGS, text)


def test_a_version_that_does_not_exist(converged):
    before = converged.sh(STATE)
    _, changed, failed = converged.run(nvidia_container_toolkit_version="3.0-1")
    assert "nvidia-container-toolkit 3.0-1 is in none of the host's sources" in failed
    assert "they have 2.0-1, 1.0-1; change nvidia_container_toolkit_version" in failed
    assert changed == 0
    assert converged.sh(STATE) == before


SITE_LIST = "/etc/apt/sources.list.d/site-gpu.list"
SITE_SOURCE = f"deb [signed-by=/etc/apt/keyrings/site.gpg] {REPOSITORY}/deb/$(ARCH) /"


def test_a_source_of_the_site_s_own_is_used_and_stays(converged):
    """apt would refuse both: they name two key files for one repository."""
    ours = converged.sh(f"cat {SOURCE}")
    key = "/srv/repository/nvidia.github.io/libnvidia-container/gpgkey"
    converged.sh(f"gpg --dearmor <{key} >/etc/apt/keyrings/site.gpg; mv {SOURCE} {KEYRING} /root")
    converged.put(SITE_LIST, SITE_SOURCE)
    assert converged.run() == ([], 0, "")
    converged.sh(f"apt-get -qq update; {APT} purge {NAME}")
    changes, _, failed = converged.run()
    assert (sorted(changes), failed) == ([f"hold on {NAME}", f"package {NAME}"], "")
    assert converged.sh(f"cat {SITE_LIST}; ls /etc/apt/sources.list.d") == f"{SITE_SOURCE}\n{Path(SITE_LIST).name}\n"

    # Where the site adds one beside ours, apt says so, and nothing is done about it.
    converged.sh(f"{APT} purge {NAME}; mv /root/{Path(SOURCE).name} {SOURCE}; mv /root/{Path(KEYRING).name} {KEYRING}")
    before = converged.sh(f"{STATE} true")
    _, changed, failed = converged.run()
    assert changed == 0 and "Conflicting values set for option Signed-By" in failed
    assert converged.sh(f"{STATE} true") == before
    converged.sh(f"rm {SITE_LIST} /etc/apt/keyrings/site.gpg")
    assert converged.run()[2] == ""
    assert converged.sh(f"cat {SOURCE}") == ours


def test_a_package_that_the_site_holds_is_not_changed(converged):
    """What provisioner installed is its own, held or not; what it did not is not."""
    record = "/var/lib/provisioner/packages.json"
    kept = converged.sh(f"cat {record}")
    converged.sh(f"sed -i 's/{NAME}\"/other\"/' {record}; {APT} install {NAME}=1.0-1; apt-mark hold {NAME}")
    before = converged.sh(STATE)
    _, changed, failed = converged.run()
    assert changed == 0 and f"would change {NAME}, which is held" in failed
    assert converged.sh(STATE) == before
    converged.put(record, kept)
    assert converged.run()[2] == ""


START_CONTAINER = """
mkdir -p /tmp/rootfs/bin && cp /bin/busybox /tmp/rootfs/bin/sleep
tar -C /tmp/rootfs -c . | docker import - tiny >/dev/null
docker run --detach --name worker tiny sleep 1000
"""
STARTED = "docker inspect --format '{{.State.StartedAt}} {{.State.Running}}' worker"


def test_running_containers_are_spared_unless_told_otherwise(converged):
    """The engine is given settings without the runtime by a reload, which stops nothing, before each run."""
    invocation = "systemctl show docker.service --property=InvocationID"

    def without_runtime(settings: dict[str, object]) -> None:
        converged.put(SETTINGS, json.dumps(settings))
        converged.sh("systemctl reload docker.service; while docker info | grep -q nvidia; do sleep 0.2; done")

    converged.sh(START_CONTAINER)
    without_runtime(SITE)
    before = converged.sh(f"{invocation}; {STARTED}")
    assert converged.run()[2] == ""
    assert converged.sh(f"{invocation}; {STARTED}") == before
    assert "nvidia" in json.loads(converged.sh("docker info --format '{{json .Runtimes}}'"))

    # Where the engine keeps containers alive as well: what speaks to them would be cut off.
    without_runtime({**SITE, "live-restore": True})
    before = converged.sh(f"{invocation}; {STARTED}")
    assert converged.run()[2] == ""
    assert converged.sh(f"{invocation}; {STARTED}") == before
    assert converged.settings() == {**WITH_NVIDIA, "live-restore": True}

    # Without, and where a site says so, the container is named and then stopped.
    without_runtime(SITE)
    variables = {"nvidia_container_toolkit_url": "", "nvidia_container_toolkit_restart": "always"}
    variables |= {"seen": str(converged.folder / "seen.json"), "nvidia_container_toolkit_force": True}
    done = converged.play(variables)
    assert done.returncode == 0
    assert "is restarted now, with these containers running: worker" in " ".join(done.stdout.split())
    assert converged.sh(STARTED).split()[-1] == "false"
    assert converged.run() == ([], 0, "")


def test_cdi_where_the_engine_knows_it(make_lab, ask, play, serve_repositories, tmp_path):
    """Debian 13's engine is 26. What a driver would be read from is a file of the test's own."""
    host = Toolkit(make_lab("toolkit13", debian=13), ask, play, serve_repositories, tmp_path)
    ours = {"nvidia_container_toolkit_driver_version": "/run/driver-version", "nvidia_container_toolkit_version": ""}
    assert host.run(**ours)[2] == ""
    assert host.settings() == {**WITH_NVIDIA, "features": {**SITE["features"], "cdi": True}}
    assert json.loads(host.sh("docker info --format '{{json .CDISpecDirs}}'"))
    host.sh("! ls /etc/cdi/nvidia.yaml")  # no GPU, nothing to describe
    assert host.run(**ours) == ([], 0, "")

    for version in ("580.1", "581.2"):
        host.put("/run/driver-version", version)
        assert host.run(**ours)[0] == ["CDI specification"]
        assert f"libcuda.so.{version}" in host.sh("cat /etc/cdi/nvidia.yaml")
    assert host.run(**ours) == ([], 0, "")
