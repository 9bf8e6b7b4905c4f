"""A signed package repository with a pinned key: what its files hold, and what is off about them on a host.

A repository is a dict: `name`; `kind`, deb or rpm; `url`; for deb `suites` and `components` ({codename} in `suites` is
the release's own); `key_url`, http(s) or file://; `fingerprints`, of the keys that are trusted; `keyring` and `source`,
the paths of the two files, which are ours alone; `gpgcheck` and `repo_gpgcheck`, for rpm, what is signed; and
`shared_names`, where the distribution has packages of the same names that will not do.

A host that has the repository already keeps it as it is, whatever file names it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import apt_sources
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import content
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError, change
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.openpgp import BEGIN, crc24, dearmored, fingerprints

HEAD = "# Written by provisioner.\n"


def pick(host: Host, repositories: dict) -> dict:
    """Return this host's repository of `repositories`, by distribution; raise RefusalError where there is none."""
    found = host.pick(repositories)
    if not found:
        name = next(iter(repositories.values()))["name"]
        raise RefusalError(
            f"no repository {name} is known for {host.os_id}; configure one there by hand, have no repository managed, "
            "and run this again"
        )
    return dict(found)


def source_text(repository: dict, codename: str, keyring: str = "") -> str:
    """Return the content of the file that names the repository; `keyring` in place of the repository's own."""
    keyring = keyring or repository["keyring"]
    if repository["kind"] == "rpm":
        yes = {True: 1, False: 0}
        return (
            f"{HEAD}[{repository['name']}]\nname={repository['name']}\nbaseurl={repository['url']}\nenabled=1\n"
            f"gpgcheck={yes[repository.get('gpgcheck', True)]}\n"
            f"repo_gpgcheck={yes[repository.get('repo_gpgcheck', False)]}\ngpgkey=file://{keyring}\n"
        )
    components = repository.get("components", "")
    return (
        f"{HEAD}Types: deb\nURIs: {repository['url']}\nSuites: {repository['suites'].format(codename=codename)}\n"
        + (f"Components: {components}\n" if components else "")
        + f"Signed-By: {keyring}\n"
    )


def pinned(data: bytes, repository: dict) -> bytes:
    """Return the packets of a key file. Raise ValueError, with why, unless all its keys are pinned."""
    packets = dearmored(data)
    wanted = {one.replace(" ", "").upper() for one in repository["fingerprints"]}
    others = [one for one in fingerprints(packets) if one not in wanted]
    if others:
        raise ValueError(f"it has the fingerprint {others[0]}, not {' or '.join(sorted(wanted))}")
    return packets


def key_file(packets: bytes, kind: str) -> bytes:
    """Return what is written for `packets`: apt takes them as they are, rpm only armoured."""
    if kind == "deb":
        return packets
    text = base64.b64encode(packets).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    checksum = "=" + base64.b64encode(crc24(packets).to_bytes(3, "big")).decode()
    return "\n".join([BEGIN, "", *lines, checksum, BEGIN.replace("BEGIN", "END"), ""]).encode()


def codename(host: Host) -> str:
    """Return the distribution's name for its release, such as bookworm."""
    return str(host.os_release.get("VERSION_CODENAME", ""))


def suite(host: Host, repository: dict) -> str:
    """Return the repository's suite for this host's release."""
    return str(repository["suites"]).format(codename=codename(host))


def is_ours(repository: dict) -> bool:
    """Return whether a file of ours names the repository on this host."""
    return any(os.path.lexists(repository[name]) for name in ("keyring", "source"))


def configured(host: Host, repository: dict) -> str:
    """Return which of the host's own sources names the repository; '' where none does."""
    if repository["kind"] == "deb":
        return str(apt_sources.configured(host, repository, suite(host, repository)))
    # Not run on a host by this project's tests.
    pattern = apt_sources.pattern(repository["url"])
    told = host.ask("dnf", "--cacheonly", "--verbose", "repolist", "--enabled")
    urls = re.findall(r"^Repo-(?:baseurl|mirrors|metalink)\s*: (\S+)", told, re.MULTILINE)
    return next((url for url in urls if pattern.search(apt_sources.place(url))), "")


def look(host: Host, repository: dict) -> list[dict[str, str]]:
    """Return what `signed_repository` would change on `host` to have the files of ours that name the repository."""
    name = repository["name"]
    text = source_text(repository, codename(host)).encode()
    return look_at_key(host, repository) + list(
        host.file_changes(
            repository["source"], mode="0644", sha256=hashlib.sha256(text).hexdigest(), what=f"source list of {name}"
        )
    )


def look_at_key(host: Host, repository: dict) -> list[dict[str, str]]:
    """Return what is off about the key file."""
    what = f"signing key of {repository['name']}"
    found: list[dict[str, str]] = host.file_changes(repository["keyring"], mode="0644", what=what)
    try:
        pinned(content(repository["keyring"]), repository)
    except OSError:
        pass  # reported already
    except ValueError as error:
        found.append(change(what, f"refused: {error}", repository["fingerprints"][0]))
    return found
