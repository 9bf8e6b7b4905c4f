"""The host that stands in for the outside world: registries, indexes and repositories under their real names.

Its files are in `data/lab/outside`; docs/lab.md says in what each differs from the real one.
"""

import io
import json
import os
import tarfile
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

import yaml
from docker import DockerClient
from docker.errors import BuildError, ImageNotFound

from provisioner.errors import Exit, ProvisionerError
from provisioner.lab.model import LabHost, Report
from provisioner.lab.releases import codenames
from provisioner.lab.script import run_as_root

__all__ = ["DEBIAN", "HOST", "contents", "furnish", "require_base", "resolver", "variables"]

HOST = "outside"
"""The last part of its name."""
DEBIAN = 12
"""Its release: that of BASE."""
BASE = "provisioner/cuda:13.0-devel"
"""What the stand-in for NVIDIA's image is made from."""
IMAGE = "nvidia/cuda:12.8.0-devel-ubuntu22.04"
PLACE = "/opt/outside"
WORLD = "/srv/outside"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"

FINGERPRINTS = {
    "docker": "docker_engine_repository_fingerprints",
    "toolkit": "nvidia_container_toolkit_key_fingerprints",
    "cuda": "gpu_driver_key_fingerprint",
    "nodesource": "devcontainer_cli_nodesource_key_fingerprint",
}
"""The variable that each owner's key is named by; those of several keys take a list."""


def require_base(client: DockerClient) -> None:
    """Raise ProvisionerError (code 2) where this machine lacks the image from which the stand-in's is made."""
    remedy = f"run `provisioner prepare --profile registries` on this machine, a Debian {DEBIAN}, which makes it"
    try:
        image = client.images.get(BASE)
    except ImageNotFound as error:
        raise ProvisionerError(f"there is no image {BASE} here to make {IMAGE} from", remedy, Exit.BAD_INPUT) from error
    release = client.containers.run(image, ["cat", "/etc/debian_version"], remove=True, network_disabled=True)
    if not release.startswith(str(DEBIAN).encode()):
        raise ProvisionerError(f"the image {BASE} here is not of Debian {DEBIAN}", remedy, Exit.BAD_INPUT)


def resolver(folder: Path, address: str) -> Path:
    """Return a resolv.conf by which the lab's hosts, and containers on them, take the stand-ins for the real ones."""
    path = folder / "outside-resolv.conf"
    path.write_text(f"nameserver {address}\n", encoding="utf-8")
    path.chmod(0o644)
    return path


def furnish(client: DockerClient, host: LabHost, folder: Path, report: Report) -> None:
    """Make a lab host the outside world, and write down what the lab's inventory says of it.

    Raise ProvisionerError where something of it fails, its last words reported.
    """
    report(f"{host.name} becomes the outside world: half a minute for its repositories, then the base image")
    with tempfile.TemporaryFile() as archive:
        _pack(archive)
        _run(host, folder, report, f"mkdir -p {PLACE} && tar -C {PLACE} -x", archive)
    _run(host, folder, report, f"{PLACE}/setup.sh {host.address}")
    report(f"{host.name} gets {IMAGE}")
    _bring_image(client, host, folder, report)
    fingerprints = json.loads(_run(host, folder, report, f"cat {WORLD}/fingerprints.json"))
    bundle = folder / "site-ca.pem"
    bundle.write_bytes(_authorities() + _run(host, folder, report, f"cat {WORLD}/authority.pem"))
    named: dict[str, Any] = {
        variable: [fingerprints[owner]] if variable.endswith("s") else fingerprints[owner]
        for owner, variable in FINGERPRINTS.items()
    }
    _variables_file(folder).write_text(yaml.safe_dump({"site_ca_bundle": str(bundle), **named}), encoding="utf-8")


def contents() -> dict[str, bytes]:
    """Return the files that make the host, by name; Debian's releases, which it has packages for, are one of them."""
    sources = files("provisioner").joinpath("data", "lab", "outside").iterdir()
    found = {one.name: one.read_bytes() for one in sources if one.is_file()}
    return {**found, "releases.json": json.dumps(codenames()).encode()}


def variables(folder: Path) -> dict[str, Any]:
    """Return what all hosts of a lab with stand-ins have in its inventory; nothing of one without."""
    path = _variables_file(folder)
    return dict(yaml.safe_load(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _variables_file(folder: Path) -> Path:
    return folder / "outside.yml"


def _authorities() -> bytes:
    """Return the authorities that this machine trusts."""
    return Path(os.environ.get("SSL_CERT_FILE") or AUTHORITIES).read_bytes()


def _pack(file: IO[bytes]) -> None:
    """Write an archive of the files that the host is made from, and of this machine's authorities."""
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in {**contents(), "site-ca.pem": _authorities()}.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755 if name.endswith(".sh") else 0o644
            tar.addfile(member, io.BytesIO(content))


def _bring_image(client: DockerClient, host: LabHost, folder: Path, report: Report) -> None:
    """Build the base image on this machine, from what the host has made for it, and put it into the host's registry."""
    # Named after this lab: the same files make the same image for everybody.
    name = f"provisioner-lab-outside:{host.name}"
    context = io.BytesIO(_run(host, folder, report, f"tar -C {WORLD}/image -c ."))
    try:
        image, _ = client.images.build(fileobj=context, custom_context=True, rm=True, tag=name)
    except BuildError as error:
        raise ProvisionerError(f"the image {IMAGE} could not be made: {error}") from error
    file = f"{WORLD}/image.tar"  # skopeo reads it more than once
    copy = f"skopeo --insecure-policy copy --quiet --dest-tls-verify=false docker-archive:{file}"
    try:
        with tempfile.TemporaryFile() as archive:
            archive.writelines(image.save())
            _run(host, folder, report, f"cat >{file}; {copy} docker://127.0.0.1:5000/{IMAGE}; rm {file}", archive)
    finally:
        client.images.remove(name)


def _run(host: LabHost, folder: Path, report: Report, command: str, given: IO[bytes] | None = None) -> bytes:
    return run_as_root(host, folder, command, f"what makes {host.name} the outside world", report, given)
