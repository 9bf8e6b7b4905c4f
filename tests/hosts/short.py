"""Puts the short workload on hosts: all that a run needs there to compile something small by the very same path."""

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from provisioner.lab import Lab

WORKLOAD = Path(__file__).parent / "short_workload"
OPTIONS = ("--profile", "registries", "--arch-list", "9.0", "--max-jobs", "2")
OBJECTS = 3
"""So many objects does it compile."""

# The workload needs neither torch nor CMake, and these two of Python's packages instead.
VARIABLES: dict[str, Any] = {
    "scenario_a_system_packages": ["python3-pip", "build-essential", "git", "ninja-build"],
    "scenario_a_python_packages": [["setuptools==80.9.0", "wheel==0.45.1"]],
    "scenario_a_mounts": [{"source": "/srv/short", "target": "/sources"}],
    "scenario_a_minimum_free_bytes": 5_000_000_000,
    "scenario_a_look_seconds": 2,
}


def inventory(of: Path, path: Path, **variables: Any) -> Path:
    """Write a lab's inventory, with what makes runs short, to `path`; `variables` are added."""
    hosts = yaml.safe_load(of.read_text(encoding="utf-8"))
    hosts["all"]["vars"] = VARIABLES | variables
    path.write_text(yaml.safe_dump(hosts), encoding="utf-8")
    return path


def install(lab: Lab, ansible: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Put the workload, as a repository to clone, onto all hosts of a lab."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = folder / "tree"
        subprocess.run(["cp", "-R", WORKLOAD, tree], check=True)
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
        for command in (["init", "-qb", "main"], ["add", "."], ["commit", "-qm", "short"], ["gc", "-q"]):
            subprocess.run(["git", *identity, *command], cwd=tree, check=True)
        subprocess.run(["git", "clone", "-q", "--bare", tree, folder / "xformers.git"], check=True)
        archive = folder / "short.tar"
        subprocess.run(["tar", "-C", folder, "-cf", archive, "xformers.git"], check=True)
        for arguments in (
            ("-m", "ansible.builtin.file", "-a", "path=/srv/short state=directory mode=0755"),
            ("-m", "ansible.builtin.unarchive", "-a", f"src={archive} dest=/srv/short owner=root"),
        ):
            done = ansible(lab, "all", *arguments)
            assert done.returncode == 0, done.stdout + done.stderr
