"""How a lab's hosts are reached: keys, known hosts, resolver and inventory, all files in the lab's folder."""

import ipaddress
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from provisioner.errors import Exit, ProvisionerError
from provisioner.lab.dress import load
from provisioner.lab.model import Lab, LabHost
from provisioner.signatures import ssh

__all__ = [
    "inventory_path",
    "login_key",
    "new_host_key",
    "require_ssh",
    "resolver",
    "ssh_command",
    "ssh_options",
    "write_inventory",
    "write_known_hosts",
]

# Where this machine's real name servers are listed when the first file only names a resolver on loopback.
RESOLVERS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))


def require_ssh() -> None:
    """Raise ProvisionerError (code 2) where the programs that hosts are reached with are missing."""
    missing = [tool for tool in ("ssh", "ssh-keygen") if shutil.which(tool) is None]
    if missing:
        raise ProvisionerError(
            f"{' and '.join(missing)} not installed",
            "run `apt-get install openssh-client` as root",
            Exit.BAD_INPUT,
        )


def inventory_path(folder: Path) -> Path:
    """Return where a lab's inventory is."""
    return folder / "inventory.yml"


def login_key(folder: Path) -> str:
    """Return the public key that every host of the lab lets in, made with its private half where there is none."""
    key = folder / "id_ed25519"
    public = key.with_suffix(".pub")
    if not public.exists():
        key.unlink(missing_ok=True)  # half a pair, from a run that was killed
        _keygen(key, f"provisioner lab {folder.name}")
    return public.read_text(encoding="utf-8").strip()


def new_host_key(host: str) -> tuple[str, str]:
    """Return the private and the public half of a key for a host to be known by."""
    with tempfile.TemporaryDirectory(prefix="provisioner-lab-") as folder:
        key = Path(folder) / "key"
        _keygen(key, f"root@{host}")
        return key.read_text(encoding="utf-8"), key.with_suffix(".pub").read_text(encoding="utf-8").strip()


def resolver(folder: Path) -> Path | None:
    """Return a resolv.conf that works inside hosts and inside the containers of their own engines.

    Docker's own, on a network of ours, names a resolver on the host's loopback: an engine inside must not hand that
    to its containers, and takes a public one instead, which a site may not reach. None where this machine has
    nothing but such a resolver itself.
    """
    for source in RESOLVERS:
        lines = [line.split() for line in source.read_text().splitlines()] if source.is_file() else []
        servers = [line for line in lines if line[:1] == ["nameserver"] and not _loopback(line[1:])]
        others = [line for line in lines if line[:1] in (["search"], ["options"])]
        if servers:
            path = folder / "resolv.conf"
            path.write_text("".join(" ".join(line) + "\n" for line in servers + others), encoding="utf-8")
            path.chmod(0o644)  # every user of a host resolves names
            return path
    return None


def ssh_options(folder: Path) -> list[str]:
    """Return ssh's options that make it accept this lab's hosts, by their keys, and nothing else."""
    settings = {
        "UserKnownHostsFile": _quoted(folder / "known_hosts"),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def ssh_command(folder: Path, host: LabHost) -> list[str]:
    """Return the command that logs in to a host of this lab; a command to run there is added to it."""
    key = str(folder / "id_ed25519")
    plain = ["-F", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]
    return ["ssh", *plain, *ssh_options(folder), "-i", key, f"{host.user}@{host.address}"]


def write_known_hosts(folder: Path, keys: Mapping[str, str]) -> None:
    """Write known_hosts; `keys` has the public key of each address."""
    lines = (f"{address} {' '.join(key.split()[:2])}\n" for address, key in keys.items())
    (folder / "known_hosts").write_text("".join(lines), encoding="utf-8")


def write_inventory(folder: Path, lab: Lab, variables: Mapping[str, Any]) -> None:
    """Write the lab's inventory, complete or not at all; all its hosts have these variables."""
    hosts = {
        host.name: {
            "ansible_host": host.address,
            "ansible_user": host.user,
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_private_key_file": str(folder / "id_ed25519"),
            "ansible_ssh_common_args": shlex.join(ssh_options(folder)),
            **(load(host.dress).vars if host.dress else {}),
        }
        for host in lab.hosts
    }
    text = f"# Written by `provisioner lab up`; goes with `provisioner lab down --name {lab.name}`.\n"
    group = {"vars": dict(variables), "hosts": hosts} if variables else {"hosts": hosts}
    text += yaml.safe_dump({"all": group}, sort_keys=False, width=1000)
    draft = lab.inventory.with_suffix(".new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(lab.inventory)


def _keygen(path: Path, comment: str) -> None:
    try:
        ssh.make_key(path, comment)
    except ssh.SignatureError as error:
        raise ProvisionerError(f"{path}: {error}") from error


def _quoted(path: Path) -> str:
    """Return a path as ssh's configuration wants it, where blanks part words and a per cent sign starts a token."""
    return '"' + str(path).replace("%", "%%") + '"'


def _loopback(words: list[str]) -> bool:
    try:
        return ipaddress.ip_address(words[0].split("%")[0]).is_loopback
    except (IndexError, ValueError):
        return True  # not an address at all: of no more use than loopback
