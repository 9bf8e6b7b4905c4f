"""A lab with stand-ins for the outside world, as tests handle it, and the workload that makes runs short."""

import contextlib
import io
import shlex
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

from provisioner.lab import Lab, outside

WORKLOAD = Path(__file__).parents[1] / "hosts/short_workload"
SHORT: dict[str, Any] = {
    "scenario_system_packages": ["python3-pip", "build-essential", "git", "ninja-build"],
    "scenario_python_packages": [["setuptools==80.9.0", "wheel==0.48.0"]],
    "scenario_xformers_url": "https://github.com/short/xformers.git",
    "scenario_arch_list": "9.0",
    "scenario_max_jobs": "2",
    "scenario_minimum_free_bytes": 5_000_000_000,
    "scenario_look_seconds": 2,
}
"""What takes xformers' place in a run: it needs no torch and compiles in seconds, by the very same path."""


class World:
    """A lab's hosts, and what stands in for the outside world."""

    def __init__(self, lab: Lab, client: docker.DockerClient) -> None:
        assert lab.outside
        self.lab = lab
        self.address = lab.outside.address
        self._client = client
        self._outside = self.container(lab.outside.name)

    def container(self, host: str) -> Container:
        """Give the container that is the lab host of this name."""
        return self._client.containers.get(f"provisioner-{host}")

    def host(self) -> Container:
        """Give the lab's first host."""
        return self.container(self.lab.hosts[0].name)

    def sh(self, command: str, host: Container | None = None) -> str:
        """Give what a command prints on the outside, or on another host; it must not fail."""
        code, output = (host or self._outside).exec_run(["bash", "-euo", "pipefail", "-c", command])
        assert code == 0, f"{command}: {output.decode()}"
        return output.decode()

    def put(self, folder: Path, place: str, host: Container | None = None) -> None:
        """Copy a folder's content to a place on the outside, or on another host; root owns it."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.add(folder, place.lstrip("/"), filter=lambda member: member.replace(uid=0, gid=0, deep=False))
        (host or self._outside).put_archive("/", archive.getvalue())

    def publish(self, project: str, tree: Path, *steps: str) -> None:
        """Serve a repository on GitHub: a folder is its first commit, on main; then come these steps.

        They are shell commands in its tree, /srv/tree; `commit` is git's, as somebody.
        """
        served, tree_there = f"/srv/outside/github.com/{project}", "/srv/tree"
        self.sh(f"rm -rf {tree_there} {served}.git; mkdir -p $(dirname {served})")
        self.put(tree, tree_there)
        self.sh(
            f"git config --global --replace-all safe.directory '*'; cd {tree_there}; git init --quiet -b main;"
            "git add --all --force;"
            'commit() { git -c user.name=t -c user.email=t@example.invalid commit --quiet "$@"; }; commit -m first;'
            + "".join(f"{step};" for step in steps)
            + f"git clone --quiet --bare . {served}.git; ln -sfn $(basename {served}).git {served};"
            f"chown -R www-data: $(dirname {served})"
        )

    @contextlib.contextmanager
    def fault(self, name: str, settings: str, passes: int | None = None) -> Iterator[None]:
        """Have the server of this name misbehave, by further settings of nginx for it.

        It passes by itself when any server has answered `passes` times with 503.
        """
        folder = f"/etc/nginx/faults/{name}"
        end = f"rm -f {folder}/fault.conf; nginx -s reload"
        self.sh(f"mkdir -p {folder}; cat >{folder}/fault.conf <<'END'\n{settings}\nEND\nnginx -t; nginx -s reload")
        if passes is not None:
            seen = f"grep -q -m {passes} '\" 503 ' < <(tail -n 0 -F /var/log/nginx/access.log)"
            self.sh(f"systemd-run --quiet bash -c {shlex.quote(f'{seen}; {end}')}")
        try:
            yield
        finally:
            self.sh(end)

    @contextlib.contextmanager
    def certificate(self, kind: str) -> Iterator[None]:
        """Have all servers show a certificate that is `expired`, for `other-name` or of `other-authority`."""
        self.sh(f"{outside.PLACE}/certificate.sh {kind}; nginx -s reload")
        try:
            yield
        finally:
            self.sh(f"{outside.PLACE}/certificate.sh; nginx -s reload")
