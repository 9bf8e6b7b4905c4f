"""What `lab up`, `lab status` and `lab down` do, step by step."""

import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from docker import DockerClient
from docker.models.containers import Container

from provisioner.lab import access, network
from provisioner.lab.engine import engine
from provisioner.lab.guard import alone, terminable
from provisioner.lab.host import HOST_KEY, LAB, Blueprint, describe, make_host, remove_host
from provisioner.lab.image import ensure_image, remove_images
from provisioner.lab.model import Lab, LabHost, Report, check_name, check_request, host_name
from provisioner.lab.ready import wait_until_ready
from provisioner.lab.room import require_room

__all__ = ["down", "status", "up"]

AT_ONCE = 8  # requests to the engine

Item = TypeVar("Item")


def up(  # noqa: PLR0913, PLR0917 (all that a lab is; each is one option of the command)
    name: str, count: int, debian: int, user: str, state: Path, report: Report
) -> Lab:
    """Make a lab of `count` hosts, or the missing ones of it, and give it when all of its hosts answer over SSH.

    Hosts beyond `count`, and hosts with another Debian or user, are left as they are. `state` is the state
    directory; `report` is told what is being done, a line at a time. When this fails or is interrupted, what it made
    is removed again. Raises ProvisionerError.
    """
    check_request(name, count, debian, user)
    access.require_ssh()
    with engine() as client, alone(_folder(state), report), terminable():
        network.require_ours(client, name, state)
        site = _Site(client, name, state)
        # A container that was never started is what a killed `up` left: it counts as missing.
        standing = {host.name for host in site.hosts() if host.state != "created"}
        missing = [n for n in range(1, count + 1) if host_name(name, n) not in standing]
        if missing:
            running = client.containers.list(filters={"label": LAB}, ignore_removed=True)
            require_room(len(running) + len(missing))
        try:
            if missing:
                site.make(missing, debian, user, report)
            return site.open(report)
        except BaseException:
            report("taking back what was begun")
            if standing:
                _each(lambda number: remove_host(client, host_name(name, number)), missing)
            else:
                site.remove()
            raise


def status(state: Path) -> list[Lab]:
    """Give the labs of a state directory, as the engine has them now. Raises ProvisionerError."""
    with engine() as client:
        return [_Site(client, name, state).lab() for name in network.labs_of(client, state)]


def down(name: str, state: Path, images: bool = False, *, report: Report) -> None:
    """Remove a lab: hosts, volumes, network, keys and inventory; with `images`, also what makes `up` quick.

    A lab that is not there is no error. Raises ProvisionerError.
    """
    check_name(name)
    with engine() as client, alone(_folder(state), report):
        network.require_ours(client, name, state)
        site = _Site(client, name, state)
        if site.exists():
            count = len(site.hosts())
            site.remove()
            report(f"removed the lab {name!r} and its {count} hosts")
        else:
            report(f"there is no lab {name!r}")
        if images:
            remove_images(client, report)


@dataclass(frozen=True)
class _Site:
    """Where one lab is: in an engine, and in its folder under the state directory."""

    client: DockerClient
    name: str
    state: Path

    @property
    def folder(self) -> Path:
        return _folder(self.state) / self.name

    def exists(self) -> bool:
        return self.folder.exists() or network.find_network(self.client, self.name) is not None

    def containers(self) -> list[Container]:
        found = self.client.containers.list(all=True, filters={"label": f"{LAB}={self.name}"}, ignore_removed=True)
        return sorted(found, key=lambda container: int(describe(container).name.rpartition("-")[2]))

    def hosts(self) -> list[LabHost]:
        """Give the hosts in the order of their numbers."""
        return [describe(container) for container in self.containers()]

    def lab(self) -> Lab:
        return Lab(self.name, access.inventory_path(self.folder), tuple(self.hosts()))

    def make(self, numbers: Iterable[int], debian: int, user: str, report: Report) -> None:
        """Make and start the hosts with these numbers."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        image = ensure_image(self.client, debian, report)
        subnet = network.ensure_network(self.client, self.name, self.state)
        blueprint = Blueprint(
            self.name,
            self.state,
            image,
            debian,
            user,
            login_key=access.login_key(self.folder),
            resolver=access.resolver(self.folder),
        )

        def make(number: int) -> None:
            host = host_name(self.name, number)
            remove_host(self.client, host)
            make_host(self.client, blueprint, host, network.address(subnet, number))
            report(f"{host} boots")

        _each(make, numbers)

    def open(self, report: Report) -> Lab:
        """Give the lab once its hosts let us in, its inventory written."""
        containers = self.containers()
        for container in containers:
            container.start()  # nothing happens to one that runs
        keys = {describe(container).address: container.labels[HOST_KEY] for container in containers}
        access.write_known_hosts(self.folder, keys)
        wait_until_ready(self.hosts(), self.folder, report)
        lab = self.lab()
        access.write_inventory(self.folder, lab)
        return lab

    def remove(self) -> None:
        """Remove whatever there is of the lab; the network last, since it is what a lab is found by."""
        _each(lambda host: remove_host(self.client, host.name), self.hosts())
        for volume in self.client.volumes.list(filters={"label": f"{LAB}={self.name}"}):
            volume.remove(force=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        if bridge := network.find_network(self.client, self.name):
            bridge.remove()


def _folder(state: Path) -> Path:
    """Give the folder of all labs of a state directory."""
    return state / "lab"


def _each(work: Callable[[Item], None], items: Iterable[Item]) -> None:
    """Do the work for all items, some at a time; the first exception is raised when what was begun is over."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
