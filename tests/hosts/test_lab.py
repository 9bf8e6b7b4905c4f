"""The lab, asked for real: are its hosts what a bare machine is, and does nothing of it stay?"""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from lab_hosts import passing_labs

from provisioner import lab as labs
from provisioner.errors import ProvisionerError
from provisioner.lab import Lab

ROOT = Path(__file__).resolve().parents[2]

MakeLab = Callable[..., Lab]
Ansible = Callable[..., subprocess.CompletedProcess[str]]
Ask = Callable[..., subprocess.CompletedProcess[str]]

# An engine's container that needs no image from anywhere: one static program.
RUN_CONTAINER = """
mkdir -p /tmp/rootfs/bin && cp /bin/busybox /tmp/rootfs/bin/sh
tar -C /tmp/rootfs -c . | docker import - tiny >/dev/null
docker run --rm tiny sh -c 'echo inside as pid $$'
"""


@pytest.fixture
def make_lab(engine: docker.DockerClient, lab_name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeLab]:
    """As elsewhere, but gone after each test: this module makes more hosts than a kernel runs at once as it comes."""
    with passing_labs(lab_name, tmp_path_factory.mktemp("state")) as make:
        yield make


@pytest.fixture
def begun(engine: docker.DockerClient, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Begin `lab up` in a process of its own and give it as soon as the first host boots."""
    processes = []

    def begin(name: str, count: int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "provisioner", "lab", "up", "-n", str(count)),
                *("--name", name, "--state-dir", str(tmp_path)),
            ],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            if line.endswith("boots\n"):
                return process
            said.append(line)
        raise AssertionError(f"the command ended before a host booted: {''.join(said)}")

    yield begin
    for process in processes:
        process.kill()
        process.communicate()
    for one in labs.status(tmp_path):
        labs.down(one.name, tmp_path, report=print)


def left(engine: docker.DockerClient, name: str) -> list[str]:
    """What the engine has of a lab, by its label or by its name."""
    label = {"label": f"provisioner.lab={name}"}
    named = {"name": f"provisioner-{name}"}
    return [
        str(one.name)
        for kind in (engine.containers, engine.volumes, engine.networks)
        for filters in (label, named)
        for one in kind.list(filters=filters, **({"all": True} if kind is engine.containers else {}))
    ]


def test_ansible_reaches_every_host_with_host_keys_checked(lab: Lab, ansible: Ansible) -> None:
    done = ansible(lab, "all", "-m", "ansible.builtin.ping")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(re.findall(r"^(\S+) \| SUCCESS", done.stdout, re.MULTILINE)) == [h.name for h in lab.hosts]
    assert "WARNING" not in done.stderr


def test_hosts_are_machines_of_their_own(lab: Lab, ask: Ask) -> None:
    questions = "cat /proc/1/comm; systemctl is-system-running; hostname; cat /etc/machine-id; ip -4 -o addr show eth0"
    answers = {host.name: ask(lab, host.name, questions).stdout.splitlines() for host in lab.hosts}
    for host in lab.hosts:
        init, running, name, machine, address = answers[host.name]
        assert (init, running, name) == ("systemd", "running", host.name)
        assert re.fullmatch(r"[0-9a-f]{32}", machine)
        assert f" {host.address}/" in address
    assert len({answer[3] for answer in answers.values()}) == len(lab.hosts)
    known = (lab.inventory.parent / "known_hosts").read_text(encoding="utf-8").split()
    assert len(set(known[2::3])) == len(lab.hosts)


def test_a_host_is_bare(lab: Lab, ask: Ask) -> None:
    assert ask(lab, lab.hosts[0].name, "command -v docker node nvidia-smi devcontainer", check=False).stdout == ""


def test_lab_ssh_runs_a_command_with_its_exit_code_and_its_streams(lab: Lab) -> None:
    def ssh(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "provisioner", "lab", "ssh", "--state-dir", str(lab.inventory.parents[2])]
        return subprocess.run([*command, *words], cwd=ROOT, input=given, capture_output=True, text=True, check=False)

    host = lab.hosts[1].name
    done = ssh(host, "--", "hostname; cat; echo told >&2; exit 7", given="given")
    assert (done.returncode, done.stdout, done.stderr) == (7, f"{host}\ngiven", "told\n")
    assert ssh(host, "echo", "-n", "--", "--help", "$((1+2))").stdout == "-- --help 3"  # another program's options
    assert ssh(host, given="hostname\nexit 5\n").returncode == 5
    wrong = ssh(host.replace("-", "_"))
    assert wrong.returncode == 2 and "no lab has a host" in wrong.stderr and "did you mean" in wrong.stderr


def test_passwords_and_other_keys_are_refused(lab: Lab, ask: Ask, tmp_path: Path) -> None:
    host = lab.hosts[0].name
    password = ask(lab, host, "true", "-o", "PreferredAuthentications=password", check=False)
    assert password.returncode == 255
    assert "Permission denied (publickey)" in password.stderr

    stranger = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger], check=True)
    copy = tmp_path / "inventory.yml"
    text = lab.inventory.read_text(encoding="utf-8")
    copy.write_text(text.replace(str(lab.inventory.parent / "id_ed25519"), str(stranger)), encoding="utf-8")
    other = ask(Lab(lab.name, copy, lab.hosts), host, "true", check=False)
    assert other.returncode == 255
    assert "Permission denied" in other.stderr


def test_a_host_with_another_key_is_not_talked_to(lab: Lab, ask: Ask, tmp_path: Path) -> None:
    known = lab.inventory.parent / "known_hosts"
    first, second = known.read_text(encoding="utf-8").splitlines()[:2]
    swapped = tmp_path / "known_hosts"
    swapped.write_text(f"{first.split()[0]} ssh-ed25519 {second.split()[2]}\n", encoding="utf-8")
    copy = tmp_path / "inventory.yml"
    copy.write_text(lab.inventory.read_text(encoding="utf-8").replace(str(known), str(swapped)), encoding="utf-8")
    done = ask(Lab(lab.name, copy, lab.hosts), lab.hosts[0].name, "true", check=False)
    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr


@pytest.mark.parametrize("debian", [12, 13])
def test_a_host_runs_an_engine_of_its_own_and_reboots(make_lab: MakeLab, ask: Ask, debian: int) -> None:
    made = make_lab(f"engine{debian}", debian=debian)
    host = made.hosts[0].name
    assert ask(made, host, ". /etc/os-release; echo $ID $VERSION_ID").stdout == f"debian {debian}\n"
    engine = "docker.io iptables" if debian == 12 else "docker.io docker-cli iptables"
    install = "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends"
    ask(made, host, f"apt-get -qq update && {install} {engine} busybox-static")
    assert ask(made, host, RUN_CONTAINER).stdout == "inside as pid 1\n"
    assert "overlay2" in ask(made, host, "docker info --format '{{.Driver}}'").stdout

    started = "systemctl show --property=UserspaceTimestamp"
    before = ask(made, host, f"touch /root/kept; {started}").stdout
    ask(made, host, "systemctl reboot", check=False)
    deadline = time.monotonic() + 60
    after = before
    while after == before or "UserspaceTimestamp" not in after:
        assert time.monotonic() < deadline, "the host did not come back at its address, with its key"
        time.sleep(0.5)
        after = ask(made, host, started, check=False).stdout
    assert ask(made, host, "test -f /root/kept && systemctl is-system-running --wait").stdout == "running\n"
    assert ask(made, host, RUN_CONTAINER).stdout == "inside as pid 1\n"


def test_an_unprivileged_user_becomes_root_by_sudo_only(make_lab: MakeLab, ansible: Ansible, ask: Ask) -> None:
    made = make_lab("user", user="fred")
    host = made.hosts[0].name
    assert ask(made, host, "id -un; sudo -n id -un").stdout == "fred\nroot\n"
    assert "root" in ansible(made, "all", "-b", "-a", "id -un").stdout
    root = made.inventory.read_text(encoding="utf-8").replace("ansible_user: fred", "ansible_user: root")
    made.inventory.write_text(root, encoding="utf-8")
    refused = ask(made, host, "true", check=False)
    assert refused.returncode == 255
    assert "Permission denied" in refused.stderr


def test_up_again_adds_what_is_missing_and_leaves_the_rest(
    make_lab: MakeLab, engine: docker.DockerClient, ask: Ask
) -> None:
    made = make_lab("grow")
    first = engine.containers.get(f"provisioner-{made.hosts[0].name}")
    grown = make_lab("grow", count=3, debian=13)
    assert [host.name for host in grown.hosts] == [f"{made.name}-{number}" for number in (1, 2, 3)]
    assert [host.debian for host in grown.hosts] == [12, 13, 13]
    assert make_lab("grow", count=2) == grown
    now = engine.containers.get(first.name or "")
    assert (now.id, now.attrs["State"]["StartedAt"]) == (first.id, first.attrs["State"]["StartedAt"])

    engine.containers.get(f"provisioner-{made.name}-2").stop(timeout=20)
    assert make_lab("grow", count=3) == grown
    assert {ask(grown, host.name, "hostname").stdout.strip() for host in grown.hosts} == {
        host.name for host in grown.hosts
    }


def test_down_leaves_nothing(engine: docker.DockerClient, lab_name: str, tmp_path: Path, ask: Ask) -> None:
    name = f"{lab_name}-gone"
    images = {image.id for image in engine.images.list()}
    made = labs.up(name, 2, 12, "root", tmp_path, print)
    images |= {image.id for image in engine.images.list(filters={"label": "provisioner.lab.image"})}
    ask(made, made.hosts[0].name, "echo data > /var/lib/docker/data")
    assert [one.name for one in labs.status(tmp_path)] == [name]
    assert len(left(engine, name)) > 0

    labs.down(name, tmp_path, report=print)
    assert left(engine, name) == []
    assert list(tmp_path.iterdir()) == []
    assert labs.status(tmp_path) == []
    assert images <= {image.id for image in engine.images.list()}
    labs.down(name, tmp_path, report=print)


@pytest.mark.parametrize("ended", [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"])
def test_up_that_is_interrupted_takes_back_what_it_made(
    begun: Callable[..., subprocess.Popen[str]],
    engine: docker.DockerClient,
    lab_name: str,
    tmp_path: Path,
    ended: tuple[signal.Signals, int],
) -> None:
    number, code = ended
    name = f"{lab_name}-cut"
    process = begun(name, 4)
    assert left(engine, name) != []
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in said) == (code, False)
    assert left(engine, name) == []
    assert list(tmp_path.iterdir()) == []


def test_up_that_is_killed_is_mended_by_the_next(
    begun: Callable[..., subprocess.Popen[str]],
    engine: docker.DockerClient,
    lab_name: str,
    tmp_path: Path,
    ask: Ask,
) -> None:
    name = f"{lab_name}-kill"
    process = begun(name, 3)
    process.kill()
    process.wait()
    mended = labs.up(name, 3, 12, "root", tmp_path, print)
    assert all(ask(mended, host.name, "hostname").stdout.strip() == host.name for host in mended.hosts)
    labs.down(name, tmp_path, report=print)
    assert left(engine, name) == []


def test_a_dress_is_put_on_once_and_a_host_without_it_is_made_anew(make_lab: MakeLab, ask: Ask) -> None:
    def greetings() -> str:
        return ask(dressed, host, "echo; grep -c Welcome /root/.bashrc").stdout.splitlines()[-1]

    dressed = make_lab("dressed", 0, None, dresses=("talkative-shell",))
    host = dressed.hosts[0].name
    assert host.endswith("-dressed-talkative-shell") and dressed.hosts[0].dress == "talkative-shell"
    assert greetings() == "1"
    grown = make_lab("dressed", 1, None, dresses=("talkative-shell",))
    assert [one.dress for one in grown.hosts] == ["talkative-shell", ""]
    assert greetings() == "1"

    # As where `up` was killed while the script ran.
    ask(dressed, host, "touch /root/half-dressed")
    (dressed.inventory.parent / f"{host}.dressed").unlink()
    make_lab("dressed", 0, None, dresses=("talkative-shell",))
    assert ask(dressed, host, "ls /root/half-dressed", check=False).returncode != 0
    assert greetings() == "1"


def test_a_lab_of_another_state_directory_is_left_alone(lab: Lab, tmp_path: Path) -> None:
    for attempt in (
        lambda: labs.up(lab.name, 1, 12, "root", tmp_path, print),
        lambda: labs.down(lab.name, tmp_path, report=print),
    ):
        with pytest.raises(ProvisionerError, match=r"belongs to the state directory .*; name that one") as caught:
            attempt()
        assert caught.value.code == 2
    assert lab.inventory.exists()
    assert labs.status(tmp_path) == []
