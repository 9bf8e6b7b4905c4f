"""What the tests on lab hosts share: an engine to make them in, and labs that are gone afterwards.

Nothing here skips: where hosts cannot be made, the tests fail and say why.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest

from provisioner import lab as labs
from provisioner.lab import Lab

ROOT = Path(__file__).resolve().parents[1]
# Named, since Ansible ignores the configuration of a checkout that everybody may write.
PLAIN = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}


def say(line: str) -> None:
    print(f"lab: {line}", file=sys.stderr)


def _missing() -> str:
    """Say what keeps lab hosts from being made on this machine; '' where nothing does."""
    for tool in ("mmdebstrap", "ssh-keygen"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    try:
        docker.from_env().close()
    except docker.errors.DockerException as error:
        return f"no Docker engine answers: {error}"
    return ""


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """A client of this machine's Docker engine, which is installed and started where there is none."""
    missing = _missing()
    if missing and os.geteuid() != 0:
        pytest.fail(f"{missing}, and only root can mend that: run `bin/test` as root once", pytrace=False)
    if missing:
        command = [Path(sys.executable).parent / "ansible-playbook", ROOT / "tests/hosts/engine.yml"]
        done = subprocess.run(
            [*map(str, command), "-i", str(ROOT / "inventory/localhost.yml")],
            env=PLAIN,
            capture_output=True,
            text=True,
            check=False,
        )
        if still := _missing():
            pytest.fail(f"{still}\n{done.stdout[-3000:]}{done.stderr[-1000:]}", pytrace=False)
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="session")
def lab_name() -> str:
    """What the names of labs begin with, so that two test runs on one machine do not meet."""
    return f"test{os.getpid()}"


@contextmanager
def passing_labs(lab_name: str, state: Path) -> Iterator[Callable[..., Lab]]:
    """Give `make("purpose", count=1, debian=12, user="root", dresses=(), stand_ins=False)`; it is gone afterwards."""
    made: set[str] = set()

    def make(
        purpose: str,
        count: int = 1,
        debian: int | None = 12,
        user: str = "root",
        *,
        dresses: tuple[str, ...] = (),
        stand_ins: bool = False,
    ) -> Lab:
        name = f"{lab_name}-{purpose}"
        made.add(name)
        return labs.up(name, count, debian, user, state, say, dresses, stand_ins=stand_ins)

    try:
        yield make
    finally:
        for name in made:
            labs.down(name, state, report=say)
