"""What a controller says, and signs, of evidence that arrives: receipt.json beside the archive, and its signature."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from provisioner.signatures import own, ssh
from provisioner.signatures.ssh import SignatureError
from provisioner.text import jsontext, names
from provisioner.text.display import printable

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["NAME", "NAMESPACE", "SIGNATURE", "Receipt", "Sender", "made", "parse"]

NAME = "receipt.json"
SIGNATURE = f"{NAME}.sig"
NAMESPACE = "provisioner-receipt"
SCHEMA = "provisioner-receipt/1"
MOST_KEYS = 100
LARGEST = 256 * 2**10
"""Bytes of one, which has a few hundred."""


@dataclass(frozen=True)
class Sender:
    """Whose evidence it is: the run, and the host as this controller knows it."""

    run_id: str
    host: str
    connection: str
    """How the host was reached, as Ansible names it: ssh, local."""
    host_keys: tuple[str, ...]
    """As known_hosts had them, never as the host said."""


@dataclass(frozen=True)
class Receipt:
    """What arrived, and when by the controller's clock."""

    sender: Sender
    received_at: datetime
    archive_sha256: str
    controller_key: str | None
    """The public half of the key that signed; None where it was not signed."""
    unsigned: str | None = None
    """Why it was not signed."""


def made(state: Path, sender: Sender, packed: bytes) -> dict[str, bytes]:
    """Return the receipt of an archive that has just arrived, and its signature, as files by name.

    Where it cannot be signed, for want of ssh-keygen say, it tells why and has no signature.
    """
    now, digest = datetime.now(UTC).replace(microsecond=0), hashlib.sha256(packed).hexdigest()
    try:
        key = own.key(state)
        text = _text(Receipt(sender, now, digest, own.public(state)))
        return {NAME: text, SIGNATURE: ssh.sign(key, text, NAMESPACE)}
    except (OSError, SignatureError) as error:
        return {NAME: _text(Receipt(sender, now, digest, None, printable(error)))}


def parse(text: bytes) -> Receipt:
    """Return what a receipt says, which may be anybody's. Raise ValueError where it is none."""
    value = jsontext.loads(text.decode())
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise ValueError("it is not a receipt that this version knows")
    words = {name: value.get(name) for name in ("archive_sha256", "connection")}
    keys, key, unsigned = value.get("host_keys"), value.get("controller_key"), value.get("unsigned")
    if not all(isinstance(word, str) for word in words.values()) or not isinstance(keys, list) or len(keys) > MOST_KEYS:
        raise ValueError("it does not have the form of a receipt")
    received = datetime.fromisoformat(str(value.get("received_at")))
    if received.tzinfo is None:
        raise ValueError("it does not say when it was made")
    return Receipt(
        sender=Sender(
            names.run_id(value.get("run_id")),
            names.host(value.get("host")),
            str(words["connection"]),
            tuple(ssh.plain(one) for one in keys),
        ),
        received_at=received.astimezone(UTC),
        archive_sha256=str(words["archive_sha256"]),
        controller_key=None if key is None else ssh.plain(key),
        unsigned=None if unsigned is None else str(unsigned),
    )


def _text(receipt: Receipt) -> bytes:
    value = asdict(receipt) | {"received_at": receipt.received_at.isoformat()}
    value = {"schema": SCHEMA} | value.pop("sender") | value
    return (json.dumps(value, indent=2) + "\n").encode()
