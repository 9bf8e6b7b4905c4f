"""The image that lab hosts start from: a bare Debian with systemd and sshd, made from the distribution's packages."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from docker import DockerClient
from docker.errors import APIError, ImageNotFound

from provisioner.errors import Exit, ProvisionerError
from provisioner.lab import mirror
from provisioner.lab.model import Report
from provisioner.lab.releases import codenames

__all__ = ["ensure_image", "remove_images"]

REPOSITORY = "provisioner-lab"
LABEL = "provisioner.lab.image"

# What an installer leaves on a server that is managed by Ansible; whatever else a role needs, it has to bring.
PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "kmod",
    "libpam-systemd",
    "netbase",
    "openssh-server",
    "pciutils",
    "procps",
    "python3",
    "python3-apt",
    "sudo",
    "systemd",
    "systemd-sysv",
)
HOOKS = (
    'rm -f "$1"/etc/ssh/ssh_host_*',  # each host gets its own
    ': >"$1"/etc/machine-id',  # systemd fills it at the first boot
)
CHANGES = ("ENV container=docker",)  # tells systemd what it runs in
STOP_WITHIN = 30.0  # s that mmdebstrap has to remove its own files when it is told to stop


def ensure_image(client: DockerClient, debian: int, report: Report) -> str:
    """Return the name of the image for a Debian release, made now unless one from the same inputs is there.

    Raise ProvisionerError where it cannot be made.
    """
    codename = codenames()[debian]
    command = [
        "mmdebstrap",
        "--variant=minbase",
        "--format=tar",
        f"--include={','.join(PACKAGES)}",
        *(f"--customize-hook={hook}" for hook in HOOKS),
        codename,
        "-",
        *mirror.sources(codename),
    ]
    inputs = hashlib.sha256(json.dumps([command, CHANGES]).encode()).hexdigest()[:16]
    tag = f"debian{debian}-{inputs}"
    name = f"{REPOSITORY}:{tag}"
    try:
        client.images.get(name)
    except ImageNotFound:
        _require_mmdebstrap()
        report(f"making the Debian {debian} image, once: this takes about a minute")
        with tempfile.TemporaryDirectory(prefix="provisioner-lab-") as folder:
            Path(folder).chmod(0o711)  # without root, mmdebstrap works in it under other user ids
            archive = Path(folder) / "rootfs.tar"
            _bootstrap(command, archive, report)
            report("importing the image")
            client.api.import_image_from_file(
                str(archive), REPOSITORY, tag, changes=[*CHANGES, f"LABEL {LABEL}={inputs}"]
            )
    return name


def remove_images(client: DockerClient, report: Report) -> None:
    """Remove every lab image that no container stands on."""
    for image in client.images.list(filters={"label": LABEL}):
        name = ", ".join(image.tags) or image.short_id
        try:
            client.images.remove(image.id or name, force=len(image.tags) > 1)
            report(f"removed the image {name}")
        except APIError as error:
            if error.status_code != 409:
                raise
            report(f"kept the image {name}, which another lab stands on")


def _require_mmdebstrap() -> None:
    if shutil.which("mmdebstrap") is None:
        raise ProvisionerError(
            "mmdebstrap, which makes the hosts' image, is not installed",
            "run `apt-get install mmdebstrap debian-archive-keyring` as root",
            Exit.BAD_INPUT,
        )


def _bootstrap(command: list[str], archive: Path, report: Report) -> None:
    """Run mmdebstrap with its archive going to a file; what it says about its steps is passed on."""
    said: list[str] = []
    with archive.open("wb") as output, _running(command, output) as process:
        for line in process.stderr or ():
            said.append(line.strip())
            if step := re.fullmatch(r"I: ([^/]+)\.\.\.", said[-1]):  # steps only, not the paths they work on
                report(f"image: {step[1]}")
    if process.returncode != 0:
        errors = [line.removeprefix("E: ") for line in said if line.startswith("E: ")]
        raise ProvisionerError(
            f"mmdebstrap failed: {(errors or said[-1:] or ['it said nothing'])[0]}",
            "see that the mirror is reached; without root, the package uidmap is needed too",
        )


@contextmanager
def _running(command: list[str], output: BinaryIO) -> Iterator[subprocess.Popen[str]]:
    """Yield the running command; it has ended afterwards, however this ends."""
    folder = Path(output.name).parent
    environment = {**mirror.proxies(), **os.environ, "LC_ALL": "C.UTF-8", "TMPDIR": str(folder)}
    # As root it mounts things into what it makes; in a mount namespace they go with it, whatever ends it.
    prefix = ["unshare", "--mount"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [*prefix, *command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
        start_new_session=True,  # a process group, so that all of it can be stopped
    )
    with process:
        try:
            yield process
        except BaseException:
            # mmdebstrap alone would first wait for the package manager that it runs.
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
            raise
