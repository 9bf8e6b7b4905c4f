"""What `lab up`, `lab status` and `lab down` do, step by step."""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import TypeVar

from docker import DockerClient
from docker.models.containers import Container

from provisioner.lab import access, network
from provisioner.lab.dress import Dress, pick
from provisioner.lab.engine import engine
from provisioner.lab.guard import alone, terminable
from provisioner.lab.host import HOST_KEY, LAB, Blueprint, describe, make_host, remove_host
from provisioner.lab.image import ensure_image, remove_images
from provisioner.lab.model import DEFAULT_DEBIAN, Lab, LabHost, Report, check_name, check_request
from provisioner.lab.ready import wait_until_ready
from provisioner.lab.room import require_room
from provisioner.lab.wear import put_on

__all__ = ["down", "status", "up"]

AT_ONCE = 8  # requests to the engine

Item = TypeVar("Item")


@dataclass(frozen=True)
class _Wanted:
    """A host that a lab is to have."""

    name: str
    debian: int
    dress: Dress | None = None


def up(  # noqa: PLR0913, PLR0917 (all that a lab is; each is one option of the command)
    name: str,
    count: int,
    debian: int | None,
    user: str,
    state: Path,
    report: Report,
    dresses: Sequence[str] = (),
) -> Lab:
    """Make a lab of `count` plain hosts and one for each dress, or the missing ones, and give it when all answer.

    Other hosts of the lab, and hosts with another Debian or user, are left as they are. Without `debian` a host has
    the default release, or the first that its dress fits. `state` is the state directory; `report` is told what is
    being done, a line at a time. When this fails or is interrupted, what it made is removed again. Raises
    ProvisionerError.
    """
    dressed = pick(dresses, debian)
    check_request(name, count, debian or DEFAULT_DEBIAN, user, len(dressed))
    wanted = [
        *(_Wanted(f"{name}-{number}", debian or DEFAULT_DEBIAN) for number in range(1, count + 1)),
        *(_Wanted(f"{name}-{dress.name}", release, dress) for dress, release in dressed),
    ]
    access.require_ssh()
    with engine() as client, alone(_folder(state), report), terminable():
        network.require_ours(client, name, state)
        site = _Site(client, name, state)
        standing = {host.name for host in site.hosts() if site.is_done(host)}
        missing = [host for host in wanted if host.name not in standing]
        if missing:
            running = client.containers.list(filters={"label": LAB}, ignore_removed=True)
            require_room(len(running) + len(missing))
        try:
            if missing:
                site.make(missing, user, report)
            site.open(report)
            site.dress({host.name: host.dress for host in missing if host.dress}, report)
        except BaseException:
            report("taking back what was begun")
            if standing:
                _each(lambda host: remove_host(client, name, host.name), missing)
            else:
                site.remove()
            raise
        return site.lab()


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
        return sorted(found, key=lambda container: IPv4Address(describe(container).address))

    def hosts(self) -> list[LabHost]:
        """Give the hosts in the order of their addresses."""
        return [describe(container) for container in self.containers()]

    def is_done(self, host: LabHost) -> bool:
        """Tell a host that is as it was meant from one that a killed `up` left unstarted, or half dressed."""
        return host.state != "created" and (not host.dress or self.mark(host.name).exists())

    def mark(self, host: str) -> Path:
        """Give the file that says that a host has its dress on."""
        return self.folder / f"{host}.dressed"

    def lab(self) -> Lab:
        return Lab(self.name, access.inventory_path(self.folder), tuple(self.hosts()))

    def make(self, hosts: Sequence[_Wanted], user: str, report: Report) -> None:
        """Make and start these hosts."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        images = {debian: ensure_image(self.client, debian, report) for debian in {host.debian for host in hosts}}
        subnet = network.ensure_network(self.client, self.name, self.state)
        key = access.login_key(self.folder)
        resolver = access.resolver(self.folder)
        for host in hosts:
            self.mark(host.name).unlink(missing_ok=True)
            remove_host(self.client, self.name, host.name)
        addresses = network.free_addresses(subnet, {host.address for host in self.hosts()})

        def make(host: _Wanted, address: str) -> None:
            blueprint = Blueprint(self.name, self.state, images[host.debian], host.debian, user, key, resolver)
            make_host(self.client, blueprint, host.name, address, host.dress.name if host.dress else "")
            report(f"{host.name} boots")

        _each(lambda pair: make(*pair), zip(hosts, addresses, strict=False))

    def dress(self, dresses: Mapping[str, Dress], report: Report) -> None:
        """Put dresses on hosts that have booted, given by the hosts' names."""

        def dress(host: LabHost) -> None:
            put_on(host, dresses[host.name], self.folder, report)
            self.mark(host.name).touch()

        _each(dress, [host for host in self.hosts() if host.name in dresses])

    def open(self, report: Report) -> None:
        """Return once the hosts let us in, the inventory written."""
        containers = self.containers()
        for container in containers:
            container.start()  # nothing happens to one that runs
        keys = {describe(container).address: container.labels[HOST_KEY] for container in containers}
        access.write_known_hosts(self.folder, keys)
        wait_until_ready(self.hosts(), self.folder, report)
        access.write_inventory(self.folder, self.lab())

    def remove(self) -> None:
        """Remove whatever there is of the lab; the network last, since it is what a lab is found by."""
        _each(lambda host: remove_host(self.client, self.name, host.name), self.hosts())
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
