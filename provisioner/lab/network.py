"""The bridge that a lab's hosts are on, and which host has which address."""

import ipaddress
from collections.abc import Collection, Iterator
from pathlib import Path

from docker import DockerClient
from docker.models.networks import Network
from docker.types import IPAMConfig, IPAMPool

from provisioner.errors import Exit, ProvisionerError
from provisioner.lab.host import LAB, STATE, object_name

__all__ = ["ensure_network", "find_network", "free_addresses", "labs_of", "require_ours"]


def find_network(client: DockerClient, lab: str) -> Network | None:
    """Return a lab's network; None where there is none, and then there is no lab either."""
    found = client.networks.list(filters={"label": f"{LAB}={lab}"})
    return found[0] if found else None


def ensure_network(client: DockerClient, lab: str, state: Path) -> ipaddress.IPv4Network:
    """Return the addresses of a lab's network, made where it is not there."""
    network = find_network(client, lab)
    if network is None:
        # Docker knows which addresses are free, but lets a container choose its own, and so keep it across a
        # reboot, only where the network was made with addresses that the user chose: so they are asked for first.
        labels = {LAB: lab, STATE: str(state)}
        draft = client.networks.create(object_name(lab), driver="bridge", labels=labels)
        subnet = _subnet(client, draft)
        draft.remove()
        ipam = IPAMConfig(pool_configs=[IPAMPool(subnet=str(subnet), gateway=str(subnet[1]))])
        network = client.networks.create(object_name(lab), driver="bridge", labels=labels, ipam=ipam)
    return _subnet(client, network)


def free_addresses(subnet: ipaddress.IPv4Network, taken: Collection[str]) -> Iterator[str]:
    """Return the addresses that a lab's further hosts may have; the first of all is the gateway's neighbour."""
    return (str(address) for address in subnet.hosts() if address != subnet[1] and str(address) not in taken)


def labs_of(client: DockerClient, state: Path) -> list[str]:
    """Return the names of the labs that belong to a state directory."""
    found = client.networks.list(filters={"label": f"{STATE}={state}"})
    return sorted(network.attrs["Labels"][LAB] for network in found)


def require_ours(client: DockerClient, lab: str, state: Path) -> None:
    """Raise ProvisionerError (code 2) where a lab of this name belongs to another state directory that is there."""
    network = find_network(client, lab)
    if network is None:
        return
    owner = _owner(network)
    if owner != state and owner.is_dir():
        raise ProvisionerError(
            f"the lab {lab!r} belongs to the state directory {owner}",
            "name that one with --state-dir, or another lab with --name",
            Exit.BAD_INPUT,
        )


def _owner(network: Network) -> Path:
    return Path(network.attrs["Labels"][STATE])


def _subnet(client: DockerClient, network: Network) -> ipaddress.IPv4Network:
    pools = client.networks.get(network.id or "").attrs["IPAM"]["Config"]
    return next(ipaddress.IPv4Network(pool["Subnet"]) for pool in pools if ":" not in pool["Subnet"])
