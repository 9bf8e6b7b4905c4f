"""Role gpu_driver on real hosts: Debian's own driver, built for a Debian kernel; restarts; what is left alone.

No host here has a GPU, so where an nvidia-smi must answer it is a stand-in, and the test says so. The driver's install
takes minutes, most of them a compiler's: it goes on, on a host of its own, while the other tests run on another.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner.lab import Lab

ROOT = Path(__file__).resolve().parents[2]

Ask = Callable[..., subprocess.CompletedProcess[str]]
Play = Callable[..., "Played"]

PLAY = """
- hosts: all
  become: true
  gather_facts: false
  vars_files: ["{root}/inventory/profiles/registries.yml"]
  environment: "{{{{ site_environment }}}}"
  roles: [provisioner.gpu_hosts.gpu_driver]
  post_tasks:
    - ansible.builtin.debug:
        msg: "restart required: {{{{ gpu_driver_state.reboot_required | default(false) }}}}"
"""

# It stands in for the one of a driver that was upgraded under a loaded module: until the host has restarted (/run is
# then empty) it says what the real one says, and afterwards it answers.
UPGRADED_SMI = """#!/bin/sh
if [ -e /run/upgraded ]; then
  echo 'Failed to initialize NVML: Driver/library version mismatch'
  echo 'NVML library version: 580.95'
  exit 18
fi
echo 580.95.05
"""


class Played:
    """A play that has ended: its output and its recap's figures."""

    def __init__(self, code: int, text: str) -> None:
        # Warnings are wrapped.
        self.code, self.text = code, re.sub(r"\s+", " ", text)
        recap = text.rsplit("RECAP", maxsplit=1)[-1]
        self.figures = {name: int(number) for name, number in re.findall(r"\b(\w+)=(\d+)", recap)}

    @property
    def changed(self) -> int:
        assert self.code == 0, self.text[-6000:]
        return self.figures["changed"]


@pytest.fixture(scope="module")
def begin(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.Popen[str]]:
    """Begin the role on a host: `begin(lab, host, "--check", name=value)`; keywords are its variables."""
    file = tmp_path_factory.mktemp("play") / "play.yml"
    file.write_text(PLAY.format(root=ROOT), encoding="utf-8")

    def start(lab: Lab, host: str, *options: str, **variables: str) -> subprocess.Popen[str]:
        given = [word for name, value in variables.items() for word in ("-e", f"gpu_driver_{name}={value}")]
        return subprocess.Popen(
            [Path(sys.executable).parent / "ansible-playbook", "-i", lab.inventory, "-l", host, *given, *options, file],
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


@pytest.fixture(scope="module")
def play(begin: Callable[..., subprocess.Popen[str]]) -> Play:
    """Run the role on a host to its end, with the options and variables of `begin`."""

    def run(*arguments: object, **variables: str) -> Played:
        process = begin(*arguments, **variables)
        text, _ = process.communicate(timeout=900)
        return Played(process.returncode, text)

    return run


@pytest.fixture(scope="module")
def hosts(make_lab: Callable[..., Lab]) -> Lab:
    """Two hosts: the first gets the driver, the second is for all else."""
    return make_lab("gpu", count=2)


@pytest.fixture(scope="module")
def converging(hosts: Lab, begin: Callable[..., subprocess.Popen[str]]) -> Iterator[subprocess.Popen[str]]:
    """The driver's install on the first host, as it goes on."""
    process = begin(hosts, hosts.hosts[0].name, force="true")
    yield process
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def converged(converging: subprocess.Popen[str]) -> Played:
    """That install, when it has ended."""
    text, _ = converging.communicate(timeout=1800)
    return Played(converging.returncode, text)


@pytest.fixture(scope="module", autouse=True)
def begun(request: pytest.FixtureRequest) -> None:
    """Have the install begin before the first test, if a test that was chosen wants it."""
    if any("converged" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("converging")


@pytest.fixture(scope="module")
def spare(hosts: Lab, play: Play) -> str:
    """The host that gets no driver; it has the site's CA bundle already, where this site has one."""
    host = hosts.hosts[1].name
    assert play(hosts, host).code == 0
    return host


@pytest.fixture
def upgraded(hosts: Lab, spare: str, ask: Ask) -> Iterator[None]:
    """A stand-in for nvidia-smi on the spare host, whose driver was upgraded since it started."""
    ask(hosts, spare, f"cat > /usr/local/bin/nvidia-smi <<'END'\n{UPGRADED_SMI}END\nchmod +x /usr/local/bin/nvidia-smi")
    ask(hosts, spare, "touch /run/upgraded")
    yield
    ask(hosts, spare, "rm -f /usr/local/bin/nvidia-smi /run/upgraded")


def started(lab: Lab, host: str, ask: Ask) -> str:
    return ask(lab, host, "systemctl show --property=UserspaceTimestamp").stdout


def test_without_a_gpu_the_role_says_so_and_changes_nothing(hosts: Lab, spare: str, play: Play, ask: Ask) -> None:
    files = "find /etc -newer /etc/machine-id -type f -not -path '*/provisioner/*' | sort; dpkg -l | sha256sum"
    before = ask(hosts, spare, files).stdout
    done = play(hosts, spare)
    assert done.changed == 0
    assert "no NVIDIA GPU on the PCI bus" in done.text
    assert ask(hosts, spare, files).stdout == before


def test_check_mode_tells_of_changes_and_makes_none(hosts: Lab, spare: str, play: Play, ask: Ask) -> None:
    done = play(hosts, spare, "--check", force="true")
    assert done.changed == 1
    assert "package nvidia-kernel-dkms" in done.text
    assert ask(hosts, spare, "ls /etc/apt/sources.list.d /etc/modprobe.d").stdout.count("provisioner") == 0


def test_what_the_distribution_does_not_have_is_refused(
    hosts: Lab, spare: str, play: Play, provisioner: Callable[..., Any]
) -> None:
    why = "Debian 12 has the driver of branch 535, not 580; set gpu_driver_branch"
    done = play(hosts, spare, force="true", branch="580")
    assert done.code == 2
    assert why in done.text
    options = (
        "--limit",
        spare,
        "--profile",
        "registries",
        "-e",
        "gpu_driver_force=true",
        "-e",
        "gpu_driver_branch=580",
    )
    for command in ("plan", "prepare"):
        told = provisioner(command, "-i", hosts.inventory, *options, "--json")
        assert told.code == 1
        assert why in told.stderr


def test_a_key_that_is_not_the_pinned_one_is_refused(hosts: Lab, spare: str, play: Play, ask: Ask) -> None:
    key = (ROOT / "tests/unit/data/gpu_driver/key.asc").read_text(encoding="utf-8")
    ask(hosts, spare, f"mkdir -p /srv/debian12/x86_64 && cat > /srv/debian12/x86_64/3bf863cc.pub <<'END'\n{key}END")
    done = play(hosts, spare, force="true", source="nvidia", repository="file:///srv")
    assert done.code == 2
    assert "not EB693B3035CD5710E231E123A4B469963BF863CC; nothing was changed" in done.text
    assert ask(hosts, spare, "ls /etc/apt/keyrings /etc/apt/sources.list.d").stdout.count("provisioner") == 0


@pytest.mark.usefixtures("upgraded")
@pytest.mark.parametrize("policy", ["report", "never"])
def test_a_mismatch_is_named_and_the_host_not_restarted(
    hosts: Lab, spare: str, play: Play, ask: Ask, policy: str
) -> None:
    before = started(hosts, spare, ask)
    done = play(hosts, spare, reboot=policy)
    assert done.changed == 0, done.text
    assert "driver/library version mismatch" in done.text
    assert f"restart required: {policy == 'report'}" in done.text
    assert started(hosts, spare, ask) == before


@pytest.mark.usefixtures("upgraded")
def test_a_mismatch_is_mended_by_a_restart_and_the_play_goes_on(hosts: Lab, spare: str, play: Play, ask: Ask) -> None:
    before = started(hosts, spare, ask)
    assert play(hosts, spare, "--check", reboot="auto").changed == 1
    done = play(hosts, spare, reboot="auto")
    assert done.changed >= 1
    assert "restart required: False" in done.text
    assert started(hosts, spare, ask) != before
    again = play(hosts, spare, reboot="auto")
    assert (again.changed, "mismatch" in again.text) == (0, False)


@pytest.mark.usefixtures("upgraded")
def test_the_machine_that_this_runs_on_is_not_restarted(hosts: Lab, spare: str, play: Play, ask: Ask) -> None:
    # A lab host has this machine's kernel and its boot id; with its machine id too it is this machine, over SSH.
    before = started(hosts, spare, ask)
    ask(hosts, spare, f"echo {Path('/etc/machine-id').read_text(encoding='utf-8').strip()} > /etc/machine-id")
    done = play(hosts, spare, reboot="auto")
    assert done.changed == 0
    assert "it is the machine that this runs on" in done.text
    assert started(hosts, spare, ask) == before


def test_the_driver_is_built_held_and_kept(hosts: Lab, converged: Played, play: Play, ask: Ask) -> None:
    host = hosts.hosts[0].name
    assert converged.changed > 0

    status = ask(hosts, host, "dkms status").stdout
    assert re.fullmatch(r"nvidia-current/535[.\d]+, [\d.]+-\d+-amd64, x86_64: installed\n", status)
    kernel = status.split(", ")[1]
    module = ask(hosts, host, f"modinfo -F version /lib/modules/{kernel}/updates/dkms/nvidia-current.ko").stdout.strip()
    library = ask(hosts, host, "dpkg-query -W -f '${Version}' libcuda1").stdout
    assert library.startswith(f"{module}-")
    assert "blacklist nouveau" in ask(hosts, host, "modprobe --showconfig").stdout
    assert ask(hosts, host, "systemctl is-enabled nvidia-persistenced").stdout == "enabled\n"
    assert "non-free" not in ask(hosts, host, "cat /etc/apt/sources.list").stdout

    # As unattended-upgrades would: to another version, of a driver that could be had there.
    ask(hosts, host, "apt-get -qq update")
    planned = ask(hosts, host, "apt-get --simulate --option Debug::NoLocking=1 dist-upgrade").stdout
    assert not re.search(r"^Inst (nvidia-(?!container)|lib(nvidia|cuda))", planned, re.MULTILINE)
    held = set(ask(hosts, host, "apt-mark showhold").stdout.split())
    assert {"nvidia-kernel-dkms", "nvidia-smi", "libcuda1", "libnvidia-ml1", "nvidia-persistenced"} <= held

    again = play(hosts, host, force="true")
    assert again.changed == 0


def test_drift_is_seen_and_mended_and_nothing_else_touched(
    hosts: Lab, converged: Played, play: Play, ask: Ask, provisioner: Callable[..., Any]
) -> None:
    host = hosts.hosts[0].name
    assert converged.code == 0
    files = "cat /etc/apt/sources.list.d/provisioner* /etc/modprobe.d/provisioner*; apt-mark showhold; dkms status"
    wanted = ask(hosts, host, files).stdout
    # The file's being there is what makes the driver the role's.
    ask(hosts, host, "apt-mark unhold libcuda1 nvidia-smi && echo '#' > /etc/modprobe.d/provisioner-gpu-driver.conf")
    ask(hosts, host, "systemctl mask nvidia-persistenced && dpkg --remove --force-depends nvidia-smi")
    options = ("--limit", host, "--profile", "registries", "-e", "gpu_driver_force=true", "--json")
    planned = provisioner("plan", "-i", hosts.inventory, *options)
    assert planned.code == 5
    changes = [change for change in planned.json["hosts"][host]["changes"] if change["role"] == "gpu_driver"]
    assert {change["what"] for change in changes} - {"apt's package lists"} == {
        "/etc/modprobe.d/provisioner-gpu-driver.conf",
        "package nvidia-smi",
        "hold",
    }
    assert {change["to"] for change in changes if change["what"] == "hold"} >= {"libcuda1"}
    assert play(hosts, host, force="true").changed > 0
    assert ask(hosts, host, files).stdout == wanted
    assert ask(hosts, host, "systemctl is-enabled nvidia-persistenced").stdout == "enabled\n"
    assert play(hosts, host, force="true").changed == 0
