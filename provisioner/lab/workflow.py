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

from provisioner.errors import Exit, ProvisionerError, of_option
from provisioner.lab import access, network, outside, releases
from provisioner.lab.dress import Dress, pick
from provisioner.lab.engine import engine
from provisioner.lab.guard import alone, terminable
from provisioner.lab.host import HOST_KEY, LAB, Blueprint, describe, make_host, remove_host
from provisioner.lab.image import ensure_image, remove_images
from provisioner.lab.kernel_limits import require_room
from provisioner.lab.model import Lab, LabHost, Report, check_name, check_request
from provisioner.lab.ready import wait_until_ready
from provisioner.lab.wear import put_on
from provisioner.text.suggestions import did_you_mean

__all__ = ["down", "login", "status", "up"]

AT_ONCE = 8  # requests to the engine

Item = TypeVar("Item")


@dataclass(frozen=True)
class _Wanted:
    """A host that a lab is to have."""

    name: str
    debian: int
    dress: Dress | None = None
    outside: bool = False


def up(  # noqa: PLR0913, PLR0917 (all that a lab is; each is one option of the command)
    name: str,
    count: int,
    debian: int | None,
    user: str,
    state: Path,
    report: Report,
    dresses: Sequence[str] = (),
    *,
    stand_ins: bool = False,
) -> Lab:
    """Make a lab of `count` plain hosts and one for each dress, or the missing ones, and give it when all answer.

    Other hosts of the lab, and hosts with another Debian or user, are left as they are. Without `debian` a host has
    the oldest release, or the first that its dress fits. With `stand_ins` a further host serves the others what they
    would get from the outside world. `state` is the state directory; `report` is told what is being done, a line at a
    time. When this fails or is interrupted, what it made is removed again. Raise ProvisionerError.
    """
    with of_option("--as"):
        dressed = pick(dresses, debian)
    plain = debian or releases.numbers()[0]
    check_request(name, count, plain, user, len(dressed))
    wanted = [
        *([_Wanted(f"{name}-{outside.HOST}", outside.DEBIAN, outside=True)] if stand_ins else []),
        *(_Wanted(f"{name}-{number}", plain) for number in range(1, count + 1)),
        *(_Wanted(f"{name}-{dress.name}", release, dress) for dress, release in dressed),
    ]
    access.require_ssh()
    with engine() as client, alone(_folder(state), report), terminable():
        network.require_ours(client, name, state)
        site = _Site(client, name, state)
        standing = {host.name for host in site.hosts() if site.is_done(host)}
        missing = [host for host in wanted if host.name not in standing]
        site.require_what_they_need(missing, standing=bool(standing))
        try:
            if missing:
                site.make(missing, user, report)
            site.open(report)
            site.furnish(report)
            site.dress({host.name: host.dress for host in missing if host.dress}, report)
            access.write_inventory(site.folder, site.lab(), outside.variables(site.folder))
        except BaseException:
            report("taking back what was begun")
            if standing:
                _each(lambda host: remove_host(client, name, host.name), missing)
            else:
                site.remove()
            raise
        return site.lab()


def status(state: Path) -> list[Lab]:
    """Return the labs of a state directory, as the engine has them now. Raise ProvisionerError."""
    with engine() as client:
        return _labs(client, state)


def login(host: str, state: Path) -> list[str]:
    """Return the command that logs in to a host of any lab of a state directory; a command to run there is added to it.

    Raise ProvisionerError (code 2) where there is no such host, or it does not run.
    """
    access.require_ssh()
    labs = status(state)
    found = {one.name: (lab, one) for lab in labs for one in (*lab.hosts, *([lab.outside] if lab.outside else []))}
    if not found:
        raise ProvisionerError("there is no lab", "`provisioner lab up` makes one", Exit.BAD_INPUT)
    if host not in found:
        remedy = did_you_mean(host, found) or "`provisioner lab status` lists them"
        raise ProvisionerError(f"no lab has a host {host!r}", remedy, Exit.BAD_INPUT)
    lab, meant = found[host]
    if meant.state != "running":
        raise ProvisionerError(
            f"{host} is {meant.state}", f"`provisioner lab up --name {lab.name}` starts it", Exit.BAD_INPUT
        )
    return access.ssh_command(lab.inventory.parent, meant)


def down(name: str, state: Path, images: bool = False, *, report: Report) -> None:
    """Remove a lab: hosts, volumes, network, keys and inventory; with `images`, also what makes `up` quick.

    A lab that is not there is no error. Raise ProvisionerError.
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
            known = [lab.name for lab in _labs(client, state)]
            meant = did_you_mean(name, known)
            report(f"there is no lab {name!r}{meant and f'; {meant}'}")
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
        """Return the hosts in the order of their addresses."""
        return [describe(container) for container in self.containers()]

    def is_done(self, host: LabHost) -> bool:
        """Return whether the host is complete: a killed `up` may leave it unstarted or half made."""
        return host.state != "created" and (not (host.dress or host.outside) or self.mark(host.name).exists())

    def mark(self, host: str) -> Path:
        """Return the file that says that a host has its dress on, or is the outside world."""
        return self.folder / f"{host}.dressed"

    def lab(self) -> Lab:
        """Return the lab as the engine has it."""
        hosts = self.hosts()
        plain = tuple(host for host in hosts if not host.outside)
        world = next((host for host in hosts if host.outside), None)
        return Lab(self.name, access.inventory_path(self.folder), plain, world)

    def outside(self) -> LabHost | None:
        """Return the host that stands in for the outside world; None where the lab knows the real one."""
        return self.lab().outside

    def require_what_they_need(self, missing: Sequence[_Wanted], *, standing: bool) -> None:
        """Raise ProvisionerError where the missing hosts cannot be made: beside the others, or on this machine."""
        if any(host.outside for host in missing):
            outside.require_base(self.client)
            if standing and not self.outside():
                raise ProvisionerError(
                    f"the hosts of the lab {self.name!r} have no stand-ins for the outside world",
                    "make another lab with --name, or this one again after `provisioner lab down`",
                    Exit.BAD_INPUT,
                )
        if missing:
            running = self.client.containers.list(filters={"label": LAB}, ignore_removed=True)
            require_room(len(running) + len(missing))

    def make(self, hosts: Sequence[_Wanted], user: str, report: Report) -> None:
        """Make and start these hosts."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        images = {debian: ensure_image(self.client, debian, report) for debian in {host.debian for host in hosts}}
        subnet = network.ensure_network(self.client, self.name, self.state)
        blueprint = Blueprint(self.name, self.state, images, access.login_key(self.folder))
        for host in hosts:
            self.mark(host.name).unlink(missing_ok=True)
            remove_host(self.client, self.name, host.name)
        addresses = network.free_addresses(subnet, {host.address for host in self.hosts()})
        meant = [
            LabHost(
                host.name,
                address,
                "root" if host.outside else user,
                host.debian,
                "created",
                host.dress.name if host.dress else "",
                host.outside,
            )
            for host, address in zip(hosts, addresses, strict=False)
        ]
        world = self.outside() or next((host for host in meant if host.outside), None)
        real = access.resolver(self.folder)
        names = outside.resolver(self.folder, world.address) if world else real

        def make(host: LabHost) -> None:
            make_host(self.client, blueprint, host, real if host.outside else names)
            report(f"{host.name} boots")

        _each(make, meant)

    def furnish(self, report: Report) -> None:
        """Make the host that is to stand in for the outside world what it is, unless it is already."""
        world = self.outside()
        if world and not self.is_done(world):
            outside.furnish(self.client, world, self.folder, report)
            self.mark(world.name).touch()

    def dress(self, dresses: Mapping[str, Dress], report: Report) -> None:
        """Put dresses on hosts that have booted, given by the hosts' names."""

        def dress(host: LabHost) -> None:
            put_on(host, dresses[host.name], self.folder, report)
            self.mark(host.name).touch()

        _each(dress, [host for host in self.hosts() if host.name in dresses])

    def open(self, report: Report) -> None:
        """Return once the hosts let us in."""
        containers = self.containers()
        for container in containers:
            container.start()  # nothing happens to one that runs
        keys = {describe(container).address: container.labels[HOST_KEY] for container in containers}
        access.write_known_hosts(self.folder, keys)
        wait_until_ready(self.hosts(), self.folder, report)

    def remove(self) -> None:
        """Remove whatever there is of the lab; the network last, since it is what a lab is found by."""
        _each(lambda host: remove_host(self.client, self.name, host.name), self.hosts())
        for volume in self.client.volumes.list(filters={"label": f"{LAB}={self.name}"}):
            volume.remove(force=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        if bridge := network.find_network(self.client, self.name):
            bridge.remove()


def _labs(client: DockerClient, state: Path) -> list[Lab]:
    return [_Site(client, name, state).lab() for name in network.labs_of(client, state)]


def _folder(state: Path) -> Path:
    """Return the folder of all labs of a state directory."""
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
