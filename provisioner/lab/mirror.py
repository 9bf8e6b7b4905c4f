"""Where this machine gets Debian packages from, so that a lab host gets them from there too."""

import re
import shlex
import subprocess
from pathlib import Path

from provisioner.errors import Exit, ProvisionerError

__all__ = ["for_release", "proxies", "sources"]

FIELDS = ("REPO_URI", "CODENAME", "COMPONENT", "ORIGIN")


def sources(codename: str) -> list[str]:
    """Return sources.list lines for the Debian release `codename`, on the mirrors of this machine's own apt.

    Nothing is given where this machine is no Debian or uses no mirror over HTTP: mmdebstrap then goes by its own
    default. Raise ProvisionerError (code 2) on a Debian whose apt does not know its mirrors' contents yet.
    """
    release = _os_release()
    here = release.get("VERSION_CODENAME", "")
    if release.get("ID") != "debian" or not here:
        return []
    targets = _output(
        "apt-get",
        "indextargets",
        "--format",
        "\t".join(f"$({field})" for field in FIELDS),
        "Created-By: Packages",
    )
    if not targets.strip():
        raise ProvisionerError("apt has no package lists", "run `apt-get update` as root", Exit.BAD_INPUT)
    return for_release(targets, here, codename)


def for_release(targets: str, here: str, codename: str) -> list[str]:
    """Return sources.list lines for `codename` out of the index targets of a machine that runs release `here`.

    `targets` has a line of FIELDS, between tabs, for each index. A mirror of Debian carries all releases, so only
    the suites' names differ.
    """
    lines: list[str] = []
    for target in targets.splitlines():
        uri, suite, component, origin = target.split("\t")
        matched = re.fullmatch(f"{re.escape(here)}(|-updates|-security)", suite)
        address = _address(uri)
        if matched and address and component == "main" and origin == "Debian":
            line = f"deb {address} {codename}{matched[1]} main"
            if line not in lines:
                lines.append(line)
    # Updates are of no use without the release that they are to.
    return lines if any(line.endswith(f" {codename} main") for line in lines) else []


def proxies() -> dict[str, str]:
    """Return the HTTP proxies of this machine's apt as environment variables: mmdebstrap does not read its settings."""
    names = {"http_proxy": "Acquire::http::Proxy", "https_proxy": "Acquire::https::Proxy"}
    shell = _output("apt-config", "shell", *(word for pair in names.items() for word in pair))
    found = dict(word.split("=", 1) for word in shlex.split(shell))
    return {name: value for name, value in found.items() if value not in ("", "DIRECT")}


def _address(uri: str) -> str:
    """Return the HTTP address of a mirror; of a list of mirrors, as cloud images have it, the first; else ''."""
    listed = re.fullmatch(r"mirror\+file:(/.*?)/?", uri)
    if listed:
        try:
            entries = Path(listed[1]).read_text(encoding="utf-8").split()
        except OSError:
            return ""
        uri = next((entry for entry in entries if "://" in entry), "")
    return uri if uri.startswith(("http://", "https://")) else ""


def _output(*command: str) -> str:
    """Return what a command prints; nothing where it is not there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def _os_release() -> dict[str, str]:
    try:
        words = shlex.split(Path("/etc/os-release").read_text(encoding="utf-8"), comments=True)
    except (OSError, ValueError):
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)
