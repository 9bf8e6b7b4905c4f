"""What Ansible said of an inventory, kept while its files stay as they are: to ask takes a third of a second.

Kept is which hosts and groups there are and what we go by, no other variable. Nothing is kept where Ansible's answer
may change by itself: of a program, of a plugin, or with a configuration that we do not know.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioner import __version__, bounds, files
from provisioner.errors import ProvisionerError
from provisioner.paths import ensure_state_dir

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["key", "load", "save"]

KEPT = 20
"""So many answers are kept, the newest."""


def key(source: str, read: Iterable[Path], environment: Mapping[str, str]) -> str | None:
    """Return what the answer is kept by; None where it may change although these files do not.

    source: the inventory, as Ansible is given it. read: all files that it reads with it. environment: its own.
    """
    configuration = environment.get("ANSIBLE_CONFIG")
    if not configuration:
        return None
    versions = [__version__, importlib.metadata.version("ansible-core")]
    # How hosts are reached by ssh is nothing that an inventory is read by.
    names = sorted(name for name in environment if name.startswith("ANSIBLE_") and not name.startswith("ANSIBLE_SSH_"))
    settings = [(name, environment[name]) for name in names]
    digest = hashlib.sha256(json.dumps([source, versions, settings]).encode())
    try:
        for path in [Path(configuration), *read]:
            content = files.read(path, bounds.INVENTORY, follow=True)
            if path.stat().st_mode & 0o111 or b"plugin:" in content or content.startswith(b"#!"):
                return None
            digest.update(json.dumps([str(path), hashlib.sha256(content).hexdigest()]).encode())
    except (OSError, ValueError):
        return None
    return digest.hexdigest()


def load(state: Path, name: str) -> Any:
    """Return what is kept by a key, None where nothing is."""
    try:
        return json.loads(files.read(_folder(state) / name, bounds.INVENTORY_ANSWER))
    except (OSError, ValueError, RecursionError):
        return None


def save(state: Path, name: str, value: Any) -> None:
    """Keep a value by its key; where that cannot be, it is asked for again the next time."""
    with suppress(OSError, ProvisionerError):
        folder = ensure_state_dir(_folder(state))
        files.write(folder / name, json.dumps(value))
        for old in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
            old.unlink()


def _folder(state: Path) -> Path:
    return state / "inventories"
