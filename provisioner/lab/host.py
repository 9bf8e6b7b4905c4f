"""One lab host: a container that boots systemd, with volumes for the engine inside."""

import io
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from docker import DockerClient
from docker.errors import NotFound
from docker.models.containers import Container
from docker.types import Mount

from provisioner.lab import access
from provisioner.lab.model import LabHost

__all__ = ["HOST_KEY", "LAB", "STATE", "Blueprint", "describe", "make_host", "object_name", "remove_host"]

# Labels. The engine keeps them, so they are where a lab's facts are kept.
LAB = "provisioner.lab"
STATE = "provisioner.lab.state"  # the state directory that the lab belongs to
HOST = "provisioner.lab.host"
USER = "provisioner.lab.user"
DEBIAN = "provisioner.lab.debian"
DRESS = "provisioner.lab.dress"
OUTSIDE = "provisioner.lab.outside"  # "yes" where it stands in for the outside world
ADDRESS = "provisioner.lab.address"
HOST_KEY = "provisioner.lab.host-key"

# What systemd and an engine need of the real machine. Not --privileged: that asks for every capability there is,
# and fails where this machine itself lacks one.
CAPABILITIES = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH", "SYSLOG", "SYS_BOOT"]

# An engine cannot stack its overlay file systems on the container's own.
VOLUMES = {"docker": "/var/lib/docker", "containerd": "/var/lib/containerd"}

SSHD = """\
# No password opens a lab host, and no key but the lab's.
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin {root}
AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/lab_authorized_keys
HostKey /etc/ssh/ssh_host_ed25519_key
UseDNS no
"""


@dataclass(frozen=True)
class Blueprint:
    """What the hosts of one `up` have in common."""

    lab: str
    state: Path
    images: Mapping[int, str]
    """By the number of their Debian release."""
    login_key: str


def object_name(*parts: str) -> str:
    """Return the name of a Docker object of ours."""
    return "-".join(("provisioner", *parts))


def make_host(client: DockerClient, blueprint: Blueprint, host: LabHost, resolver: Path | None) -> None:
    """Make and start a host, whose resolv.conf that file is; the lab's network must be there."""
    name = host.name
    private, public = access.new_host_key(name)
    labels = {LAB: blueprint.lab, HOST: name}
    mounts = []
    for purpose, folder in VOLUMES.items():
        volume = client.volumes.create(object_name(name, purpose), labels=labels)
        mounts.append(Mount(folder, volume.name))
    if resolver:
        mounts.append(Mount("/etc/resolv.conf", str(resolver), type="bind", read_only=True))
    network = object_name(blueprint.lab)
    container = client.containers.create(
        blueprint.images[host.debian],
        ["/bin/sh", "-c", _init_script(), "lab-init", host.user],
        name=object_name(name),
        hostname=name,
        labels={
            **labels,
            STATE: str(blueprint.state),
            USER: host.user,
            DEBIAN: str(host.debian),
            DRESS: host.dress,
            OUTSIDE: "yes" if host.outside else "",
            ADDRESS: host.address,
            HOST_KEY: public,
        },
        cap_add=CAPABILITIES,
        security_opt=["seccomp=unconfined", "apparmor=unconfined"],
        cgroupns="private",
        tmpfs={"/run": "exec", "/run/lock": "", "/tmp": "exec"},  # noqa: S108 (the host's own, not ours)
        mounts=mounts,
        network=network,
        networking_config={network: client.api.create_endpoint_config(ipv4_address=host.address)},
        restart_policy={"Name": "always"},  # a reboot ends the container; this is what brings it back
        stop_signal="SIGRTMIN+3",  # systemd's for an orderly halt
    )
    container.put_archive("/", _archive(_files(blueprint, host.user, private, public)))
    container.start()


def remove_host(client: DockerClient, lab: str, name: str) -> None:
    """Remove a lab's host and its volumes, as far as they are there; not those of another lab under this name."""
    ours: dict[str, str | list[str] | bool] = {"label": [f"{LAB}={lab}", f"{HOST}={name}"]}
    for container in client.containers.list(all=True, filters=ours, ignore_removed=True):
        with suppress(NotFound):
            container.remove(force=True, v=True)
    for volume in client.volumes.list(filters=ours):
        volume.remove(force=True)


def describe(container: Container) -> LabHost:
    """Return the host that a container is, from its labels."""
    labels = container.labels
    return LabHost(
        labels[HOST],
        labels[ADDRESS],
        labels[USER],
        int(labels[DEBIAN]),
        container.status,
        labels.get(DRESS, ""),
        labels.get(OUTSIDE) == "yes",
    )


def _init_script() -> str:
    return files("provisioner").joinpath("data", "lab", "init.sh").read_text(encoding="utf-8")


def _files(blueprint: Blueprint, user: str, private: str, public: str) -> dict[str, tuple[str, int]]:
    """Return the files that make the image this host: path to content and mode, all root's."""
    root = user == "root"
    made = {
        "etc/ssh/sshd_config.d/lab.conf": (SSHD.format(root="prohibit-password" if root else "no"), 0o644),
        "etc/ssh/lab_authorized_keys": (f"{blueprint.login_key}\n", 0o644),
        "etc/ssh/ssh_host_ed25519_key": (private, 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": (f"{public}\n", 0o644),
    }
    if not root:
        made["etc/sudoers.d/lab"] = (f"{user} ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440)
    return made


def _archive(contents: Mapping[str, tuple[str, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, (text, mode) in contents.items():
            member = tarfile.TarInfo(path)
            member.mode = mode
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()
