#!/usr/bin/python
"""Ansible module: a signed package repository whose key is pinned by its fingerprint."""

from __future__ import annotations

DOCUMENTATION = r"""
module: signed_repository
short_description: A signed package repository with a pinned key
description:
  - Fetches the key, refuses any but the pinned one, has apt try the repository apart from the host's own sources, and
    only then writes the key and the source list. A repository that is refused leaves no trace.
  - Needs no gpg on the host.
options:
  repositories:
    description: >-
      The repository by distribution, as /etc/os-release names it or what it is like. A repository is as
      C(module_utils/provisioner_signed_repository.py) says.
    type: dict
    required: true
"""

RETURN = r"""
changes: {description: What was changed - what, from, to., type: list, elements: dict, returned: always}
"""

import os
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.provisioner_host import Host, RefusalError
from ansible.module_utils.provisioner_packages import apt, complaint, runner
from ansible.module_utils.provisioner_signed_repository import (
    DISABLED,
    codename,
    key_file,
    look,
    look_at_key,
    pick,
    pinned,
    source_text,
)

TIMEOUT_SECONDS = 30
# A key is a few kilobytes; what is larger is something else.
LARGEST_KEY_BYTES = 1_000_000


def fetched(repository: dict) -> bytes:
    """The pinned key from where the repository says. Raises OSError or ValueError, with why."""
    url = repository["key_url"]
    if not url.startswith(("https://", "http://", "file://")):
        raise ValueError("its address is none that is known; give a https://, http:// or file:// one")
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - the scheme was looked at
        return pinned(answer.read(LARGEST_KEY_BYTES), repository)


def tried(run: Callable[..., tuple[int, str, str]], release: str, repository: dict, key: bytes) -> str:
    """Why apt refuses the repository with this key; empty where it does not."""
    with tempfile.TemporaryDirectory(prefix="provisioner-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # apt reads and verifies as a user of its own
        keyring = folder / "key.gpg"
        write(keyring, key)
        for part in ("sources", "lists/partial"):
            (folder / part).mkdir(parents=True)
        write(folder / "sources/tried.sources", source_text(repository, release, str(keyring)).encode())
        where = {
            "Dir::Etc::sourcelist": "/dev/null",
            "Dir::Etc::sourceparts": f"{folder}/sources",
            "Dir::State::lists": f"{folder}/lists",
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
        }
        code, out, errors = run(*apt("update", **where))
        return complaint(errors, out) if code else ""


def write(path: Path, content: bytes) -> None:
    """Put `content` at `path`, readable by all, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".provisioner-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise


def main() -> None:
    """Have the repository as it is wanted."""
    module = AnsibleModule(argument_spec={"repositories": {"type": "dict", "required": True}}, supports_check_mode=True)
    host = Host()
    try:
        repository = pick(host, module.params["repositories"])
    except RefusalError as refusal:
        module.fail_json(msg=str(refusal))
    changes = look(host, repository)
    if changes and not module.check_mode:
        name, kind = repository["name"], repository["kind"]
        try:
            # A key that is here and is the pinned one serves; else a site that is offline could not mend a list.
            here = not look_at_key(host, repository)
            key = pinned(Path(repository["keyring"]).read_bytes(), repository) if here else fetched(repository)
        except (OSError, ValueError) as error:
            module.fail_json(
                msg=f"the signing key of {name} from {repository['key_url']} is refused: {error}; nothing was changed: "
                "mend the address, or find out why the key is another one before you pin that"
            )
        refused = tried(runner(module), codename(host), repository, key) if kind == "deb" else ""
        if refused:
            module.fail_json(
                msg=f"the repository {name} at {repository['url']} is refused: {refused}; nothing was changed: "
                "mend its address or find out who signs it, and run this again"
            )
        for path in repository.get("supersedes", ()):
            if os.path.lexists(path):
                Path(path).replace(f"{path}{DISABLED}")
        write(Path(repository["keyring"]), key_file(key, kind))
        write(Path(repository["source"]), source_text(repository, codename(host)).encode())
    shown = ["".join(f"{one['what']}: {one[side]}\n" for one in changes) for side in ("from", "to")]
    module.exit_json(changed=bool(changes), changes=changes, diff={"before": shown[0], "after": shown[1]})


if __name__ == "__main__":
    main()
