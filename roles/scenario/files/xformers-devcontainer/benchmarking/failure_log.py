"""What the log of a phase that failed says of the outside world and of the build, and what mends it.

Standard library only: it runs on the benchmarked host, beside scenario_a.sh.
"""

from __future__ import annotations

import re

DNS = "mend the host's /etc/resolv.conf; containers have the engine's, which `dns` in /etc/docker/daemon.json sets"
CLOCK = "have the certificate renewed; where it is good, set the host's clock right"
AUTHORITY = "name the site's CA bundle: SSL_CERT_FILE on the controller, or site_ca_bundle in the inventory"
LATER = "run again later, or name a mirror (docs/hosts.md)"
FORK = "name one that is there: --username, --xformers-url, --xformers-ref"
ROOM = "log in there (`docker login` on the host), use a mirror (`registry-mirrors` in its daemon.json), or wait"

CAUSES = (
    # A check of what came is beyond doubt.
    (
        (r"filesystem layer verification failed for digest (?P<what>\S+)",),
        "a layer of the base image is not what its digest {what} says",
        "a mirror or proxy on the way changes it: take it out",
    ),
    (
        (r"DO NOT MATCH THE HASHES",),
        "a file of the package index is not what its sum says",
        "a mirror or proxy on the way changes it: take it out",
    ),
    (
        (r"Hash Sum mismatch",),
        "a package is not what the mirror's list says",
        "the mirror is being updated or broken: run again later, or use another",
    ),
    # So is what the image itself says, before anything is built.
    (
        (r"(?P<what>the base image's nvcc[^\n]* cannot build for [^\n;]*)",),
        "{what}",
        "choose others by --arch-list, or a base image of another CUDA: scenario_base_image",
    ),
    # Who we are told the server is.
    (
        (
            r"certificate has expired",
            r"certificate is not yet valid",
            r"(?P<ssl>verify failed: certificate has expired)",
        ),
        "a server's certificate is not valid at this time",
        CLOCK,
    ),
    (
        (
            r"certificate is valid for [^\n]*, not (?P<what>[\w.-]+)",
            r"no alternative certificate subject name matches target host name '(?P<curl>[^']+)'",
            r"Hostname mismatch, certificate is not valid for '(?P<python>[^']+)'",
        ),
        "a server shows the certificate of another name: {what}",
        "see where that name leads on the host: its DNS, /etc/hosts and proxy",
    ),
    (
        (
            r"signed by unknown authority",
            r"unable to get local issuer",
            r"self-signed certificate",
            r"CERTIFICATE_VERIFY_FAILED",
            r"certificate verification failed",
            r"server certificate verification",
            r"certificate is NOT trusted",
        ),
        "a server's certificate is of an authority that is not known there",
        AUTHORITY,
    ),
    (
        (
            r"(?:HTTP/\d\.\d|failed:|[Ss]tatus:?|error:?|code) 407\b",
            r"Proxy Authentication Required",
            r"ProxyError[^\n]*407",
        ),
        "the proxy asks for a password",
        "give its user and password in site_https_proxy or site_http_proxy",
    ),
    (
        (
            r"toomanyrequests",
            r"429 Too Many Requests",
            r"\b429\b Client Error",
            r"too many 429",
        ),
        "the server answers 429: this address has asked for too much",
        ROOM,
    ),
    # Names.
    (
        (
            r"(?:Temporary failure resolving|Could not resolve host:?|Failed to resolve) '?(?P<what>[\w.-]+)",
            r"lookup (?P<go>[\w.-]+)[^\n]*: (?:no such host|server misbehaving|i/o timeout)",
            r"(?:Name or service not known|Temporary failure in name resolution)",
        ),
        "DNS does not find a name: {what}",
        DNS,
    ),
    # Who answers, but not well.
    (
        (
            r"sent less than \d+ kB/s for \d+ s",
            r"Operation too slow",
        ),
        "a server sends next to nothing",
        LATER,
    ),
    (
        (
            r"HTTP(?:/\d(?:\.\d)?)?(?: status(?: code)?)?:? (?P<what>50[0-4])\b",
            r"\b(?P<apt>50[0-4])  ?(?:Service|Bad|Internal|Gateway)",
            r"too many (?P<pip>50[0-4]) error responses",
            r"returned error: (?P<git>50[0-4])",
            r"status(?: code)?:? (?P<docker>50[0-4])",
        ),
        "a server answers {what}: it is in trouble",
        LATER,
    ),
    (
        (
            r"unexpected EOF",
            r"early EOF",
            r"reset by peer",
            r"IncompleteRead",
            r"Connection broken",
            r"unexpected disconnect",
            r"hung up unexpectedly",
            r"[Cc]onnection timed out",
            r"i/o timeout",
            r"Read timed out",
            r"Client\.Timeout",
            r"TLS handshake timeout",
        ),
        "the connection to a server breaks off",
        "run again; where it breaks off again, look at proxy and firewall on the way",
    ),
    (
        (
            r"[Cc]onnection refused",
            r"No route to host",
            r"Network is unreachable",
            r"[Cc]ould not connect to",
        ),
        "a server is not reached",
        "let the host and its containers through to it, or set a proxy (site_https_proxy)",
    ),
    # Whom we ask for what is not there.
    (
        (
            r"manifest for (?P<what>\S+) not found",
            r"manifest unknown",
            r"pull access denied for (?P<denied>[^\s,]+)",
        ),
        "there is no image {what} there, or only for who logs in",
        "name one that is there: scenario_base_image; or log in: `docker login` on the host",
    ),
    (
        (r"[Cc]lone of '(?P<what>[^']+)' into submodule path",),
        "the submodule {what} cannot be cloned",
        "see the line above it in the log; mend .gitmodules in the fork, or where it points",
    ),
    (
        (r"Permission denied \(publickey", r"Host key verification failed"),
        "the git server and the container's user do not know each other's keys",
        "mount a folder that has them (scenario_mounts, docs/scenario-a.md)",
    ),
    (
        (
            r"could not read Username for",
            r"Repository not found",
            r"repository '(?P<what>[^']+)/?' not found",
            r"Authentication failed for '(?P<login>[^']+)'",
        ),
        "the fork {what} does not exist, or is private",
        FORK,
    ),
    (
        (
            r"[Rr]emote branch (?P<what>\S+) not found",
            r"pathspec '(?P<path>[^']+)' did not match",
            r"couldn't find remote ref (?P<ref>\S+)",
        ),
        "the fork has no {what}",
        FORK,
    ),
    (
        (r"transport 'file' not allowed",),
        "git does not clone submodules from the host's own disk",
        "serve them by HTTPS or SSH, or have them in the repository itself",
    ),
    (
        (r"the fork keeps files in Git LFS, and git-lfs is not here: (?P<what>.+)",),
        "the fork keeps files in Git LFS, and the image has no git-lfs: {what}",
        "add git-lfs to scenario_system_packages",
    ),
    (
        (r"CUTLASS submodule not found",),
        "the fork at this commit has no third_party/cutlass",
        FORK,
    ),
    # Packages.
    (
        (
            r"No matching distribution found for (?P<what>\S+)",
            r"satisfies the requirement (?P<requirement>\S+) \(from versions: none\)",
        ),
        "the package index has no {what} for this Python and machine",
        "see the versions in the log; set scenario_python_packages to what is there",
    ),
    (
        (r"Unable to locate package (?P<what>\S+)",),
        "apt in the image finds no package {what}",
        "see what `apt-get update` says above it in the log; set scenario_system_packages to what is there",
    ),
    # The build.
    (
        (r"missing the 'build_editable' hook",),
        "setuptools in the image is too old for pip's editable installs",
        "have setuptools of 64 or later in scenario_python_packages",
    ),
    (
        (r"Unsupported gpu architecture '(?:compute|sm)_(?P<what>\w+)'",),
        "the image's nvcc cannot build for architecture {what}",
        "choose another by --arch-list, or a base image with a newer CUDA: scenario_base_image",
    ),
    (
        (
            r"The detected CUDA version \((?P<what>\d[^)]+)\) mismatches the version that was used",
            # As Python shows an error with its arguments apart.
            r"The detected CUDA version \(%s\) mismatches .*?, '(?P<told>\d[\d.]*)'",
        ),
        "the image has CUDA {what}, and torch is built with another",
        "take the index of torch that fits the image's CUDA: scenario_python_packages",
    ),
    (
        (r"unsupported GNU version! gcc versions later than (?P<what>\d+) are not supported",),
        "the image's gcc is later than {what}, the last that its nvcc takes",
        "add that gcc to scenario_system_packages, or take a base image with a newer CUDA: scenario_base_image",
    ),
    (
        (r"ModuleNotFoundError: No module named '(?P<what>[\w.]+)'",),
        "Python in the image has no module {what}",
        "add what brings it to scenario_python_packages",
    ),
    (
        (r"CUDA_HOME environment variable is not set", r"No such file or directory: '[^']*nvcc'", r"nvcc: not found"),
        "there is no nvcc in the image",
        "take a base image with CUDA's compilers, a -devel one: scenario_base_image",
    ),
    (
        (
            r"No such file or directory: '(?P<what>ninja|cmake|git|c\+\+|g\+\+|gcc|rsync)'",
            r"\b(?P<shell>ninja|cmake|git|g\+\+|gcc|rsync): (?:command )?not found",
        ),
        "there is no {what} in the image",
        "add its package to scenario_system_packages",
    ),
    (
        (r"fatal error: (?P<what>[\w./+-]+\.(?:h|hpp|cuh|hxx)): No such file or directory",),
        "a header is missing: {what}",
        "add the package that has it to scenario_system_packages, or take another base image: scenario_base_image",
    ),
    (
        (r"cannot find -l(?P<what>[\w.+-]+)",),
        "the linker finds no library {what}",
        "add the package that has it to scenario_system_packages, or take another base image: scenario_base_image",
    ),
    (
        (
            r"(?P<what>[\w./+-]+\.(?:cu|cuh|cpp|cc|c|h|hpp)[:(]\d+)\)?(?::\d+)?: (?:fatal )?error\b",
            r"(?P<linked>[\w./+-]+\.(?:cu|cuh|cpp|cc|c|h|hpp):[^\n]*undefined reference to [^\n]+)",
        ),
        "xformers' own source does not compile, first at {what}",
        "mend the fork, or name another commit: --xformers-ref",
    ),
)
"""(Patterns, cause, remedy), the surest first; `{what}` is whichever group of a pattern was found."""


def cause(text: str) -> str | None:
    """Return why, and the remedy, in one line; None where the log does not say."""
    # What was tried again, and what pip only warns of, is not why the last try failed.
    last_try = re.split(r"\bretry: in \d+ s again, after: .*", text)[-1]
    text = re.sub(r"^.*WARNING: Retrying \(.*$", "", last_try, flags=re.MULTILINE)
    for patterns, why, remedy in CAUSES:
        found = re.search("|".join(patterns), text)
        if found:
            what = next(filter(None, found.groups()), "")
            return f"{' '.join(why.format(what=what).split()).rstrip(':')}; {remedy}"
    return None


PYPI = "https://pypi.org/simple"


def page_without_versions(text: str) -> str | None:
    """Return the page of the index on which pip found no version at all of a package; None where it found some."""
    found = re.search(r"satisfies the requirement (\w[\w.-]*)\S* \(from versions: none\)", text)
    if not found:
        return None
    calls = [call for call in re.split(r"&&|\n", text) if re.search(rf"pip install .*\b{re.escape(found[1])}\b", call)]
    asked = re.findall(r"Looking in indexes: (https?://[^\s,]+)", text)  # pip says so where it is not PyPI alone
    named = (match[1] for call in calls if (match := re.search(r"--index-url[ =](https?://\S+)", call)))
    index = asked[-1] if asked else next(named, PYPI)
    return f"{index.rstrip('/')}/{re.sub('[-_.]+', '-', found[1]).lower()}/"


def of_phase(text: str) -> str:
    """Return the last phase's part of the script's log, which ends where the evidence is looked after."""
    phases = text.partition("=== evidence ===")[0]
    return phases[max(phases.rfind("=== "), 0) :]
