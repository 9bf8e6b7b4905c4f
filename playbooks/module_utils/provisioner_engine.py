"""Asks a host's Docker engine: over its socket, which costs no program; with the client where it listens elsewhere."""

from __future__ import annotations

import json
import re
import socket
from functools import cached_property

from ansible.module_utils.provisioner_host import Host

SOCKET = "/var/run/docker.sock"
SERVICE = "docker.service"
# An engine that is busy starting may take its time; one that hangs must not hang the probe.
PATIENCE = 20


class Engine:
    """The Docker engine of `host`. An engine that systemd has stopped is not asked: its socket would start it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.client = host.which("docker")

    @cached_property
    def stopped(self) -> bool:
        """Whether systemd knows the engine and does not have it running."""
        unit = self.host.unit(SERVICE)
        return unit.get("LoadState") in ("loaded", "masked") and unit.get("ActiveState") in ("inactive", "failed")

    @cached_property
    def version(self) -> str:
        """The engine's version; '' where none answers, or there is no client to speak to it."""
        if not self.client or self.stopped:
            return ""
        # Every answer names it, so the quickest question will do: for /version the engine starts programs of its own.
        named = re.search(r"^Server: Docker/(\S+)", _talk("/_ping")[0], re.MULTILINE)
        if named:
            return named[1]
        answer = _get("/version")
        if answer:
            return str(answer.get("Version", ""))
        return str(self.host.ask(self.client, "version", "--format", "{{.Server.Version}}"))

    @cached_property
    def containers(self) -> int:
        """How many containers run."""
        if not self.version:
            return 0
        answer = _get("/containers/json")
        return len(self.host.ask(self.client, "ps", "--quiet").split()) if answer is None else len(answer)

    def answer(self, question: str) -> dict | list | None:
        """What the engine answers over its socket to GET `question`; None where it does not, and is not started."""
        return None if self.stopped else _get(question)

    def image_label(self, name: str, label: str) -> str | None:
        """The value of an image's label, '' without it; None where there is no such image or no engine."""
        if not self.version:
            return None
        import urllib.parse  # noqa: PLC0415 - slow to import, and seldom needed

        answer = _get(f"/images/{urllib.parse.quote(name)}/json")
        if answer is None:
            shown = self.host.ask(self.client, "image", "inspect", "--format", "{{json .}}", name)
            answer = json.loads(shown) if shown else {}
        return ((answer.get("Config") or {}).get("Labels") or {}).get(label, "") if "Id" in answer else None


def _get(path: str) -> dict | list | None:
    """The engine's answer to a GET, which may be an error's; None where its socket does not give one."""
    try:
        return json.loads(_talk(path)[1])
    except ValueError:
        return None


def _talk(path: str) -> tuple[str, str]:
    """The head and the body of the engine's answer to a GET; empty where its socket does not give one."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(SOCKET)
            # 1.0: the answer is in one piece, and the engine closes after it.
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    except OSError:
        return "", ""
    head, _, body = answer.decode(errors="replace").partition("\r\n\r\n")
    return head, body
