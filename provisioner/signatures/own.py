"""The controller's own key, and whom it knows: the folder `signing` of the state directory."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from provisioner.signatures import ssh
from provisioner.system import files

__all__ = ["allowed_signers", "key", "public", "revoked_keys"]

FOLDER = "signing"


def key(state: Path) -> Path:
    """Return the private key, made where there is none yet, for its owner alone. Raise SignatureError, OSError."""
    path = state / FOLDER / "id_ed25519"
    if path.exists():
        return path
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with files.lock(path.with_name("lock")):
        if not path.exists():  # another process may have been here meanwhile
            _make(path)
    return path


def public(state: Path) -> str | None:
    """Return the public half of the key, None where there is none."""
    with suppress(OSError, ValueError):
        text = files.read(state / FOLDER / "id_ed25519.pub", ssh.LARGEST).decode()
        return ssh.plain(" ".join(text.split()[:2]))
    return None


def allowed_signers(state: Path) -> Path | None:
    """Return the file in which the user names other controllers and hosts by their keys, None where there is none."""
    return _there(state / FOLDER / "allowed_signers")


def revoked_keys(state: Path) -> Path | None:
    """Return the file of keys that the user trusts no more, None where there is none."""
    return _there(state / FOLDER / "revoked_keys")


def _there(path: Path) -> Path | None:
    return path if path.exists() or path.is_symlink() else None  # a broken one is reported, not ignored


def _make(path: Path) -> None:
    """Make a key, of which the private half takes its name last. Raise SignatureError, OSError."""
    part = path.with_name("new")
    for left in (part, part.with_name("new.pub")):
        left.unlink(missing_ok=True)
    ssh.make_key(part)
    part.with_name("new.pub").replace(path.with_name("id_ed25519.pub"))
    part.replace(path)
