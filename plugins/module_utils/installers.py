"""What pip and npm say when they fail, in one line, with what mends it."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import full_by

# For pip: a site's may be set to install for one user (user = true), whom neither an environment nor a folder has.
# Its bars are nothing to read in a line.
ANY_USER = {"PIP_USER": "0", "PIP_PROGRESS_BAR": "off"}
# Node keeps what it compiled of npm in /tmp, under a name that anyone can take first, and runs it again.
NO_CACHE = {"NODE_DISABLE_COMPILE_CACHE": "1"}
# What tells most among what they print, the first that is found; and how to mend it. {setting} names the version,
# {tool} the program.
CAUSES = (
    (
        r"EINTEGRITY|ntegrity checksum failed|^Got\s+\w{64}",
        "that is not its pinned sum, so it was not installed: find out what the index in root's {tool} settings serves",
    ),
    (r"require-hashes mode", "give a lock that has all that is needed, each with its hashes"),
    (r"EROFS|Read-only file system", "have that file system mounted writable"),
    (r"ENOTCACHED|only-if-cached", "root's npm settings say offline: mend them (npm config list)"),
    (
        r"CERT_|SELF_SIGNED|UNABLE_TO_\w+|CERTIFICATE_VERIFY|certificate",
        "name the site's CA bundle: SSL_CERT_FILE on the controller, or site_ca_bundle in the inventory",
    ),
    (r"407 |Proxy Authentication", "give the proxy's user and password in site_https_proxy"),
    (r"E40[13]|\b40[13] |credentials", "mend the login to the index in root's {tool} settings"),
    (
        r"request to |ECONN\w+|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|Could not fetch|Max retries|Failed to establish|No route",
        "let the host reach the index in root's {tool} settings, by site_https_proxy if need be",
    ),
    # Last, since pip says so of an index that it did not reach, too.
    (r"ETARGET|E404|No matching (version|distribution)", "mend {setting}, or the index in root's {tool} settings"),
)
NOISE = re.compile(r"^(npm (ERR!|error)( code)?|ERROR:|WARNING:)\s*", re.IGNORECASE)


def failure(what: str, tool: str, said: str, setting: str, *places: str | Path, needed: int = 0) -> str:
    """Return why `tool` could not install `what`, of all that it `said`, and the remedy; `setting` decides the version.

    `places` are those that it writes to, beside the one for temporary files; `needed` is what that takes, in bytes.
    """
    no_room = full_by(said, [*places, tempfile.gettempdir()], needed, "it")
    if no_room:
        return f"{what} cannot be installed: {no_room}"
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
    for pattern, remedy in CAUSES:
        telling = [line for line in lines if re.search(pattern, line)]
        if telling:
            # A bare code ("npm error code E404") is followed by what it means.
            longest = max(telling[:3], key=len)
            return f"{what} cannot be installed: {without_login(NOISE.sub('', longest))}; " + (
                f"{remedy.format(setting=setting, tool=tool)} and run this again"
            )
    last = NOISE.sub("", lines[-1]) if lines else "it says nothing"
    return f"{what} cannot be installed: {tool}: {without_login(last)}; mend that on the host and run this again"


def without_login(text: str) -> str:
    """Return `text` without the names and passwords in its addresses."""
    return re.sub(r"(?<=//)[^/@\s]+@", "", text)
