"""The table of the distributions that are known, a file for each release: distributions/README.md."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

__all__ = ["FOLDER", "column", "table"]

FOLDER = Path(__file__).parents[2] / "distributions"
OF_ONE_FILE = ("like", "name", "codename", "tried", "in_part")
"""What a file does not have from the one that it is like."""


def column(path: str) -> dict[str, Any]:
    """Return what each release has at `path`, keys with dots between them; those that have nothing there are left out.

    Raise ValueError where a file is like one that is not there, or like itself.
    """
    found = {release: _at(entry, path.split(".")) for release, entry in table().items()}
    return {release: value for release, value in found.items() if value is not None}


@functools.cache
def table(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """Return all that is known of each release, in the order of their names. Raise ValueError as `column`."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    files = {path.stem: yaml.load(path.read_bytes(), loader) for path in sorted(folder.glob("*.yml"))}  # noqa: S506
    return {release: _named(release, _whole(files, release)) for release, entry in files.items() if "name" in entry}


def _named(release: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry in which each role's part says of which release it is."""
    known = {"id": release, **{key: entry[key] for key in ("name", "codename") if key in entry}}
    return {key: {**value, **known} if isinstance(value, dict) else value for key, value in entry.items()}


def _whole(files: Mapping[str, dict[str, Any]], release: str, likes: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a file's entry with what it has from those that it is like."""
    if release in likes or release not in files:
        raise ValueError(f"distributions/{likes[-1]}.yml: like {release}, which cannot be; name another file there")
    entry = files[release]
    like = entry.get("like")
    base = _whole(files, like, (*likes, release)) if like else {}
    return _merged({key: value for key, value in base.items() if key not in OF_ONE_FILE}, entry)


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `own` over it, dictionary by dictionary; a list is replaced."""
    both = {
        key: _merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        for key, value in own.items()
    }
    return {**base, **both}


def _at(entry: Any, keys: list[str]) -> Any:
    for key in keys:
        entry = entry.get(key) if isinstance(entry, dict) else None
    return entry
