"""A bundle: one tar archive of all that a host without a network needs, and the sum of each file in it.

    manifest.json   {"schema": "provisioner-bundle/1", "python": "3.12", "platform": "...", "files": {NAME: SHA256}}
    sdist/          xformers' source release
    wheels/         what pip installs
    npm/            the Dev Container CLI, where the bundle is for devcontainers

`provisioner bundle` makes it; it is checked there, by `provisioner doctor`, and on each host that it is brought to.
Python 3.9 and its standard library.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Collection
from pathlib import Path

SCHEMA = "provisioner-bundle/1"
MANIFEST = "manifest.json"
NAME = re.compile(r"(sdist|wheels|npm)/[A-Za-z0-9][A-Za-z0-9._+-]*")
AGAIN = "make it again with `provisioner bundle`"


class BundleError(Exception):
    """What is wrong with a bundle, in one line: what; how to mend it."""


def contents(archive: str | Path, known: Collection[str]) -> tuple[dict, dict[str, bytes]]:
    """Return the manifest, and the bytes of each file that it names.

    Raise BundleError where the archive cannot be read, its files are not those of the manifest, or a file's sum is
    not the manifest's or none of `known`: the sums of what the profile and the locks pin, SHA-256 as pip writes it or
    an integrity as npm does.
    """
    import tarfile  # noqa: PLC0415 - slow to import, and a host is mostly asked no more than whether it is `intact`

    try:
        with tarfile.open(archive, "r:") as tar:
            found = {member.name: tar.extractfile(member).read() for member in tar if member.isreg()}
            others = [member.name for member in tar if not member.isreg()]
        manifest = json.loads(found.pop(MANIFEST))
        sums = dict(manifest["files"])
    except (OSError, tarfile.TarError, EOFError, ValueError, KeyError, TypeError) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise BundleError(f"{archive} is not a bundle, or is cut off ({why}); {AGAIN}") from error
    if manifest.get("schema") != SCHEMA:
        raise BundleError(f"{archive} is of schema {manifest.get('schema')}, not {SCHEMA}; {AGAIN}")
    strange = [*others, *(set(found) ^ set(sums)), *(name for name in sums if not NAME.fullmatch(name))]
    if strange:
        raise BundleError(f"{archive} was altered: {min(strange)} is not as the manifest has it; {AGAIN}")
    for name, data in sorted(found.items()):
        actual = hashlib.sha256(data).hexdigest()
        if actual != sums[name]:
            raise BundleError(f"{archive} was altered: {name} has sha256 {actual}, not {sums[name]}; {AGAIN}")
        if actual not in known and integrity(data) not in known:
            raise BundleError(f"{archive} is of other versions, or altered: {name} is not what is pinned; {AGAIN}")
    return manifest, found


def integrity(data: bytes) -> str:
    """Return the sum of `data` as npm's locks have it."""
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


def misfit(manifest: dict, machine: str, runtime: str) -> str:
    """Return why a bundle does not serve that kind of machine, or that runtime, and the remedy; '' where it does."""
    platform = str(manifest.get("platform", ""))
    if not manifest:  # it cannot be read, which `contents` tells
        return ""
    if not platform.endswith(machine):
        kind = platform.partition("_2_")[2].partition("_")[2] or platform
        return (
            f"the bundle is for machines of kind {kind}, and this one is {machine}; make one for it with `provisioner "
            f"bundle --platform manylinux_2_28_{machine}`"
        )
    if runtime == "devcontainer" and not any(name.startswith("npm/") for name in manifest.get("files", ())):
        return (
            "the bundle has no Dev Container CLI, since it was made for the runtime native; make it with `provisioner "
            "bundle --runtime devcontainer`"
        )
    return ""


def intact(folder: str | Path, archive_sha256: str) -> bool:
    """Return whether a folder holds what an archive of that sum was unpacked to, each file as the manifest has it."""
    from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import LARGEST_OF_ALL, content  # noqa: PLC0415 - hosts alone have it

    try:
        manifest = json.loads(content(Path(folder) / MANIFEST))
        same = content(Path(folder) / "archive.sha256").decode() == archive_sha256
        files = manifest["files"].items()
        return same and all(
            hashlib.sha256(content(Path(folder) / name, LARGEST_OF_ALL)).hexdigest() == expected
            for name, expected in files
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
