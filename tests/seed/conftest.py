"""A lab with stand-ins for the outside world, for the profile that takes everything from there."""

import contextlib
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container
from lab_hosts import engine, lab_name, passing_labs

from provisioner.lab import Lab, outside

__all__ = ["engine", "lab_name"]  # fixtures


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.seed)


class World:
    """A lab's hosts, and what stands in for the outside world."""

    def __init__(self, lab: Lab, client: docker.DockerClient) -> None:
        assert lab.outside
        self.lab = lab
        self._client = client
        self._outside = self.container(lab.outside.name)

    def container(self, host: str) -> Container:
        """Give the container that is the lab host of this name."""
        return self._client.containers.get(f"provisioner-{host}")

    def host(self) -> Container:
        """Give the lab's first host."""
        return self.container(self.lab.hosts[0].name)

    def sh(self, command: str, host: Container | None = None) -> str:
        """Give what a command prints on the outside, or on another host; it must not fail."""
        code, output = (host or self._outside).exec_run(["bash", "-euo", "pipefail", "-c", command])
        assert code == 0, f"{command}: {output.decode()}"
        return output.decode()

    @contextlib.contextmanager
    def fault(self, name: str, settings: str, passes: int | None = None) -> Iterator[None]:
        """Have the server of this name misbehave, by further settings of nginx for it, at most for `passes` seconds."""
        folder = f"/etc/nginx/faults/{name}"
        end = f"rm -f {folder}/fault.conf; nginx -s reload"
        self.sh(f"mkdir -p {folder}; cat >{folder}/fault.conf <<'END'\n{settings}\nEND\nnginx -t; nginx -s reload")
        if passes is not None:
            self.sh(f"systemd-run --quiet --on-active={passes} sh -c {shlex.quote(end)}")
        try:
            yield
        finally:
            self.sh(end)

    @contextlib.contextmanager
    def certificate(self, kind: str) -> Iterator[None]:
        """Have all servers show a certificate that is `expired`, for `other-name` or of `other-authority`."""
        self.sh(f"{outside.PLACE}/certificate.sh {kind}; nginx -s reload")
        try:
            yield
        finally:
            self.sh(f"{outside.PLACE}/certificate.sh; nginx -s reload")


@pytest.fixture(scope="session")
def base_image(engine: docker.DockerClient, provisioner: Callable[..., object]) -> None:
    """Have on this machine what the stand-in for NVIDIA's image is made from; the main job needs the same."""
    with contextlib.suppress(docker.errors.ImageNotFound):
        engine.images.get(outside.BASE)
        return
    done = provisioner("prepare", "--profile", "registries")
    assert done.code == 0, done  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def make_world(
    base_image: None, engine: docker.DockerClient, lab_name: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., World]]:
    """Make a lab with stand-ins: `make_world("purpose", count=1, debian=12)`; it is gone after the session's tests."""
    with passing_labs(lab_name, tmp_path_factory.mktemp("state")) as make:

        def world(purpose: str, count: int = 1, debian: int = 12) -> World:
            return World(make(purpose, count, debian, stand_ins=True), engine)

        yield world


def git(*words: str, cwd: Path) -> str:
    """Give what git prints, as somebody."""
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    return subprocess.run(["git", *identity, *words], cwd=cwd, check=True, capture_output=True, text=True).stdout
