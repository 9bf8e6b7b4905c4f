"""What Ansible said of an inventory, kept while its files stay as they are: to ask takes a third of a second.

Kept is which hosts and groups there are and what we go by, no other variable. Nothing is kept where Ansible's answer
may change by itself: of a program, or of a plugin.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from provisioner import __version__
from provisioner.ansible import passwords
from provisioner.errors import ProvisionerError
from provisioner.system import files
from provisioner.system.paths import ensure_state_dir
from provisioner.text import bounds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from provisioner.ansible.environment import AnsibleEnvironment

__all__ = ["key", "load", "save"]

KEPT = 20
"""So many answers are kept, the newest."""
PLUGINS = {
    "ANSIBLE_INVENTORY_ENABLED": "enable_plugins",
    "ANSIBLE_INVENTORY_PLUGINS": "inventory_plugins",
    "ANSIBLE_VARS_ENABLED": "vars_plugins_enabled",
    "ANSIBLE_VARS_PLUGINS": "vars_plugins",
}
"""What a site has inventories read by plugins of its own with, as variables and as keys."""


def key(sources: Sequence[str], read: Iterable[Path], environment: AnsibleEnvironment) -> str | None:
    """Return what the answer is kept by; None where it may change although these files do not.

    sources: the inventory, as Ansible is given it. read: all files that it reads with it. environment: Ansible's.
    """
    if PLUGINS.keys() & environment.variables.keys() or re.search(
        rf"^({'|'.join(PLUGINS.values())}) *=", environment.configuration, re.MULTILINE
    ):
        return None
    versions = [__version__, importlib.metadata.version("ansible-core")]
    # Settings of ssh do not change what an inventory says.
    settings = [
        (name, value)
        for name, value in sorted(environment.variables.items())
        # The path of a password's file differs each time.
        if name.startswith("ANSIBLE_") and not name.startswith("ANSIBLE_SSH_") and name not in passwords.NAMES
    ]
    digest = hashlib.sha256(json.dumps([sources, versions, settings, environment.configuration]).encode())
    try:
        for path in read:
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
