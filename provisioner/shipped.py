"""The sums of the files that a run is made of, by version: `python -m provisioner.shipped` writes this one's.

They are data of the package, not read off the files beside it: whoever edits a script there is found out too.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from provisioner import __version__
from provisioner.paths import ansible_dir

__all__ = ["load", "role", "sums"]

PINNED = Path(__file__).parent / "shipped.json"


def load() -> dict[str, dict[str, str]]:
    """Give, by version, newest first, each file's SHA-256 by its path below files/xformers-devcontainer."""
    pinned: dict[str, dict[str, str]] = json.loads(PINNED.read_text(encoding="utf-8"))
    return pinned


def role() -> Path:
    """Give the role's folder; raises ProvisionerError where it is not beside the package."""
    return ansible_dir() / "roles" / "scenario_a"


def sums() -> dict[str, str]:
    """Give the sums of the role's files as they are now, and of the template that the Dockerfile comes from."""
    base = role() / "files" / "xformers-devcontainer"
    files = {path.relative_to(base).as_posix(): path for path in base.rglob("*") if path.is_file()}
    files = {name: path for name, path in files.items() if "__pycache__" not in name}
    files["templates/Dockerfile.scenario-a.j2"] = role() / "templates" / "Dockerfile.scenario-a.j2"
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in sorted(files.items())}


if __name__ == "__main__":
    others = {version: files for version, files in load().items() if version != __version__}
    PINNED.write_text(json.dumps({__version__: sums(), **others}, indent=2) + "\n", encoding="utf-8")
