"""The driver's probe and the role's data: each state that a host can be in, made up here, and what is said of it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import gpu_driver as probe
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import nvidia
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import signed_repository as signed
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.installation import Outcome
from ansible_collections.provisioner.gpu_hosts.plugins.modules import dkms_module as dkms

ROOT = Path(__file__).parents[2]
KEY = (Path(__file__).parent / "data" / "gpu_driver" / "key.asc").read_text()
FINGERPRINT = "6E8C4A4018ED8DA70A91E4B21B70CAE588C3A08E"

DUMP = """
- hosts: localhost
  gather_facts: false
  vars_files: ["{root}/inventory/profiles/registries.yml"]
  roles: [{{role: provisioner.gpu_hosts.gpu_driver, tags: never}}]
  tasks:
    - ansible.builtin.copy: {{content: "{{{{ gpu_driver_wanted | to_json }}}}", dest: "{to}", mode: "0600"}}
"""

RELEASES = {
    "debian12": 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
    "debian13": 'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n',
    "ubuntu22.04": 'ID=ubuntu\nVERSION_ID="22.04"\nVERSION_CODENAME=jammy\nID_LIKE=debian\n',
    "ubuntu24.04": 'ID=ubuntu\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\nID_LIKE=debian\n',
    "rocky9": 'ID="rocky"\nVERSION_ID="9.4"\nID_LIKE="rhel centos fedora"\n',
    "almalinux9": 'ID="almalinux"\nVERSION_ID="9.4"\nID_LIKE="rhel centos fedora"\n',
    "rhel9": 'ID="rhel"\nVERSION_ID="9.4"\nID_LIKE="fedora"\n',
}
KERNELS = {
    "debian12": ("6.1.0-37-cloud-amd64", ["linux-headers-cloud-amd64", "linux-headers-6.1.0-37-cloud-amd64"]),
    "debian13": ("6.12.41+deb13-amd64", ["linux-headers-amd64", "linux-headers-6.12.41+deb13-amd64"]),
    "ubuntu22.04": ("5.15.0-105-generic", ["linux-headers-generic", "linux-headers-5.15.0-105-generic"]),
    "ubuntu24.04": ("6.8.0-1010-aws", ["linux-headers-aws", "linux-headers-6.8.0-1010-aws"]),
    **dict.fromkeys(
        ["rocky9", "almalinux9", "rhel9"],
        (
            "5.14.0-503.11.1.el9_5.x86_64",
            ["kernel-devel-matched", "kernel-headers", "kernel-devel-5.14.0-503.11.1.el9_5.x86_64"],
        ),
    ),
}
# Where the probe looks, and where that is in a test.
PLACES = {
    "PCI": "pci",
    "LOADED": "sys",
    "ABOUT": "about",
    "CARDS": "cards",
    "KERNELS": "modules",
    "UNINSTALLER": "nvidia-uninstall",
    "WSL": "wsl",
    "SECURE_BOOT": "secure_boot",
    "CONTAINER": "container",
    "GPU_OPERATOR": "run/nvidia/driver",
}
DRIVER = {
    "nvidia-kernel-dkms": "535.309.01-0+deb12u1",
    "nvidia-smi": "535.309.01-0+deb12u1",
    "libcuda1": "535.309.01-0+deb12u1",
    "nvidia-persistenced": "535.171.04-1~deb12u1",
    "linux-headers-amd64": "6.1.192-2",
}
# What apt says of packages that the host's sources do not have, and of those that they do.
NOT_THERE = Outcome({}, [], [], [], "Unable to locate package")
LACKING = "Types: deb\nURIs: http://mirror/debian\nSuites: bookworm\nComponents: non-free"


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """The role's wanted state, as Ansible resolves it with all defaults."""
    folder = tmp_path_factory.mktemp("wanted")
    (folder / "play.yml").write_text(DUMP.format(root=ROOT, to=folder / "wanted.json"))
    done = subprocess.run(
        [
            *(Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", "-c", "local"),
            *("-e", f"ansible_python_interpreter={sys.executable}", folder / "play.yml"),
        ],
        env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "wanted.json").read_text())


class Machine(Host):
    """A made-up host: files below a folder, and an nvidia-smi that says what the test wants."""

    systemd = True

    def __init__(self, root, release):
        super().__init__()
        self.root, self.release = root, release
        self.packages, self.held, self.smi, self.services = {}, set(), (127, "", "not found"), {}
        self.unfinished, self.on_hold, self.keys = {}, "", ""
        self.asked, self.wanted, self.outcome = [], {}, NOT_THERE

    def run(self, *command, **_):
        self.asked.append(command[0])
        if command[0] == "apt-mark":
            return 0, self.on_hold, ""
        if command[0] == "mokutil":
            return 1, self.keys, ""
        assert command[0].endswith("nvidia-smi")
        return self.smi

    def which(self, command):
        return "/usr/bin/apt-mark" if command == "apt-mark" else ""

    def read(self, path):
        return self.release if str(path) == "/etc/os-release" else super().read(path)

    def unit(self, name):
        return self.services.get(name, {})

    def write(self, path, content=""):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def gpu(self, address="0000:01:00.0", driver=""):
        self.write(f"pci/{address}/vendor", "0x10de\n")
        self.write(f"pci/{address}/class", "0x030200\n")
        if driver:
            (self.root / f"pci/{address}/driver").symlink_to(f"../../drivers/{driver}")

    def works(self, version):
        self.smi = (0, f"{version}\n", "")
        self.write("sys/nvidia/version", version)

    def ours(self):
        """As the role leaves a Debian 12 host whose driver is built and loaded, and answers."""
        self.gpu()
        self.works("535.309.01")
        self.packages = {**DRIVER, "linux-headers-6.1.0-37-amd64": "6.1"}
        self.held = {name for name in DRIVER if "headers" not in name}
        self.write("modprobe.conf", self.wanted["modprobe"])
        self.write("own.sources", f"{probe.SOURCE_HEAD}{LACKING}\n")
        self.write("modules/6.1.0-37-amd64/build/Makefile")
        self.write("modules/6.1.0-37-amd64/updates/dkms/nvidia-current.ko")
        self.services["nvidia-persistenced.service"] = {
            "LoadState": "loaded",
            "UnitFileState": "enabled",
            "ActiveState": "active",
        }

    def look(self, **wanted):
        return probe.look(self, {**self.wanted, **wanted})


@pytest.fixture
def machine(tmp_path, monkeypatch, data):
    """A host of a distribution, fresh from its installer; `kernel` is what it runs."""

    def make(name="debian12", kernel="6.1.0-37-amd64", arch="x86_64"):
        for constant, folder in PLACES.items():
            monkeypatch.setattr(nvidia, constant, tmp_path / folder)
        monkeypatch.setattr(nvidia, "LIBRARIES", (tmp_path / "lib",))
        monkeypatch.setattr(nvidia, "PROGRAM_FOLDERS", (tmp_path / "wsl",))
        monkeypatch.setattr(nvidia, "SIGNING_KEYS", (str(tmp_path / "mok.pub"),))
        monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release=kernel, machine=arch))
        host = Machine(tmp_path, RELEASES.get(name, name))
        distributions = json.loads(json.dumps(data["distributions"]))
        for entry in distributions.values():
            entry["source_file"] = str(tmp_path / "own.sources")
            entry["sources"]["nvidia"]["repository"]["keyring"] = str(tmp_path / "keyring")
        host.wanted = {**data, "distributions": distributions, "modprobe_file": str(tmp_path / "modprobe.conf")}
        host.wanted.update(local=False, controller={"machine_id": "x", "boot_id": "y"})
        monkeypatch.setattr(probe, "foresee", lambda _, names: host.outcome)
        monkeypatch.setattr(probe.apt_sources, "lacking", lambda *_: LACKING)
        monkeypatch.setattr(signed, "configured", lambda *_: "")
        return host

    return make


def whats(found):
    return [each["what"] for each in found["changes"]]


# --- the role's data ---


def test_a_local_connection_is_seen_and_the_controller_known(data):
    assert data["local"] is True
    assert data["controller"]["machine_id"] == Path("/etc/machine-id").read_text().strip()


@pytest.mark.parametrize("name", RELEASES)
@pytest.mark.parametrize("source", ["distribution", "nvidia"])
@pytest.mark.parametrize("module", ["open", "proprietary"])
@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_every_distribution_is_whole(machine, name, source, module, arch):
    kernel, headers = KERNELS[name]
    if arch == "aarch64":
        kernel = kernel.replace("x86_64", arch).replace("amd64", "arm64")
        headers = [each.replace("x86_64", arch).replace("amd64", "arm64") for each in headers]
    host = machine(name, kernel, arch)
    host.gpu()
    repository = host.wanted["distributions"][name]["sources"]["nvidia"]["repository"]
    if name == "debian13":
        assert repository["fingerprints"] == []
        repository["fingerprints"] = ["A" * 40]
    if (source, arch) == ("nvidia", "aarch64") and name.startswith("debian"):
        with pytest.raises(RefusalError, match=r"^no Debian 1\d for aarch64 is known there; leave gpu_driver_source"):
            host.look(source=source, module=module)
        return
    if source == "distribution" and name.endswith("9"):
        with pytest.raises(RefusalError, match=r" 9 has no driver of its own; set gpu_driver_source to nvidia$"):
            host.look(source=source, module=module)
        return
    found = host.look(source=source, module=module)
    assert found["missing"][-len(headers) :] == headers
    assert len(found["missing"]) > len(headers)
    everything = json.dumps([found, host.wanted["distributions"][name]["hold"]])
    assert not re.search(r"\{\w+\}", json.dumps(found)), everything
    driver = found["missing"][0]
    assert re.search(host.wanted["distributions"][name]["hold"], driver)
    assert not re.search(host.wanted["distributions"][name]["hold"], "nvidia-container-toolkit")
    assert not re.search(host.wanted["distributions"][name]["hold"], "libnvidia-container1")
    if source == "nvidia":
        (repository,) = found["repositories"].values()
        assert re.fullmatch("[0-9A-F]{40}", *repository["fingerprints"])
        machine_name = {"x86_64": "x86_64", "aarch64": "sbsa"}[arch]
        folder = f"/{name.replace('.', '').replace('rocky', 'rhel').replace('almalinux', 'rhel')}/{machine_name}/"
        assert folder in repository["key_url"] and folder in f"{repository['url']}/"
        text = signed.source_text(repository, "name")
        assert repository["url"] in text and repository["keyring"] in text


# --- what is left alone ---


def test_without_a_gpu_nothing_is_done_and_it_is_said(machine):
    found = machine().look()
    assert found["changes"] == []
    assert "no NVIDIA GPU" in found["skipped"]
    assert found["notes"] == []


def test_a_bridge_or_switch_of_nvidia_is_no_gpu(machine):
    host = machine()
    host.write("pci/0000:02:00.0/vendor", "0x10de\n")
    host.write("pci/0000:02:00.0/class", "0x068000\n")
    assert host.look()["skipped"]


@pytest.mark.parametrize("branch", ["", "580", "580.95"])
@pytest.mark.parametrize("release", ["debian12", 'ID=strange\nVERSION_ID="1"\n'])
def test_a_driver_that_works_is_left_alone_whoever_brought_it(machine, branch, release):
    host = machine(release)
    host.gpu()
    host.works("580.95.05")
    found = host.look(branch=branch, source="nvidia")
    assert (found["changes"], found["restart"]) == ([], "")
    assert found["version"] == "580.95.05"


def test_a_driver_in_a_container_host_counts_without_pci(machine):
    host = machine()
    host.works("580.95.05")
    found = host.look()
    assert (found["changes"], found["skipped"]) == ([], "")


def installer(host):
    """NVIDIA's installer took the place of the packages."""
    host.packages = {"linux-headers-amd64": "6.1"}
    host.write("nvidia-uninstall")


@pytest.mark.parametrize(
    ("replace", "wanted"),
    [
        (installer, {}),
        (lambda host: (installer(host), host.works("580.95.05")), {"branch": "580"}),
        (lambda host: host.works("550.1.2"), {}),
        (lambda host: host.packages.clear(), {}),
        (lambda host: host.packages.pop("nvidia-kernel-dkms"), {}),
        (lambda host: setattr(host, "release", RELEASES["rocky9"]), {}),
    ],
)
def test_a_working_driver_that_has_become_another_s_is_left_alone(machine, replace, wanted):
    host = machine()
    host.ours()
    host.write("modprobe.conf", "other")
    replace(host)
    found = host.look(hold=False, **wanted)
    assert (found["changes"], found["restart"]) == ([], "")


def test_a_working_module_of_the_other_kind_is_no_drift(machine):
    host = machine()
    host.ours()
    host.packages["nvidia-open-kernel-dkms"] = host.packages.pop("nvidia-kernel-dkms")
    host.held.add("nvidia-open-kernel-dkms")
    assert host.look()["changes"] == []
    assert whats(host.look(module="proprietary"))[0] == "package nvidia-kernel-dkms"
    mismatched(host)
    assert host.look()["changes"] == []


def test_packages_of_the_site_s_driver_are_neither_held_nor_let_go(machine):
    host = machine("ubuntu22.04")
    host.gpu()
    host.works("570.1.2")
    host.packages = {"nvidia-headless-570-server": "570.1", "nvidia-utils-570-server": "570.1", "bash": "5"}
    host.held = {"nvidia-utils-570-server"}
    found = host.look()
    assert (found["changes"], found["unheld"], found["packaged"]) == ([], [], [])


def test_what_is_installed_decides_the_source_too(machine):
    host = machine()
    host.ours()
    assert host.look(source="nvidia")["changes"] == []


# --- a driver of the site's that does not do, or not quite ---

LOST = "Unable to determine the device handle for GPU0000:07:00.0: Unknown Error"


def loaded(host, version="570.86.15"):
    """A driver that the site has loaded, of no package."""
    host.gpu()
    host.write("sys/nvidia/version", f"{version}\n")
    return host


@pytest.mark.parametrize(
    ("smi", "says"),
    [
        (
            (14, "570.86.15, NVIDIA L4\nWARNING: infoROM is corrupted at gpu 0000:B3:00.0\n", ""),
            "infoROM is corrupted at",
        ),
        ((14, "570.86.15, NVIDIA L4\n", ""), "nvidia-smi ended with 14, infoROM is corrupted"),
        ((15, "570.86.15, NVIDIA L4\n" * 7 + LOST, ""), LOST),
        ((0, "570.86.15\n[GPU is lost]\n", ""), "[GPU is lost]"),
        ((255, "570.86.15\n", f"{LOST}\n"), LOST),
    ],
)
@pytest.mark.parametrize("policy", ["auto", "report"])
def test_a_driver_that_works_and_complains_is_left_alone_and_told_of(machine, smi, says, policy):
    host = loaded(machine())
    host.smi = smi
    found = host.look(reboot=policy)
    assert (found["changes"], found["restart"], found["version"]) == ([], "", "570.86.15")
    assert "gpu_driver: driver 570.86.15 works, but:" in found["notes"][0] and says in found["notes"][0]


def test_a_card_that_nvidia_smi_does_not_list_is_told_of(machine):
    host = loaded(machine())
    host.smi = (0, "570.86.15, NVIDIA H200\n" * 7, "")
    for number in range(8):
        host.write(f"cards/0000:0{number}:00.0/information")
    assert host.look()["notes"] == ["gpu_driver: nvidia-smi lists 7 of the 8 GPUs that driver 570.86.15 has"]


@pytest.mark.parametrize(
    ("smi", "says"),
    [
        ((124, "", "nvidia-smi did not answer within 30 s"), "(nvidia-smi did not answer within 30 s)"),
        ((6, "No devices were found\n", ""), "(No devices were found)"),
        ((15, "", f"{LOST}\n"), f"({LOST})"),
        ((12, "", ""), "(nvidia-smi ended with 12, NVML's library was not found)"),
        ((127, "", "not found"), "(nvidia-smi is missing); bring nvidia-smi and the libraries of version 570.86.15"),
    ],
)
@pytest.mark.parametrize("packages", [{}, {"nvidia-driver-570": "570.86.15-0ubuntu1"}, DRIVER])
@pytest.mark.parametrize("release", ["debian12", "ubuntu24.04", "rocky9", 'ID=strange\nVERSION_ID="1"\n'])
def test_a_loaded_driver_that_does_not_answer_is_refused_in_its_own_words(machine, smi, says, packages, release):
    host = loaded(machine(release))
    host.smi, host.packages = smi, packages
    with pytest.raises(RefusalError, match=re.escape(f"driver 570.86.15 is loaded and does not answer {says}")) as why:
        host.look(reboot="auto")
    assert "\n" not in str(why.value) and "it is the site's, and left as it is" in str(why.value)
    assert host.asked == ["nvidia-smi"]


@pytest.mark.parametrize(
    "smi",
    [
        (124, "", "nvidia-smi did not answer within 30 s"),
        (6, "No devices were found\n", ""),
        (9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", ""),
    ],
)
def test_an_nvidia_smi_that_is_all_there_is_of_a_driver_is_not_added_to(machine, smi):
    host = machine()
    host.gpu()
    host.smi = smi
    with pytest.raises(RefusalError, match=re.escape(f"installed (nvidia-smi) and not loaded ({smi[1].strip()}")):
        host.look()


def test_a_mismatch_that_only_nvidia_smi_tells_of_wants_a_restart(machine):
    host = machine()
    host.smi = (18, "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.95\n", "")
    assert host.look()["restart"] == "module of another version is loaded, the library is 580.95"
    host.write("container", "lxc\n")
    with pytest.raises(RefusalError, match="bring nvidia-smi and the libraries of its version"):
        host.look()


def test_the_kernel_s_other_file_tells_the_version_too(machine):
    host = machine()
    host.gpu()
    host.smi = (6, "No devices were found\n", "")
    host.write("about", "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\n")
    with pytest.raises(RefusalError, match=r"driver 580\.95\.05 is loaded"):
        host.look()


def test_a_driver_that_lacks_nothing_but_nvidia_smi_works(machine):
    host = loaded(machine())
    host.write("lib/x86_64-linux-gnu/libnvidia-ml.so.570.86.15")
    found = host.look()
    assert found["changes"] == []
    assert found["notes"] == ["gpu_driver: driver 570.86.15 works, but: nvidia-smi is missing"]


def test_the_gpu_operator_s_driver_is_left_to_it(machine):
    host = loaded(machine("ubuntu22.04"))
    host.write("run/nvidia/driver/usr/bin/nvidia-smi")
    with pytest.raises(RefusalError, match="it is the GPU Operator's"):
        host.look()


SITES = [
    *("nvidia-driver-570", "nvidia-driver-570-open", "nvidia-headless-570-server", "nvidia-dkms-570-server-open"),
    *("linux-modules-nvidia-570-server-6.8.0-1010-aws", "linux-objects-nvidia-535-6.8.0-40-generic", "cuda-drivers"),
    *("nvidia-driver", "nvidia-kernel-dkms", "nvidia-open-kernel-dkms", "nvidia-tesla-470-kernel-dkms"),
    *(
        "cuda-drivers-570",
        "nvidia-open",
        "nvidia-open-570",
        "nvidia-kernel-open-dkms",
        "nvidia-legacy-390xx-kernel-dkms",
    ),
]


@pytest.mark.parametrize("package", SITES)
@pytest.mark.parametrize("begun", [True, False])
def test_an_installed_driver_of_the_site_s_is_not_added_to(machine, package, begun):
    host = machine("ubuntu22.04", "5.15.0-105-generic")
    host.gpu()
    host.packages = {package: "570.1"}
    host.smi = (9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", "")
    if begun and package not in {"cuda-drivers-570", "nvidia-open-570", "nvidia-headless-570-server"}:
        host.write("modprobe.conf", host.wanted["modprobe"])  # left from a driver that the site has replaced since
    with pytest.raises(RefusalError, match=rf"a driver is installed \(package {re.escape(package)} 570\.1\)"):
        host.look()


@pytest.mark.parametrize(
    "package",
    ["nvidia-cuda-toolkit", "nvidia-docker2", "nvidia-fs-dkms", "nvidia-container-toolkit", "nvidia-modprobe"],
)
def test_what_is_nvidia_s_and_no_driver_does_not_keep_one_away(machine, package):
    host = machine()
    host.gpu()
    host.packages = {package: "1.0"}
    assert "package nvidia-kernel-dkms" in whats(host.look())


def test_a_module_that_no_package_owns_is_a_driver(machine):
    host = machine()
    host.gpu()
    host.write("modules/6.1.0-37-amd64/kernel/drivers/video/nvidia.ko")
    with pytest.raises(RefusalError, match=r"a driver is installed \(.*nvidia\.ko\).*'modprobe nvidia' loads it"):
        host.look()


def test_a_driver_that_dkms_could_not_build_is_told_by_its_package(machine):
    host = machine()
    host.gpu()
    host.unfinished = {"nvidia-kernel-dkms": "half-configured"}
    with pytest.raises(RefusalError, match=r"package nvidia-kernel-dkms is half-configured: 'dpkg --configure -a'"):
        host.look()


def test_an_install_of_the_role_s_that_was_cut_short_goes_on(machine):
    host = machine()
    host.gpu()
    host.write("modprobe.conf", "# Written by provisioner: the driver is being installed.\n")
    host.unfinished = {"nvidia-kernel-dkms": "half-configured"}
    host.packages = {"nvidia-smi": "535.309.01-0+deb12u1"}
    found = host.look()
    assert "package nvidia-kernel-dkms" in whats(found) and "package nvidia-smi" not in whats(found)
    assert whats(found)[-1].endswith("modprobe.conf")


def test_nvidia_s_own_packages_of_the_role_s_are_known_by_more_than_the_distribution_s_names(machine):
    host = machine()
    host.ours()
    host.works("580.95.05")
    host.packages = {
        "nvidia-open-580": "580.95.05-1",
        "nvidia-open-kernel-dkms": "580.95.05-1",
        "linux-headers-amd64": "6",
    }
    host.held = {"nvidia-open-580"}
    host.write("keyring", KEY)
    found = host.look(source="nvidia", fingerprints=[FINGERPRINT])
    assert found["unheld"] == ["nvidia-open-kernel-dkms"]
    assert not [what for what in whats(found) if what.startswith("package")]


def test_the_branch_of_the_role_s_driver_is_kept_though_it_does_not_answer(machine):
    host = machine("ubuntu22.04", "5.15.0-105-generic")
    host.gpu()
    host.write("modprobe.conf", host.wanted["modprobe"])
    host.write("sys/nvidia/version", "570.86.15")
    host.write("keyring", KEY)
    host.packages = {"nvidia-open-570": "570.124.06-0ubuntu1", "linux-headers-generic": "5"}
    host.smi = (18, "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 570.124\n", "")
    found = host.look(fingerprints=[FINGERPRINT])
    assert not [what for what in whats(found) if "nvidia-open" in what]
    assert found["restart"] == "module 570.86.15 is loaded, the library is 570.124"


@pytest.mark.parametrize("policy", ["auto", "report"])
def test_a_site_s_module_for_a_newer_kernel_wants_a_restart(machine, policy):
    host = machine("ubuntu22.04", "5.15.0-105-generic")
    host.gpu()
    host.packages = {"linux-modules-nvidia-570-server-generic": "5.15.0-106.116"}
    host.write("modules/5.15.0-105-generic/modules.dep")
    host.write("modules/5.15.0-106-generic/kernel/nvidia-570srv/nvidia.ko")
    found = host.look(reboot=policy)
    assert found["restart"] == "kernel 5.15.0-105-generic runs, and the module is for 5.15.0-106-generic"
    assert whats(found) == (["restart"] if policy == "auto" else [])


@pytest.mark.parametrize(("wanted", "kind"), [("open", "proprietary"), ("proprietary", "open")])
def test_another_module_than_the_site_s_is_refused(machine, wanted, kind):
    host = loaded(machine())
    host.works("570.86.15")
    name = "Open Kernel Module for x86_64" if kind == "open" else "x86_64 Kernel Module"
    host.write("about", f"NVRM version: NVIDIA UNIX {name}  570.86.15  Release Build\n")
    assert host.look(module=kind)["changes"] == []
    with pytest.raises(RefusalError, match=f"is the {kind} one, not the {wanted}"):
        host.look(module=wanted)


def test_the_vgpu_manager_is_told_of(machine):
    host = loaded(machine())
    host.works("570.86.15")
    host.write("sys/nvidia_vgpu_vfio/refcnt")
    assert "benchmark in a virtual machine" in host.look()["notes"][0]


def test_an_image_with_a_driver_of_the_site_s_is_left_alone_though_one_is_forced(machine):
    host = machine("ubuntu22.04", "5.15.0-105-generic")
    host.packages = {"nvidia-driver-570": "570.1"}
    assert host.look(force=True)["changes"] == []


# --- GPUs that something else has ---


def test_gpus_that_are_given_to_virtual_machines_are_none_of_this_host_s(machine):
    host = machine()
    for address in ("0000:01:00.0", "0000:02:00.0"):
        host.gpu(address, "vfio-pci")
    found = host.look()
    assert (found["changes"], found["skipped"]) == ([], "all NVIDIA GPUs are given away to vfio-pci")


def test_no_driver_is_brought_for_some_of_the_gpus(machine):
    host = machine()
    host.gpu("0000:01:00.0", "vfio-pci")
    host.gpu("0000:02:00.0", "nouveau")
    with pytest.raises(RefusalError, match=r"0000:01:00\.0 to vfio-pci is given away"):
        host.look()
    host.works("570.86.15")
    assert host.look()["changes"] == []


def test_in_a_container_the_driver_is_its_host_s(machine):
    host = machine()
    host.gpu()
    host.write("container", "lxc\n")
    with pytest.raises(RefusalError, match=r"this is a container \(lxc\)"):
        host.look()
    mismatched(host)
    with pytest.raises(
        RefusalError, match=r"version mismatch\); bring nvidia-smi and the libraries of version 535\.261"
    ):
        host.look(reboot="auto")
    host.works("580.95.05")
    assert host.look()["changes"] == []


def test_the_driver_of_wsl_is_windows(machine):
    host = machine("ubuntu24.04", "6.6.87.2-microsoft-standard-WSL2")
    host.write("wsl/nvidia-smi")
    host.smi = (9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", "")
    assert "this is WSL, whose driver is Windows' (NVIDIA-SMI has failed" in host.look(force=True)["skipped"]
    assert host.asked == [str(host.root / "wsl/nvidia-smi")]
    host.smi = (0, "581.57, NVIDIA GeForce RTX 4090\n", "")
    found = host.look()
    assert (found["changes"], found["skipped"], found["version"]) == ([], "", "581.57")


# --- what a driver of the role's would stumble over ---


def test_secure_boot_that_does_not_know_the_key_of_dkms_is_told_beforehand(machine):
    host = machine()
    host.gpu()
    host.write("secure_boot", "\x06\x00\x00\x00\x01")
    with pytest.raises(RefusalError, match="Secure Boot is on"):
        host.look()
    host.write("mok.pub")
    host.keys = f"{host.root}/mok.pub is already enrolled\n"
    assert "package nvidia-kernel-dkms" in whats(host.look())
    host.write("secure_boot", "\x06\x00\x00\x00\x00")
    host.keys = ""
    assert "package nvidia-kernel-dkms" in whats(host.look())


def test_what_the_site_holds_is_not_let_go(machine):
    host = machine()
    host.gpu()
    host.on_hold = "linux-headers-amd64\n"
    with pytest.raises(RefusalError, match=r"package linux-headers-amd64 is on hold here.*'apt-mark unhold"):
        host.look()


# --- a fresh host ---


def test_a_fresh_host_gets_driver_headers_source_and_nouveau_off(machine):
    host = machine()
    host.gpu()
    found = host.look()
    assert found["missing"] == [
        *("nvidia-kernel-dkms", "nvidia-smi", "libcuda1", "nvidia-persistenced"),
        *("linux-headers-amd64", "linux-headers-6.1.0-37-amd64"),
    ]
    assert whats(found)[0] == str(host.root / "own.sources")
    assert whats(found)[-1] == str(host.root / "modprobe.conf")
    assert found["source_text"] == f"# Written by provisioner: where the NVIDIA driver is.\n{LACKING}\n"
    assert found["source_off"]
    host.write("own.sources", found["source_text"])
    assert not host.look()["source_off"]


def test_a_host_whose_own_sources_have_the_driver_gets_none_of_ours(machine):
    host = machine()
    host.gpu()
    host.outcome = Outcome({"nvidia-smi": ("", "535.1-1"), "libx": ("1", "2")}, [], [], [], "")
    for source in ("distribution", "nvidia"):
        found = host.look(source=source)
        assert not found["source_off"] and not found["source_text"]
        assert {"what": "package nvidia-smi", "from": "absent", "to": "535.1-1"} in found["changes"]
        assert {"what": "package libx", "from": "1", "to": "2"} in found["changes"]


def test_an_image_gets_the_newest_kernels_headers_not_the_builders(machine):
    found = machine(kernel="6.18.44-builder").look(force=True)
    assert found["missing"][-1] == "linux-headers-amd64"


def test_a_role_that_has_converged_finds_nothing(machine):
    host = machine()
    host.ours()
    found = host.look()
    assert (found["changes"], found["restart"], found["notes"]) == ([], "", [])


# --- drift ---


def lose_module(host):
    (host.root / "modules/6.1.0-37-amd64/updates/dkms/nvidia-current.ko").unlink()


def unit(**properties):
    return lambda host: host.services["nvidia-persistenced.service"].update(properties)


@pytest.mark.parametrize(
    ("mutate", "what"),
    [
        (lambda host: host.packages.pop("libcuda1"), "package libcuda1"),
        (lambda host: host.packages.pop("linux-headers-amd64"), "package linux-headers-amd64"),
        (lambda host: host.held.discard("nvidia-smi"), "hold"),
        (lambda host: host.write("modprobe.conf", "blacklist other"), "/modprobe.conf"),
        (lose_module, "module for kernel 6.1.0-37-amd64"),
        (unit(UnitFileState="disabled"), "nvidia-persistenced.service"),
        (unit(UnitFileState="masked", LoadState="masked"), "nvidia-persistenced.service"),
        (unit(ActiveState="inactive"), "nvidia-persistenced.service"),
    ],
)
def test_drift_is_seen(machine, mutate, what):
    host = machine()
    host.ours()
    mutate(host)
    found = host.look()
    assert len(found["changes"]) == 1
    assert found["changes"][0]["what"].endswith(what)


@pytest.mark.parametrize(
    ("file", "is_driver"),
    [
        ("updates/dkms/nvidia.ko", True),
        ("updates/dkms/nvidia-current.ko.zst", True),
        ("updates/dkms/nvidia-current-open.ko", True),
        ("extra/nvidia.ko.xz", True),
        ("updates/dkms/nvidia-fs.ko", False),
        ("extra/nvidia-fs.ko.xz", False),
        ("updates/dkms/nvidia-current-uvm.ko", False),
    ],
)
def test_only_the_driver_s_own_module_counts(machine, file, is_driver):
    host = machine()
    host.ours()
    lose_module(host)
    host.write(f"modules/6.1.0-37-amd64/{file}")
    assert host.look()["unbuilt"] == ([] if is_driver else ["6.1.0-37-amd64"])


def test_dkms_builds_what_the_driver_s_package_left(tmp_path):
    text = 'PACKAGE_NAME="{0}"\nPACKAGE_VERSION="{1}"\nBUILT_MODULE_NAME[0]="{2}"\nBUILT_MODULE_NAME[1]="nvidia-uvm"\n'
    for folder, values in {
        "nvidia-current-535.309.01": ("nvidia-current", "535.309.01", "nvidia"),
        "nvidia-fs-2.17.5": ("nvidia-fs", "2.17.5", "nvidia-fs"),
    }.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "dkms.conf").write_text(text.format(*values))
    assert dkms.package(tmp_path) == ("nvidia-current", "535.309.01")
    (tmp_path / "nvidia-current-535.309.01/dkms.conf").unlink()
    assert dkms.package(tmp_path) is None


def test_an_installed_module_is_loaded_without_a_restart(machine):
    host = machine()
    host.ours()
    (host.root / "sys/nvidia/version").unlink()
    host.smi = (9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", "")
    found = host.look()
    assert (found["load"], found["restart"]) == (True, "")
    assert whats(found) == ["kernel module nvidia"]


# --- an exact version ---


@pytest.mark.parametrize("branch", ["535", "535.309", "535.309.01"])
def test_a_driver_of_the_exact_version_is_kept_and_mended(machine, branch):
    host = machine()
    host.ours()
    assert host.look(branch=branch)["changes"] == []
    host.packages.pop("libcuda1")
    assert whats(host.look(branch=branch)) == ["package libcuda1"]


@pytest.mark.parametrize("source", ["distribution", "nvidia"])
def test_an_exact_version_is_not_installed(machine, source):
    host = machine()
    host.gpu()
    with pytest.raises(RefusalError, match="set gpu_driver_branch to 535"):
        host.look(branch="535.95", source=source)


# --- restarts ---


def mismatched(host):
    host.smi = (18, "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 535.309\n", "")
    host.write("sys/nvidia/version", "535.261.03")


def old_kernel(host):
    host.smi = (9, "", "")
    (host.root / "sys/nvidia/version").unlink()
    (host.root / "modules/6.1.0-37-amd64").rename(host.root / "modules/6.1.0-38-amd64")
    host.write("modules/6.1.0-37-amd64/vmlinuz")


def nouveau(host):
    host.smi = (9, "", "")
    (host.root / "sys/nvidia/version").unlink()
    host.write("sys/nouveau/refcnt", "1")


def fresh(host):
    """Under a kernel that has taken the GPU by itself."""
    host.packages.clear()
    nouveau(host)


REASONS = {
    mismatched: "module 535.261.03 is loaded, the library is 535.309",
    nouveau: "nouveau holds the GPU",
}


@pytest.mark.parametrize("why", REASONS, ids=lambda why: why.__name__)
@pytest.mark.parametrize("policy", ["auto", "report", "never"])
def test_a_restart_is_made_only_where_it_is_allowed(machine, why, policy):
    host = machine()
    host.ours()
    why(host)
    found = host.look(reboot=policy)
    assert found["restart"] == REASONS[why]
    assert whats(found) == (["restart"] if policy == "auto" else [])
    assert found["restart_now"] is (policy == "auto")
    assert any("needs a restart" in note for note in found["notes"]) is (policy != "auto")
    assert found["reboot_required"] is (policy == "report")


@pytest.mark.parametrize("policy", ["auto", "report", "never"])
def test_a_restart_that_is_to_come_is_told_while_packages_are_missing(machine, policy):
    host = machine()
    host.ours()
    fresh(host)
    found = host.look(reboot=policy)
    assert "package nvidia-kernel-dkms" in whats(found)
    assert ("restart" in whats(found)) is (policy == "auto")
    assert found["restart"] == "nouveau holds the GPU"
    assert any("needs a restart" in note for note in found["notes"]) is (policy != "auto")
    assert found["reboot_required"] is (policy == "report")


@pytest.mark.parametrize("answers", [True, False])
def test_a_change_of_branch_under_a_loaded_driver_wants_a_restart(machine, answers):
    host = machine()
    host.ours()
    if not answers:
        host.smi = (127, "", "not found")
    found = host.look(branch="580", source="nvidia", reboot="auto")
    assert "package nvidia-open-580" in whats(found)
    assert found["changes"][-1]["from"].startswith("driver 535.309.01 runs")


def test_the_module_for_the_running_kernel_may_still_come_with_its_packages(machine):
    host = machine()
    host.gpu()
    assert host.look(reboot="auto")["restart"] == ""


def test_the_machine_that_this_runs_on_is_never_restarted(machine):
    host = machine()
    host.ours()
    mismatched(host)
    here = {
        "machine_id": Path("/etc/machine-id").read_text().strip(),
        "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
    }
    for wanted in ({"local": True}, {"controller": here}):
        found = host.look(reboot="auto", **wanted)
        assert (found["changes"], found["restart_now"], found["reboot_required"]) == ([], False, True)
        assert "it is the machine that this runs on" in found["notes"][-1]


def test_a_mismatch_is_named_whoever_installed_the_driver(machine):
    host = machine()
    host.gpu()
    mismatched(host)
    found = host.look()
    assert "driver/library version mismatch: module 535.261.03 is loaded" in found["notes"][0]
    assert (found["restart"], found["changes"], found["unheld"]) == (found["mismatch"], [], [])
    assert whats(host.look(reboot="auto")) == ["restart"]


def test_a_mismatch_in_a_container_host_is_no_missing_gpu(machine):
    host = machine()
    mismatched(host)
    assert host.look()["skipped"] == ""


def test_a_mismatch_is_seen_without_nvidia_smi(machine):
    host = machine()
    host.gpu()
    host.write("sys/nvidia/version", "535.261.03\n")
    host.write("lib/x86_64-linux-gnu/libnvidia-ml.so.535.309.01")
    assert host.look()["mismatch"] == "module 535.261.03 is loaded, the library is 535.309.01"


def test_a_module_for_another_kernel_wants_a_restart(machine):
    host = machine()
    host.ours()
    host.packages["linux-headers-6.1.0-37-amd64"] = "6.1"
    old_kernel(host)
    assert "kernel 6.1.0-37-amd64 runs" in host.look()["restart"]


# --- what cannot be served ---


@pytest.mark.parametrize(
    ("wanted", "prepare", "says"),
    [
        ({"branch": "580"}, lambda host: None, "has the driver of branch 535, not 580"),
        ({"branch": "580"}, lambda host: host.works("550.1.2"), "driver 550.1.2 is there, not of branch 580"),
        ({}, lambda host: host.write("nvidia-uninstall"), "run 'nvidia-uninstall'"),
        ({}, lambda host: setattr(host, "release", 'ID=strange\nVERSION_ID="1"\n'), "strange1 are not known"),
        (
            {"source": "nvidia"},
            lambda host: setattr(host, "release", RELEASES["debian13"]),
            "set gpu_driver_key_fingerprint",
        ),
    ],
)
def test_a_refusal_is_one_line_with_its_remedy(machine, wanted, prepare, says):
    host = machine()
    host.gpu()
    prepare(host)
    with pytest.raises(RefusalError, match=re.escape(says)) as refusal:
        host.look(**wanted)
    assert "\n" not in str(refusal.value)


def test_a_kernel_without_headers_is_refused(machine):
    host = machine(kernel="6.6.6-mine")
    host.gpu()
    with pytest.raises(RefusalError, match=r"6\.6\.6-mine is not Debian 12's and has no headers"):
        host.look()
    host.write("modules/6.6.6-mine/build/Makefile")
    assert not [name for name in host.look()["missing"] if "headers" in name]


def test_a_proxmox_kernel_without_headers_is_told_which(machine):
    host = machine(kernel="6.8.12-4-pve")
    host.gpu()
    with pytest.raises(RefusalError, match=r"'apt-get install proxmox-headers-6\.8\.12-4-pve'"):
        host.look()


def test_a_gpu_that_does_not_answer_though_all_is_there_is_told(machine):
    host = machine()
    host.ours()
    host.smi = (6, "No devices were found\n", "")
    with pytest.raises(RefusalError, match=r"does not answer \(No devices were found\)"):
        host.look()


def test_another_key_on_the_host_is_drift(machine):
    host = machine()
    host.gpu()
    host.write("keyring", KEY)
    what = "signing key of nvidia-cuda"
    found = host.look(source="nvidia")
    assert any(FINGERPRINT in each["from"] for each in found["changes"] if each["what"] == what)
    assert found["source_off"]
    assert what not in whats(host.look(source="nvidia", fingerprints=[FINGERPRINT]))


@pytest.mark.parametrize("name", RELEASES)
def test_a_site_s_mirror_and_its_key_take_the_place_of_nvidia_s(machine, name):
    host = machine(name, KERNELS[name][0])
    host.gpu()
    found = host.look(source="nvidia", repository="https://mirror/{cuda}", fingerprints=[FINGERPRINT])
    (repository,) = found["repositories"].values()
    assert repository["url"].startswith("https://mirror/{cuda}/") and repository["url"].rstrip("/").endswith("/x86_64")
    assert repository["key_url"].startswith("https://mirror/{cuda}/") and repository["fingerprints"] == [FINGERPRINT]


# --- NVSwitch ---


def test_nvswitches_without_their_fabric_manager_are_told(machine):
    host = machine()
    host.ours()
    host.write("pci/0000:02:00.0/vendor", "0x10de\n")
    host.write("pci/0000:02:00.0/class", "0x068000\n")
    (note,) = host.look()["notes"]
    assert "nvidia-fabricmanager.service" in note and "535.309.01" in note
    host.services["nvidia-fabricmanager.service"] = {"ActiveState": "active"}
    assert host.look()["notes"] == []


def test_a_container_s_fabric_manager_is_its_host_s(machine):
    host = machine()
    host.systemd = False
    host.works("580.95.05")
    host.write("pci/0000:02:00.0/vendor", "0x10de\n")
    host.write("pci/0000:02:00.0/class", "0x068000\n")
    assert host.look()["notes"] == []
