"""Asks ssh-keygen, which makes keys, and signs and verifies by `-Y`, as OpenSSH 8.2 and later do."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provisioner.text.display import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "LARGEST",
    "ONE",
    "PLAIN_KEY",
    "Signature",
    "SignatureError",
    "UnaskedError",
    "WrongError",
    "fingerprint",
    "keygen",
    "make_key",
    "plain",
    "sign",
    "written",
]

LARGEST = 16 * 2**10
"""Bytes of a signature; one by RSA has two thousand."""
ONE = "signer"
"""The principal, where it is only asked whether a key has signed."""
SECONDS = 30
PLAIN_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) [A-Za-z0-9+/]{1,8000}={0,2}")
SIGNED_BY = re.compile(r"with \S+ key (SHA256:[A-Za-z0-9+/=]{1,64})")
WRONG = re.compile(
    r"incorrect signature|namespace does not match|missing (?:header|footer)|incomplete message|invalid format"
)
"""How ssh-keygen says that a signature is none, or none of this content; whatever else it says is no judgement."""
REVOKED = re.compile(r"key is revoked", re.IGNORECASE)
"""How it says, asked with -vvv, that a key is among the revoked; a file that it cannot read is not that."""
NOBODY = "No principal matched."
OLD = re.compile(r"(?:unknown|illegal|invalid) option -- '?Y|Unsupported operation for -Y")


class SignatureError(Exception):
    """There is no signature, or nobody can tell; says why in a few words."""


class WrongError(SignatureError):
    """It is no signature, or none of this content."""


class UnaskedError(SignatureError):
    """Nobody can tell, since ssh-keygen did not judge it, which accuses nobody; says what mends it, where known."""


@dataclass(frozen=True)
class KeygenAnswer:
    """What ssh-keygen answered."""

    good: bool
    out: str
    errors: str

    @property
    def why(self) -> str:
        """Its first word on why it did not do it."""
        if OLD.search(self.errors):
            return "ssh-keygen is too old; OpenSSH 8.2 or later is needed"
        lines = (self.errors or self.out).strip().splitlines()
        return f"ssh-keygen says: {printable(lines[0])}" if lines else "ssh-keygen does not say why"


def keygen(*arguments: str | Path, content: bytes = b"") -> KeygenAnswer:
    """Return what ssh-keygen answers. Raise UnaskedError where it cannot be asked."""
    try:
        done = subprocess.run(
            ["ssh-keygen", *map(str, arguments)],
            input=content,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            start_new_session=True,  # away from the terminal, at which it would ask for a passphrase
        )
    except FileNotFoundError as error:
        raise UnaskedError("ssh-keygen is not installed; OpenSSH 8.2 or later has it") from error
    except subprocess.TimeoutExpired as error:
        raise UnaskedError(f"ssh-keygen did not answer within {SECONDS} s") from error
    except OSError as error:
        raise UnaskedError(f"ssh-keygen cannot be started: {error.strerror or error}") from error
    out, errors = (each.decode(errors="replace") for each in (done.stdout, done.stderr))
    return KeygenAnswer(done.returncode == 0, out, errors)


def make_key(path: Path, comment: str = "") -> None:
    """Make a key at `path`, and its public half beside it. Raise SignatureError."""
    said = keygen("-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path)
    if not said.good:
        raise SignatureError(f"no key can be made: {said.why}")


def sign(key: Path, content: bytes, namespace: str) -> bytes:
    """Return the signature of `content` by the private key at `key`. Raise SignatureError where it cannot be made."""
    said = keygen("-q", "-Y", "sign", "-f", key, "-n", namespace, content=content)
    if not said.good:
        raise SignatureError(said.why)
    return said.out.encode("ascii")


@dataclass(frozen=True)
class Signature:
    """A signature, of what it is to be, and for what."""

    value: bytes
    content: bytes
    namespace: str

    def by(self) -> str:
        """Return the fingerprint of the key, whoever's it is, that signed just this. Raise WrongError, UnaskedError."""
        if len(self.value) > LARGEST:
            raise WrongError("it is larger than any signature")
        said = self._asked("check-novalidate", "-n", self.namespace)
        found = SIGNED_BY.search(said.out)
        if said.good and found:
            return found[1]
        raise (WrongError if WRONG.search(said.errors) else UnaskedError)(said.why)

    def names(self, signers: Path) -> list[str]:
        """Return by which names a file of allowed signers knows its key, for what it is of. Raise UnaskedError."""
        said = self._asked("find-principals", "-f", signers)
        if said.good:
            return [name for name in said.out.splitlines() if self._verified(signers, name).good]
        if said.errors.strip() == NOBODY:
            return []
        raise UnaskedError(f"{signers} cannot be used, mend it: {said.why}")

    def is_revoked(self, signers: Path, name: str, revoked: Path) -> bool:
        """Return whether the key, which is that of `name` in a file of allowed signers, is among the `revoked`.

        Raise UnaskedError where that file is of no use.
        """
        said = self._verified(signers, name, "-vvv", "-r", revoked)
        if not said.good and not REVOKED.search(said.errors):
            raise UnaskedError(f"{revoked} cannot be used, mend it or remove it")
        return not said.good

    def _verified(self, signers: Path, name: str, *options: str | Path) -> KeygenAnswer:
        return self._asked("verify", "-f", signers, "-I", name, "-n", self.namespace, *options)

    def _asked(self, what: str, *options: str | Path) -> KeygenAnswer:
        with written(self.value) as path:
            return keygen("-Y", what, *options, "-s", path, content=self.content)


def fingerprint(key: str) -> str:
    """Return the fingerprint of a public key, as ssh-keygen writes it; what is no key has one that is nobody's."""
    try:
        blob = base64.b64decode(key.split()[1] + "==")
    except ValueError:
        return "none"
    digest = hashlib.sha256(blob).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def plain(key: object) -> str:
    """Return a public key as its type and its value. Raise ValueError where it is none, or has more beside it."""
    if isinstance(key, str) and PLAIN_KEY.fullmatch(key):
        return key
    raise ValueError(f"{printable(repr(key), 80)} is not a public key")


@contextmanager
def written(content: bytes) -> Iterator[Path]:
    """Have a file with this content for the while of a block."""
    with tempfile.NamedTemporaryFile(prefix="provisioner-") as file:
        file.write(content)
        file.flush()
        yield Path(file.name)
