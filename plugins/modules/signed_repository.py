#!/usr/bin/python
"""Ansible module: a signed package repository whose key is pinned by its fingerprint."""

from __future__ import annotations

DOCUMENTATION = r"""
module: signed_repository
short_description: A signed package repository with a pinned key
author: The provisioner authors (!UNKNOWN)
description:
  - Leaves a host alone that has the repository, whatever file of the site's names it, or the packages from elsewhere.
  - Else fetches the key, refuses any but the pinned one, has apt try the repository by itself and beside the host's own
    sources, and only then writes the key and the source list. A repository that is refused leaves no trace.
  - Needs no gpg on the host.
extends_documentation_fragment: provisioner.gpu_hosts.patient
options:
  packages:
    description: What is to come from it; where none of them is missing it is not added.
    type: list
    elements: str
    required: true
  version: {description: The version of all of them; empty for whichever is there or is newest., type: str, default: ""}
  repositories:
    description: >-
      The repository by distribution, as /etc/os-release names it or what it is like. A repository is as
      C(module_utils/signed_repository.py) says.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Have NodeSource's repository
  provisioner.gpu_hosts.signed_repository:
    packages: [nodejs]
    repositories:
      debian:
        name: nodesource
        kind: deb
        url: https://deb.nodesource.com/node_22.x
        suites: nodistro
        components: main
        key_url: https://deb.nodesource.com/gpgkey/nodesource-repo.gpg.key
        fingerprints: [6F71F525282841EEDAF851B42F59B5F99B1BE0B4]
        keyring: /etc/apt/keyrings/site-nodesource.gpg
        source: /etc/apt/sources.list.d/site-nodesource.sources
"""

RETURN = r"""
changes: {description: "What was changed - what, from, to.", type: list, elements: dict, returned: always}
"""

import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import variables
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.apt import NO_INDEXES, apt, complaint, runner
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.apt_sources import first_line, targets, together
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import content as read
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError, told
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.installation import foresee
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.packages import off, sources
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.patience import REPORT, PatientModule
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.signed_repository import (
    codename,
    key_file,
    look_at_key,
    pick,
    pinned,
    source_text,
)
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.write import write

TIMEOUT_SECONDS = 30
# A key is a few kilobytes; what is larger is something else.
LARGEST_KEY_BYTES = 1_000_000


def fetched(repository: dict) -> bytes:
    """Return the pinned key from where the repository says. Raise OSError or ValueError, with why."""
    url = repository["key_url"]
    if not url.startswith(("https://", "http://", "file://")):
        raise ValueError("its kind of address is not known; give a https://, http:// or file:// one")
    with urllib.request.build_opener().open(url, timeout=TIMEOUT_SECONDS) as answer:
        return pinned(answer.read(LARGEST_KEY_BYTES), repository)


def tried(run: Callable[..., tuple[int, str, str]], host: Host, repository: dict, key: bytes) -> str:
    """Return why apt refuses the repository with this key, beside the host's sources or alone; '' if it does not."""
    with tempfile.TemporaryDirectory(prefix="provisioner-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # apt reads and verifies as a user of its own
        keyring = folder / "key.gpg"
        write(keyring, key)
        text = source_text(repository, codename(host), str(keyring))
        errors = together(host, text, repository["source"])
        if errors:
            return first_line(errors)
        write(folder / "sources/tried.sources", text.encode())
        for part in ("lists", "lists/partial"):
            (folder / part).mkdir()
            (folder / part).chmod(0o755)
        where = {
            **NO_INDEXES,
            "Dir::Etc::sourcelist": "/dev/null",
            "Dir::Etc::sourceparts": f"{folder}/sources",
            "Dir::State::lists": f"{folder}/lists",
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
        }
        code, out, errors = run(*apt("update", **where))
        return complaint(errors, out) if code else ""


def put(host: Host, repository: dict, key: bytes) -> None:
    """Write both files. What was there is back where that fails, or apt then cannot read the host's sources.

    Raise OSError or RefusalError.
    """
    paths = [Path(repository["keyring"]), Path(repository["source"])]
    before = [read(path) if path.exists() else None for path in paths]
    try:
        write(paths[0], key_file(key, repository["kind"]))
        write(paths[1], source_text(repository, codename(host)).encode())
        if repository["kind"] == "deb":
            targets(host, "--no-release-info")
    except (RefusalError, OSError):
        for path, content in zip(paths, before):  # noqa: B905 - Python 3.9 has no strict
            if content is None:
                path.unlink(missing_ok=True)
            else:
                write(path, content)
        raise


def main() -> None:
    """Have the repository as it is wanted."""
    module = PatientModule(
        argument_spec={
            **REPORT,
            "repositories": {"type": "dict", "required": True},
            "packages": {"type": "list", "elements": "str", "required": True},
            "version": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    variables.take()
    params, host = module.params, Host()
    with told(module, "/etc/apt"):
        repository = pick(host, params["repositories"])
        missing = off(host, params["packages"], params["version"])
        outcome = foresee(host, missing, params["version"]) if missing else None
        changes = sources(host, params["repositories"], outcome)
        if changes and not module.check_mode:
            bring(runner(module), host, repository)
    shown = ["".join(f"{one['what']}: {one[side]}\n" for one in changes) for side in ("from", "to")]
    module.exit_json(changed=bool(changes), changes=changes, diff={"before": shown[0], "after": shown[1]})


def bring(run: Callable[..., tuple[int, str, str]], host: Host, repository: dict) -> None:
    """Have the key and the source list on the host; RefusalError, and no trace, where either is refused."""
    name = repository["name"]
    try:
        # A key that is here and is the pinned one serves; else a site that is offline could not mend a list.
        here = not look_at_key(host, repository)
        key = pinned(read(repository["keyring"]), repository) if here else fetched(repository)
    except (OSError, ValueError) as error:
        raise RefusalError(
            f"the signing key of {name} from {repository['key_url']} is refused: {error}; nothing was changed: "
            "mend the address, or find out why the key is another one before you pin that"
        ) from None
    refused = tried(run, host, repository, key) if repository["kind"] == "deb" else ""
    if refused:
        raise RefusalError(
            f"the repository {name} at {repository['url']} is refused: {refused}; nothing was changed: "
            "mend its address or find out who signs it, and run this again"
        )
    put(host, repository, key)


if __name__ == "__main__":
    main()
