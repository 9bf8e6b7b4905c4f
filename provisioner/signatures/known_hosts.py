"""What this machine knows a host by: the keys that ssh itself would find in known_hosts, never what the host says."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from provisioner.signatures import ssh

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["keys"]

SECONDS = 30


def keys(command: Sequence[str], host: str) -> list[str]:
    """Return the public keys that known_hosts has of `host`, as `command`, ssh with its options, would look them up.

    There are none where it has no such entry, or nobody can be asked. Keys of authorities are not the host's own, and
    what is marked as revoked is left out.
    """
    settings = dict(line.partition(" ")[::2] for line in _said([*command, "-G", "--", host]))
    name, port = settings.get("hostkeyalias") or settings.get("hostname") or host, settings.get("port", "22")
    wanted = name if port == "22" or "hostkeyalias" in settings else f"[{name}]:{port}"
    found: dict[str, bool] = {}
    for path in (path for kind in ("user", "global") for path in _files(settings.get(f"{kind}knownhostsfile", ""))):
        for line in _found(wanted, path):
            key, revoked = _key(line)
            if key:
                found[key] = found.get(key, True) and not revoked
    return [key for key, good in found.items() if good]


def _key(line: str) -> tuple[str, bool]:
    """Return the key of a line of known hosts, and whether it is revoked; '' where it has none of a host's own."""
    words = line.split()
    marker = words.pop(0) if words[:1] and words[0].startswith("@") else ""
    key = " ".join(words[1:3])
    if line.startswith("#") or marker not in {"", "@revoked"} or not ssh.PLAIN_KEY.fullmatch(key):
        return "", False
    return key, bool(marker)


def _found(name: str, path: Path) -> list[str]:
    """Return the lines that a file of known hosts has of a name; none where nobody can be asked."""
    with suppress(ssh.UnaskedError):
        said = ssh.keygen("-F", name, "-f", path)
        return said.out.splitlines() if said.good else []
    return []


def _files(text: str) -> Iterator[Path]:
    """Yield the files that `ssh -G` names on one line; a blank may be part of a name."""
    words = text.split(" ")
    start = 0
    while start < len(words):
        paths = (Path(" ".join(words[start:end])) for end in range(start + 1, len(words) + 1))
        found = next((path for path in paths if path.is_file()), None)
        if found:
            yield found
        start += str(found).count(" ") + 1 if found else 1


def _said(command: Sequence[str]) -> list[str]:
    """Return the lines that a command prints; none where it fails."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []
