"""Puts the short workload on lab hosts: all that a run needs there to compile something small by the very same path."""

import io
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import docker
import yaml
from docker.models.containers import Container

WORKLOAD = Path(__file__).parent / "short_workload"
OPTIONS = ("--profile", "registries", "--arch-list", "9.0", "--max-jobs", "2")
OBJECTS = 3
"""So many objects does it compile."""

# The workload needs neither torch nor CMake, and these two of Python's packages instead.
VARIABLES: dict[str, Any] = {
    "scenario_system_packages": ["python3-pip", "build-essential", "git", "ninja-build"],
    "scenario_python_packages": [["setuptools==80.9.0", "wheel==0.45.1"]],
    "scenario_mounts": [{"source": "/srv/short", "target": "/sources"}],
    "scenario_minimum_free_bytes": 5_000_000_000,
    "scenario_look_seconds": 2,
}
# Two thirds of such a run are the distribution's packages. Where runs are many, they are in the base image.
WARM_IMAGE = "provisioner/short:1"
WARM = {"scenario_base_image": WARM_IMAGE, "scenario_system_packages": ["git"]}


def container(host: str) -> Container:
    """Give the container that is the lab host of this name."""
    return docker.from_env().containers.get(f"provisioner-{host}")


def inventory(of: Path, path: Path, **variables: Any) -> Path:
    """Write a lab's inventory, with what makes runs short, to `path`; `variables` are added."""
    hosts = yaml.safe_load(of.read_text(encoding="utf-8"))
    hosts["all"]["vars"] = VARIABLES | variables
    path.write_text(yaml.safe_dump(hosts), encoding="utf-8")
    return path


def install(host: Container) -> None:
    """Put the workload onto a lab host, as the repository to clone from."""
    with tempfile.TemporaryDirectory() as name:
        tree, repository = Path(name) / "tree", Path(name) / "xformers.git"
        subprocess.run(["cp", "-R", WORKLOAD, tree], check=True)
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
        for command in (["init", "-qb", "main"], ["add", "."], ["commit", "-qm", "short"], ["gc", "-q"]):
            subprocess.run(["git", *identity, *command], cwd=tree, check=True)
        subprocess.run(["git", "clone", "-q", "--bare", tree, repository], check=True)
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.add(repository, "short/xformers.git", filter=lambda member: member.replace(uid=0, gid=0, deep=False))
    host.put_archive("/srv", archive.getvalue())


def warm(host: Container) -> None:
    """Make WARM_IMAGE on a host that has had a run: its Dockerfile as far as the distribution's packages go."""
    folder = "/var/lib/provisioner/scenario_a/xformers-devcontainer/.devcontainer"
    command = f"sed '/^RUN python3 -m pip/,$d' Dockerfile.scenario-a | docker build -q -t {WARM_IMAGE} -f - ."
    code, output = host.exec_run(["sh", "-c", command], workdir=folder)
    assert code == 0, output.decode()
