"""Asks a host's Docker engine: over its socket, which costs no program; with the client where root's is told to ask
elsewhere. Each question has its time; an engine that was silent once is not asked again.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import socket
import time
from functools import cached_property
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import docker_processes as processes
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host

SOCKET = "/var/run/docker.sock"
SERVICE = "docker.service"
SOCKET_UNIT = "docker.socket"
SETTINGS = Path("/etc/docker/daemon.json")
# How the engine names its newer store, whose images lie in containerd's folder.
CONTAINERD_STORE = "io.containerd.snapshotter.v1"
# How long an answer may take, in seconds: the first one, which costs an engine nothing, and the others.
PING_SECONDS = 5
ANSWER_SECONDS = 15


@functools.cache
def of(host: Host) -> Engine:
    """Return the engine of `host`, the same one for all probes."""
    return Engine(host)


class Engine:
    """The Docker engine of `host`. An engine that systemd has stopped is not asked: its socket would start it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.client = host.which("docker")

    @cached_property
    def stopped(self) -> bool:
        """Whether systemd knows the engine, does not have it running, and would start it at a question."""
        unit, activation = self.host.unit(SERVICE), self.host.unit(SOCKET_UNIT)
        known = unit.get("LoadState") in ("loaded", "masked")
        return known and unit.get("ActiveState") in ("inactive", "failed") and activation.get("ActiveState") == "active"

    @cached_property
    def elsewhere(self) -> str:
        """Where root's docker client is told to ask, by DOCKER_HOST or a context; '' where that is SOCKET.

        A client that is still to be installed is told, too.
        """
        address = os.environ.get("DOCKER_HOST", "") or _context_address()
        return "" if not address or processes.same_socket(address, SOCKET) else address

    @property
    def is_here(self) -> bool:
        """Whether it is this host's, as far as its address tells."""
        kind, _unused, place = self.elsewhere.partition("://")
        own = ("localhost", "127.", "0.0.0.0", "[::1]", "[::]", f"{socket.gethostname()}:")  # noqa: S104 - compared
        return kind in ("", "unix") or (kind in ("tcp", "http", "https") and place.startswith(own))

    @cached_property
    def _ping(self) -> tuple[str, str]:
        return ("", "") if self.stopped else _talk("/_ping", PING_SECONDS)

    @cached_property
    def podman(self) -> str:
        """Podman's version, where it is what answers on the socket."""
        named = re.search(r"^Server: Libpod/(\S+)", self._ping[0], re.MULTILINE)
        return named[1] if named and not self.elsewhere else ""

    @cached_property
    def version(self) -> str:
        """The engine's version; '' where none answers."""
        if self.elsewhere:
            return self._said("version", "--format", "{{.Server.Version}}") or ""
        # Every answer names it, so the quickest question will do: for /version the engine starts programs of its own.
        named = re.search(r"^Server: Docker/(\S+)", self._ping[0], re.MULTILINE)
        if named:
            return named[1]
        answer = self.answer("/version") if self._ping[0] and not self.podman else None
        return str(answer.get("Version", "")) if isinstance(answer, dict) else ""

    @cached_property
    def _listed(self) -> list[str] | None:
        """Names of the containers that run, as the engine tells; None where it does not."""
        if not self.version:
            return None
        if self.elsewhere:
            said = self._said("ps", "--format", "{{.Names}}")
            return None if said is None else said.split()
        answer = self.answer("/containers/json")
        if not isinstance(answer, list):
            return None
        return sorted(str((one.get("Names") or ["?"])[0]).lstrip("/") for one in answer)

    @property
    def answers(self) -> bool:
        """Whether it answers, also to what a run asks: one that is stuck may still say that it lives."""
        return self._listed is not None

    @cached_property
    def containers(self) -> list[str]:
        """The containers that run: their names, or their ids where only the kernel tells of them."""
        return processes.containers() if self._listed is None else self._listed

    @cached_property
    def info(self) -> dict:
        """What the engine says of itself; {} where it does not answer."""
        if not self.answers:
            return {}
        answer = _parsed(self._said("info", "--format", "{{json .}}") or "") if self.elsewhere else self.answer("/info")
        return answer if isinstance(answer, dict) and "ServerVersion" in answer else {}

    @property
    def folders(self) -> list[Path]:
        """Where it keeps its images on this host: as it says, or else its settings, or as Docker does."""
        if not self.is_here:
            return []
        settings = {} if self.info else _parsed(Host.read(SETTINGS))
        told = self.info.get("DockerRootDir") or (settings.get("data-root") if isinstance(settings, dict) else None)
        by_containerd = ["driver-type", CONTAINERD_STORE] in (self.info.get("DriverStatus") or [])
        return [Path(str(told or "/var/lib/docker")), *([Path("/var/lib/containerd")] if by_containerd else [])]

    @cached_property
    def daemon(self) -> processes.Daemon | None:
        """The dockerd that docker.service keeps, or else the only one that is root's; None where it is not that one."""
        main = self.host.unit(SERVICE).get("MainPID", "")
        kept = processes.daemon(main) if main.isdigit() and not self.elsewhere else None
        if kept:  # as nearly always
            return kept
        mine = [one for one in processes.daemons() if one.user == "root"]
        if not self.is_here:
            return None
        if not self.elsewhere or len(mine) == 1:
            mine = [one for one in mine if self._is_service_s(one)] or mine
        return mine[0] if len(mine) == 1 else None

    @property
    def is_systemd_s(self) -> bool:
        """Whether it is docker.service that keeps it."""
        return self.daemon is not None and self._is_service_s(self.daemon)

    def _is_service_s(self, one: processes.Daemon) -> bool:
        return str(one.pid) == self.host.unit(SERVICE).get("MainPID") or f"/{SERVICE}" in one.cgroup

    def answer(self, question: str) -> dict | list | None:
        """Return the engine's answer over its socket to GET `question`; None where there is none. It is not started."""
        return _parsed(_talk(question, ANSWER_SECONDS)[1]) if self._ping[0] else None

    def image_label(self, name: str, label: str) -> str | None:
        """Return the value of an image's label, '' without it; None where there is no such image or no engine."""
        if not self.answers:
            return None
        if self.elsewhere:
            answer = _parsed(self._said("image", "inspect", "--format", "{{json .}}", name) or "")
        else:
            import urllib.parse  # noqa: PLC0415 - slow to import, and seldom needed

            answer = self.answer(f"/images/{urllib.parse.quote(name)}/json")
        if not isinstance(answer, dict) or "Id" not in answer:
            return None
        return str(((answer.get("Config") or {}).get("Labels") or {}).get(label, ""))

    def _said(self, *words: str) -> str | None:
        """Return what the docker client prints; None where it fails, or takes too long."""
        code, out, _unused = (
            self.host.run("timeout", str(ANSWER_SECONDS), self.client, *words) if self.client else (1, "", "")
        )
        return out.strip() if code == 0 else None


def business(engine: Engine) -> str:
    """Return what a restart of the engine would stop or disturb, for people; '' where nothing is known of."""
    number = len(engine.containers)
    if number:
        return f"its {number} running container{'s' * (number > 1)}"
    state = (engine.info.get("Swarm") or {}).get("LocalNodeState", "inactive")
    if state != "inactive":
        return "a Docker Swarm that it is a node of"
    return "a build that it runs" if processes.containers() else ""  # which is not among its containers


def _context_address() -> str:
    """Return where root's docker client asks by its context; '' by the usual one, or where there is no such context."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or "~/.docker").expanduser()
    settings = _parsed(Host.read(folder / "config.json"))
    current = settings.get("currentContext") if isinstance(settings, dict) else ""
    name = str(os.environ.get("DOCKER_CONTEXT") or current or "default")
    if name == "default":
        return ""
    # Where the client keeps it, as its own `docker context` does.
    kept = _parsed(Host.read(folder / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"))
    try:
        return str(kept["Endpoints"]["docker"]["Host"])
    except (KeyError, TypeError):
        return ""


def _parsed(text: str) -> dict | list | None:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _talk(path: str, seconds: float) -> tuple[str, str]:
    """Return the head and the body of the engine's answer to a GET; empty where it does not come whole in time."""
    end = time.monotonic() + seconds
    parts = []
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(seconds)
            connection.connect(SOCKET)
            # 1.0: the answer is in one piece, and the engine closes after it.
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            while True:
                connection.settimeout(max(end - time.monotonic(), 0.001))
                parts.append(connection.recv(65536))
                if not parts[-1]:
                    break
    except OSError:
        return "", ""
    head, _unused, body = b"".join(parts).decode(errors="replace").partition("\r\n\r\n")
    return head, body
