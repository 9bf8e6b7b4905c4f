"""Signs and verifies by `ssh-keygen -Y`, as OpenSSH 8.2 and later do (man ssh-keygen, SIGNATURES)."""

from __future__ import annotations

import re
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provisioner.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["LARGEST", "ONE", "PLAIN_KEY", "Signature", "SignatureError", "allowed", "plain", "sign", "written"]

LARGEST = 16 * 2**10
"""Bytes of a signature; one by RSA has two thousand."""
ONE = "signer"
"""The principal, where it is only asked whether one of some keys has signed."""
SECONDS = 30
PLAIN_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) [A-Za-z0-9+/]{1,8000}={0,2}")
SIGNED_BY = re.compile(r"with \S+ key (SHA256:[A-Za-z0-9+/=]{1,64})")


class SignatureError(Exception):
    """There is no signature, or none of this content; says why in a few words."""


def sign(key: Path, content: bytes, namespace: str) -> bytes:
    """Return the signature of `content` by the private key at `key`. Raise SignatureError where it cannot be made."""
    return _keygen(["-q", "-Y", "sign", "-f", str(key), "-n", namespace], content).encode("ascii")


@dataclass(frozen=True)
class Signature:
    """A signature, of what it is to be, and for what."""

    value: bytes
    content: bytes
    namespace: str

    def by(self) -> str:
        """Return the fingerprint of the key, whoever's it is, that signed just this. Raise SignatureError."""
        if len(self.value) > LARGEST:
            raise SignatureError("it is larger than any signature")
        with written(self.value) as path:
            said = _keygen(["-Y", "check-novalidate", "-n", self.namespace, "-s", str(path)], self.content)
        found = SIGNED_BY.search(said)
        if found is None:
            raise SignatureError("ssh-keygen does not say by which key")
        return found[1]

    def is_by(self, principal: str, signers: Path, revoked: Path | None = None) -> bool:
        """Tell whether `principal` of a file of allowed signers made it, by a key that is not among the `revoked`."""
        options = ["-f", str(signers), "-I", principal, *(["-r", str(revoked)] if revoked else [])]
        try:
            with written(self.value) as path:
                _keygen(["-Y", "verify", *options, "-n", self.namespace, "-s", str(path)], self.content)
        except SignatureError:
            return False
        return True

    def names(self, signers: Path) -> list[str]:
        """Return by which names a file of allowed signers knows its key."""
        try:
            with written(self.value) as path:
                return _keygen(["-Y", "find-principals", "-f", str(signers), "-s", str(path)], b"").splitlines()
        except SignatureError:
            return []


def allowed(keys: Iterable[str]) -> str:
    """Return a file of allowed signers for these public keys, of which each is ONE."""
    return "".join(f"{ONE} {key}\n" for key in keys)


def plain(key: object) -> str:
    """Return a public key as its type and its value. Raise ValueError where it is none, or has more beside it."""
    if isinstance(key, str) and PLAIN_KEY.fullmatch(key):
        return key
    raise ValueError(f"{printable(repr(key), 80)} is no public key")


@contextmanager
def written(content: bytes) -> Iterator[Path]:
    """Have a file with this content for the while of a block."""
    with tempfile.NamedTemporaryFile(prefix="provisioner-") as file:
        file.write(content)
        file.flush()
        yield Path(file.name)


def _keygen(arguments: list[str], content: bytes) -> str:
    try:
        done = subprocess.run(
            ["ssh-keygen", *arguments],
            input=content,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            start_new_session=True,  # away from the terminal, at which it would ask for a passphrase
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SignatureError(f"ssh-keygen cannot be asked: {printable(error)}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise SignatureError(printable(said[0]) if said else "ssh-keygen says no")
    return done.stdout.decode(errors="replace")
