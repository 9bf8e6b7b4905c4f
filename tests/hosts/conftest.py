"""What the tests on real hosts share: throwaway hosts to run on, and ways to ask them things."""

import io
import json
import shlex
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

import crash
import docker
import pytest
import short
import yaml
from lab_hosts import PLAIN, engine, lab_name, passing_labs

from provisioner.lab import Lab, outside

__all__ = ["engine", "lab_name"]  # fixtures

Ask = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.hosts)


@pytest.fixture(scope="module")
def make_lab(
    engine: docker.DockerClient, lab_name: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Lab]]:
    """Make hosts: `make_lab("purpose", count=1, debian=12, user="root", stand_ins=False)`.

    They are gone after the module's tests: a kernel runs some twelve at once as it comes.
    """
    with passing_labs(lab_name, tmp_path_factory.mktemp("state")) as make:
        yield make


@pytest.fixture(scope="session")
def lab(engine: docker.DockerClient, lab_name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two Debian 12 hosts for all tests of the session, and the inventory that names them."""
    with passing_labs(lab_name, tmp_path_factory.mktemp("state")) as make:
        yield make("all", count=2)


@pytest.fixture(scope="session")
def ask() -> Ask:
    """Ask a host by a shell command: `ask(lab, host, command)`, over SSH as the lab's inventory says.

    Fails on an exit code other than 0, unless `check=False`; `options` go to ssh, before the inventory's own; the file
    `given` is the command's input.
    """

    def run(
        lab: Lab, host: str, command: str, *options: str, check: bool = True, given: IO[bytes] | None = None
    ) -> subprocess.CompletedProcess[str]:
        variables = yaml.safe_load(lab.inventory.read_text(encoding="utf-8"))["all"]["hosts"][host]
        done = subprocess.run(
            [
                *("ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", *options),
                *shlex.split(variables["ansible_ssh_common_args"]),
                *("-i", variables["ansible_ssh_private_key_file"]),
                f"{variables['ansible_user']}@{variables['ansible_host']}",
                command,
            ],
            stdin=given or subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command!r} on {host}: {done.stdout}{done.stderr}"
        return done

    return run


@pytest.fixture(scope="session")
def crasher(
    engine: docker.DockerClient, lab_name: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[crash.Crasher]:
    """A host with what makes runs of the short workload short, and one such run behind it."""
    with passing_labs(lab_name, tmp_path_factory.mktemp("state")) as make:
        yield crash.prepared(make("short"), tmp_path_factory.mktemp("short"), seed=4)


@pytest.fixture
def run(crasher: crash.Crasher, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Begin `provisioner run` there with inputs of its own: `run(label, state, **variables)`."""

    def start(label: str, state: Path | None = None, **variables: Any) -> subprocess.Popen[str]:
        inventory = tmp_path / f"{label}.yml"
        hosts = yaml.safe_load(crasher.inventory.read_text())
        hosts["all"]["vars"] |= variables
        inventory.write_text(yaml.safe_dump(hosts))
        command = [crash.ROOT / "bin/provisioner", "run", "--json", "-i", inventory, *short.OPTIONS]
        command += ["--username", label, "--state-dir", state or tmp_path / "state"]
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return start


# A lock as apt takes it.
LOCK = """
import fcntl, time
file = open("/var/lib/dpkg/lock-frontend", "w")
fcntl.lockf(file, fcntl.LOCK_EX)
time.sleep(600)
"""


@pytest.fixture(scope="session")
def apt_is_locked(ask: Ask) -> Callable[[Lab, str], AbstractContextManager[None]]:
    """Have another program hold apt's lock on a host: `with apt_is_locked(lab, host)`."""

    @contextmanager
    def hold(lab: Lab, host: str) -> Iterator[None]:
        ask(lab, host, f"systemd-run --quiet --unit=holder python3 -c '{LOCK}'; sleep 1")
        try:
            yield
        finally:
            ask(lab, host, "systemctl stop holder")

    return hold


@pytest.fixture(scope="session")
def ansible() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Ansible's ad-hoc command on a lab: `ansible(lab, "all", "-m", "ping")`, host keys checked."""

    def run(lab: Lab, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).parent / "ansible"), "-i", str(lab.inventory), *arguments],
            env=PLAIN,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def play() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a playbook on a lab as `ansible-playbook` in this checkout does: `play(lab, path, variables, *options)`."""

    def run(lab: Lab, playbook: Path, variables: dict[str, object], *options: str) -> subprocess.CompletedProcess[str]:
        command = [Path(sys.executable).parent / "ansible-playbook", "-i", lab.inventory, *options]
        done = subprocess.run(
            [*command, "-e", json.dumps(variables), playbook],
            env=PLAIN,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        print(done.stdout, done.stderr)
        return done

    return run


@pytest.fixture(scope="session")
def serve_repositories(ask: Ask) -> Callable[..., dict[str, str]]:
    """Have a host serve signed repositories to itself, at http://127.0.0.1:8000, each below its real name.

    `serve(lab, host, "toolkit", "--stranger")` takes the arguments of apt_repositories.py there, and gives the
    fingerprint of each owner's key.
    """

    def serve(lab: Lab, host: str, *arguments: str) -> dict[str, str]:
        install = "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends"
        ask(lab, host, f"apt-get -qq update && {install} gpg gpg-agent >/dev/null")
        stand_ins = outside.contents()
        with tempfile.TemporaryFile() as archive:
            with tarfile.open(fileobj=archive, mode="w") as tar:
                for name in ("apt_repositories.py", "pypi.py", "releases.json"):
                    member = tarfile.TarInfo(name)
                    member.size = len(stand_ins[name])
                    tar.addfile(member, io.BytesIO(stand_ins[name]))
            archive.seek(0)
            command = f"cd /tmp && tar -x && python3 apt_repositories.py /srv/repository {' '.join(arguments)}"
            keys = json.loads(ask(lab, host, command, given=archive).stdout)
        server = "python3 -m http.server --bind 127.0.0.1 --directory /srv/repository 8000"
        ask(lab, host, f"systemd-run --quiet --unit=repository {server}")
        return keys

    return serve
