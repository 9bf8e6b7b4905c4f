"""Who vouches for what of a run's evidence, in words; beside the audit's verdict, which asks nobody."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from provisioner.audit.checks.consistency import SIGNATURES
from provisioner.runs import archive
from provisioner.runs.evidence import MISSHAPEN
from provisioner.runs.figures import MANIFEST
from provisioner.signatures import own, receipt, ssh
from provisioner.signatures.receipt import Receipt
from provisioner.signatures.ssh import Signature, UnaskedError, WrongError
from provisioner.system import files
from provisioner.text import bounds
from provisioner.text.display import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from provisioner.runs.evidence import Evidence
    from provisioner.runs.record import Audit

__all__ = ["HOST_NAMESPACE", "Signed", "Vouching", "is_whole", "of"]

HOST_NAMESPACE = "provisioner-evidence"
"""What scenario_a.sh signs a manifest for (benchmarking/sign_manifest.sh)."""
SKEW = timedelta(minutes=1)
"""So far apart two clocks may be without a word."""

State = Literal["good", "none", "unknown", "revoked", "bad"]


@dataclass(frozen=True)
class Signed:
    """What one of the two signatures comes to.

    good: by whom it should be. none: there is none. unknown: by a key of which nobody here knows whose it is, or nobody
    can tell, since ssh-keygen did not judge it. revoked: by a key that is trusted no more. bad: what was signed is not
    what is here.
    """

    state: State
    detail: str
    key: str | None = None

    @property
    def accuses(self) -> bool:
        """Whether somebody must have altered something, or the key is in wrong hands."""
        return self.state in {"bad", "revoked"}


@dataclass(frozen=True)
class Vouching:
    """What host and controller vouch for."""

    host: Signed
    controller: Signed
    received_at: datetime | None = None
    remarks: tuple[str, ...] = ()

    @property
    def accuses(self) -> bool:
        """Whether either signature does."""
        return self.host.accuses or self.controller.accuses

    def lines(self) -> list[str]:
        """Return it in sentences, for people."""
        return [self.host.detail, self.controller.detail, *self.remarks]

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        received = self.received_at.isoformat().replace("+00:00", "Z") if self.received_at else None
        return {
            "host": asdict(self.host),
            "controller": asdict(self.controller) | {"received_at": received},
            "remarks": list(self.remarks),
        }


def of(evidence: Evidence, state: Path, *, whole: bool, host: str | None = None) -> Vouching:
    """Return who vouches for a run's evidence, as far as the controller whose state directory this is can know.

    `whole`: whether its files have the sums of its manifest, as the audit found; `host`: whose run it is said to be,
    where somebody says so. Raise ValueError where it is no run.
    """
    found, taken = _controller(evidence, state)
    if taken and host not in {None, taken.sender.host}:
        of_other = f"the controller's receipt is of another host, {printable(taken.sender.host)}"
        found, taken = Signed("bad", of_other, found.key), None
    signed = _host(evidence, taken, found, state, whole=whole)
    if taken is None:
        return Vouching(signed, found)
    remarks: list[str] = []
    with suppress(*MISSHAPEN):  # times that no clock tells
        remarks += _clocks(evidence, taken)
    return Vouching(signed, found, taken.received_at, tuple(remarks))


def is_whole(audit: Audit) -> bool:
    """Return whether the audit found each file of the evidence to have the sum of its manifest."""
    return any(check.name == "evidence_is_whole" and check.outcome == "pass" for check in audit.checks)


def _controller(evidence: Evidence, state: Path) -> tuple[Signed, Receipt | None]:
    """Return what the controller's signature comes to, and the receipt that it is of, unless that is worth nothing."""
    packed = evidence.archive
    folder = evidence.folder if packed != evidence.folder else evidence.folder.parent
    if packed is None or packed.name != archive.NAME or not (folder / receipt.NAME).exists():
        return Signed("none", "no controller has signed for its arrival"), None
    try:
        text = files.read(folder / receipt.NAME, receipt.LARGEST)
        taken = receipt.parse(text)
    except MISSHAPEN as error:
        return Signed("bad", f"the controller's receipt is broken: {printable(error)}"), None
    if taken.sender.run_id != evidence.run["run_id"]:
        return Signed("bad", f"the controller's receipt is of another run, {taken.sender.run_id}"), None
    if hashlib.sha256(files.read(packed, bounds.ARCHIVE, follow=True)).hexdigest() != taken.archive_sha256:
        return Signed("bad", "the archive was altered after the controller received it"), None
    if taken.controller_key is None:
        why = f": {printable(taken.unsigned)}" if taken.unsigned else ""
        return Signed("none", f"unsigned by the controller{why}"), None
    signed = _receipt_signed(folder, text, taken, state)
    return signed, None if signed.accuses else taken


def _receipt_signed(folder: Path, text: bytes, taken: Receipt, state: Path) -> Signed:
    """Return what the signature of a receipt comes to, which names the key that signed it."""
    key = str(taken.controller_key)
    when = f"{taken.received_at:%Y-%m-%d %H:%M:%S} UTC"
    try:
        signature = Signature(files.read(folder / receipt.SIGNATURE, ssh.LARGEST), text, receipt.NAMESPACE)
        by = signature.by()
        if by != ssh.fingerprint(key):
            return Signed("bad", f"the controller's receipt is signed by another key than it names, {by}", by)
        if _is_revoked(signature, key, state):
            return Signed("revoked", f"received at {when}, and signed by {by}, a key that was revoked", by)
        name = "this controller" if key == own.public(state) else _name(signature, state)
    except (OSError, ValueError, WrongError) as error:
        return Signed("bad", f"the controller's signature is not of this receipt: {printable(error)}")
    except UnaskedError as error:
        return Signed("unknown", f"received at {when}, and signed, but by whom is not known: {printable(error)}")
    if name:
        return Signed("good", f"received by {name} at {when}", by)
    return Signed("unknown", f"received at {when} by a controller that is not known here, whose key is {by}", by)


def _host(evidence: Evidence, taken: Receipt | None, controller: Signed, state: Path, *, whole: bool) -> Signed:
    """Return what the host's signatures of its manifest come to: one for each kind of key that it has."""
    try:
        manifest = evidence.content(MANIFEST)
        contents = [content for name in SIGNATURES if (content := evidence.content(name, ssh.LARGEST))]
    except MISSHAPEN as error:
        return Signed("bad", f"the host's signature cannot be read: {printable(error)}")
    if not contents:
        return Signed("none", "unsigned by the host")
    first = None
    try:
        by = _by([Signature(content, manifest, HOST_NAMESPACE) for content in contents])
        first = next(iter(by))
        if whole:
            return _named(by, state) or _as_received(by, taken, controller, state)
        return Signed("bad", "the evidence is not as the host signed it: see evidence_is_whole", first)
    except WrongError as error:
        return Signed("bad", f"the host's signature is not of this manifest: {printable(error)}")
    except UnaskedError as error:
        return Signed("unknown", f"signed, but by whom is not known: {printable(error)}", first)


def _by(signatures: Iterable[Signature]) -> dict[str, Signature]:
    """Return a host's signatures by the keys that made them: each alone, since policy here may refuse a kind of key.

    Raise WrongError where one is wrong, UnaskedError where none was judged.
    """
    by: dict[str, Signature] = {}
    unasked = UnaskedError("there is none")
    for signature in signatures:
        try:
            by[signature.by()] = signature
        except UnaskedError as error:
            unasked = error
    if not by:
        raise unasked
    return by


def _named(by: Mapping[str, Signature], state: Path) -> Signed | None:
    """Return what a host's signatures come to where the user has named one of its keys; None where they have not."""
    signers, revoked = own.allowed_signers(state), own.revoked_keys(state)
    if signers is None:
        return None
    for key, signature in by.items():
        for name in signature.names(signers)[:1]:
            is_revoked = revoked is not None and signature.is_revoked(signers, name, revoked)
            return _host_signed("good", f"unchanged since it left {printable(name)}", key, is_revoked)
    return None


def _as_received(by: Mapping[str, Signature], taken: Receipt | None, controller: Signed, state: Path) -> Signed:
    """Return what a host's signatures come to by the keys that the controller knew it by when the evidence came."""
    first = next(iter(by))
    if taken is None:
        return Signed("unknown", f"signed by {first}, a key that is not known here", first)
    host = taken.sender.host
    if taken.sender.connection == "local":
        return Signed("none", "unsigned by the host, which was the controller itself", first)
    for key in taken.sender.host_keys:
        if signature := by.get(ssh.fingerprint(key)):
            known = controller.state == "good"
            said = f"unchanged since it left {host}" + ("" if known else ", if that controller is to be believed")
            is_revoked = _is_revoked(signature, key, state)
            return _host_signed("good" if known else "unknown", said, ssh.fingerprint(key), is_revoked)
    if not taken.sender.host_keys:
        return Signed("unknown", f"signed by {first}; its controller's known_hosts had no key of {host}", first)
    what = "was known by another key: it was reinstalled, or this is another machine"
    return Signed("unknown", f"signed by {first}; {host} {what}", first)


def _host_signed(state: State, detail: str, key: str, is_revoked: bool) -> Signed:
    if is_revoked:
        return Signed("revoked", f"the host's signature is by {key}, a key that was revoked", key)
    return Signed(state, detail, key)


def _name(signature: Signature, state: Path) -> str | None:
    """Return the name that the user has given the key of a signature, for what it is of; None where there is none."""
    signers = own.allowed_signers(state)
    return next(map(printable, signature.names(signers) if signers else []), None)


def _is_revoked(signature: Signature, key: str, state: Path) -> bool:
    """Return whether the public key that made a signature has been revoked here."""
    revoked = own.revoked_keys(state)
    if revoked is None:
        return False
    with ssh.written(f"{ssh.ONE} {key}\n".encode()) as signers:
        return signature.is_revoked(signers, ssh.ONE, revoked)


def _clocks(evidence: Evidence, taken: Receipt) -> Iterator[str]:
    """Yield where the clocks of host, controller and this machine cannot all be right."""
    if evidence.started > taken.received_at + SKEW:
        began = f"{evidence.started:%Y-%m-%d %H:%M:%S}"
        yield f"the clocks differ: by that of {taken.sender.host} it began at {began}, after it was received"
    if taken.received_at > datetime.now(UTC) + SKEW:
        yield "the clocks differ: by this machine's it was received in the future"
