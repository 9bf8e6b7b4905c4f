"""Whether an image can be pulled, asked as `docker pull` asks: for its manifest, without a login of the host's.

The manifest is asked for by HEAD, which Docker Hub does not count as a pull. The host's logins are not used: where one
is there for an image that is not for everybody, only a pull can tell.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import ssl
import urllib.parse
from pathlib import Path
from typing import NamedTuple

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import docker_daemon as daemon
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import content
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.sources.asking import (
    Answer,
    Asker,
    UnreachedError,
    in_time,
)
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.sources.findings import FAIL, OK, WARN, finding

CHECK = "registry image"
SETTING = "scenario_base_image"
MIRRORS = "registry-mirrors in daemon.json"
DOCKER_HUB = "docker.io"
HUB_ADDRESS = "https://registry-1.docker.io"
# What Docker's client keeps a login to Docker Hub under.
HUB_LOGINS = ("index.docker.io", "docker.io", "registry-1.docker.io")
CERTIFICATES = Path("/etc/docker/certs.d")
# As the engine has it without being told.
LOCAL = ("127.0.0.0/8", "::1/128")
TOKEN_BYTES = 64 * 1024
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ACCEPT = (("Accept", ", ".join(MANIFESTS)),)
REMEDIES = {
    401: f"it does not exist there, or is not for everybody: mend {SETTING}, or `docker login` as root on the host",
    403: f"it is not for everybody: `docker login` as root on the host, or mend {SETTING}",
    404: f"there is no such image: mend {SETTING}",
    429: "too many were pulled from here: wait and run this again, `docker login` as root on the host, or name a mirror"
    f" ({MIRRORS})",
}
# With these an image may be there for who has a login.
FOR_A_LOGIN = (401, 403, 429)


class Engine(NamedTuple):
    """What of an engine's settings decides how it pulls.

    `mirrors` are of Docker Hub, `insecure` the registries that need no TLS, by name or network; `proxy` is whether it
    has one, whose password it does not tell.
    """

    mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = LOCAL
    proxy: bool = False


def engine_of(info: dict, daemon_json: str) -> Engine:
    """Return the settings of the engine that answered `info`; by its file `daemon_json` where none does."""
    told = info.get("RegistryConfig")
    if isinstance(told, dict):
        indexes = told.get("IndexConfigs") or {}
        insecure = [name for name, one in indexes.items() if not one.get("Secure", True)]
        insecure += told.get("InsecureRegistryCIDRs") or ()
        return Engine(tuple(told.get("Mirrors") or ()), tuple(insecure), bool(info.get("HttpsProxy")))
    try:
        settings = daemon.parse(content(daemon_json)).values
        return Engine(
            tuple(settings.get("registry-mirrors") or ()), (*LOCAL, *(settings.get("insecure-registries") or ()))
        )
    except (OSError, ValueError, TypeError):
        return Engine()  # the role that would start an engine with it reports this


def logins_in(text: str) -> tuple[str, ...]:
    """Return the registries that a config.json of Docker's client has a login for, or a helper that may have one."""
    try:
        settings = json.loads(text or "{}")
        names = [*(settings.get("auths") or ()), *(settings.get("credHelpers") or ())]
    except (ValueError, AttributeError, TypeError):
        return ()
    return tuple(sorted(re.sub(r"^\w+://", "", name).partition("/")[0] for name in names))


class Image(NamedTuple):
    """An image by what it is asked for by: `registry`, `name` in it, and `version`, a tag or a digest."""

    registry: str
    name: str
    version: str


def named(text: str) -> Image:
    """Return the image of a name as people write it."""
    text, _unused, digest = text.partition("@")
    first, slash, rest = text.partition("/")
    own = bool(slash) and (bool(set(".:") & set(first)) or first == "localhost")
    path = rest if own else text
    name, _unused, tag = path.partition(":")
    version = digest or tag or "latest"
    if own and first not in ("docker.io", "index.docker.io"):
        return Image(first, name, version)
    return Image(DOCKER_HUB, name if "/" in name else f"library/{name}", version)


class Pull(NamedTuple):
    """The question whether `image` can be pulled by `engine`.

    `logins` are the registries that the host has one for; `spared` is why a run may do without the pull, '' where that
    is not so.
    """

    image: str
    engine: Engine = Engine()
    logins: tuple[str, ...] = ()
    spared: str = ""

    def answered(self, asker: Asker) -> dict[str, str]:
        """Ask the mirrors and then the registry itself, as an engine does, and return one finding."""
        image, complaints = named(self.image), []
        for address in self._addresses(image):
            try:
                answer = manifest(asker, address, image, self._trust(asker, address))
            except UnreachedError as error:
                remedy = asker.remedy(str(error), error.url, self._setting(address, image))
                complaints.append((str(error), remedy, 0))
                continue
            if answer.status == 200:
                return self._good(f"{address} has {self.image}", complaints, image)
            general = asker.remedy(str(answer), answer.url, self._setting(address, image))
            complaints.append((str(answer), REMEDIES.get(answer.status, general), answer.status))
        _unused, remedy, status = complaints[-1]
        said = "; ".join(words for words, *_unused in complaints) if image.registry == DOCKER_HUB else complaints[-1][0]
        spared = self._spared(image, status)
        return finding(CHECK, WARN if spared else FAIL, f"{said}; {spared}" if spared else said, remedy)

    def _spared(self, image: Image, status: int) -> str:
        """Return why a run may still get the image where the registry answers `status`, 0 for nothing; '' if not."""
        if status in FOR_A_LOGIN and self._has_login(image.registry):
            return "the host has a login to it, which was not tried"
        if not status and self.engine.proxy:
            return "the engine has a proxy of its own, which was not tried"
        return self.spared

    @staticmethod
    def _good(said: str, complaints: list[tuple[str, str, int]], image: Image) -> dict[str, str]:
        """Return the finding for an image that is there; it names a mirror that lacks the image."""
        if complaints and image.registry == DOCKER_HUB:
            return finding(CHECK, WARN, f"{complaints[0][0]}; {said}", complaints[0][1])
        return finding(CHECK, OK, said)

    def _addresses(self, image: Image) -> list[str]:
        """Return where the engine asks, in its order."""
        if image.registry == DOCKER_HUB:
            return [*(mirror.rstrip("/") for mirror in self.engine.mirrors), HUB_ADDRESS]
        schemes = ("https", "http") if self._is_insecure(image.registry) else ("https",)
        return [f"{scheme}://{image.registry}" for scheme in schemes]

    @staticmethod
    def _setting(address: str, image: Image) -> str:
        """Return what names the address."""
        if image.registry != DOCKER_HUB:
            return SETTING
        return f"{MIRRORS}, or {SETTING}" if address == HUB_ADDRESS else MIRRORS

    def _trust(self, asker: Asker, address: str) -> ssl.SSLContext | None:
        """Return whom the engine trusts at `address`; None for the usual ones. dockerd itself reports a broken file."""
        place = urllib.parse.urlsplit(address).netloc.rpartition("@")[2]
        folder = CERTIFICATES / (DOCKER_HUB if address == HUB_ADDRESS else place)
        try:
            paths = [str(path) for path in sorted(folder.glob("*.crt"))]
            verified = not self._is_insecure(place)
            return asker.context(*paths, verified=verified) if paths or not verified else None
        except (OSError, ValueError):
            return None

    def _is_insecure(self, place: str) -> bool:
        """Return whether, by the engine's settings, the registry at `place`, HOST or HOST:PORT, needs no TLS."""
        host = urllib.parse.urlsplit(f"//{place}").hostname or ""
        if place in self.engine.insecure or host in self.engine.insecure:
            return True
        networks = [ipaddress.ip_network(one, strict=False) for one in self.engine.insecure if _is_network(one)]
        return any(address in network for address in _addresses_of(host) for network in networks)

    def _has_login(self, registry: str) -> bool:
        return bool(set(HUB_LOGINS if registry == DOCKER_HUB else (registry,)) & set(self.logins))


def manifest(asker: Asker, address: str, image: Image, context: ssl.SSLContext | None) -> Answer:
    """Return what the registry at `address` answers for an image's manifest, or who should give a token and does not.

    Raise UnreachedError.
    """
    url = f"{address}/v2/{image.name}/manifests/{image.version}"
    answer = asker.ask(url, method="HEAD", headers=ACCEPT, context=context)
    challenge = answer.headers.get("www-authenticate", "")
    words = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    if answer.status != 401 or not challenge.lower().startswith("bearer") or not is_web(words.get("realm", "")):
        return answer
    wanted = {"service": words.get("service", ""), "scope": f"repository:{image.name}:pull"}
    realm = words["realm"] + ("&" if "?" in words["realm"] else "?") + urllib.parse.urlencode(wanted)
    given = asker.ask(realm, read=TOKEN_BYTES, context=context)
    if given.status != 200:
        return given
    return asker.ask(url, method="HEAD", headers=ACCEPT, secret=f"Bearer {_token(given)}", context=context)


def is_web(url: str) -> bool:
    """Return whether an address that a server gave is one that may be asked: a file of the host's is not."""
    return url.startswith(("http://", "https://"))


def _token(answer: Answer) -> str:
    """Return the token in an answer. Raise UnreachedError where there is none."""
    try:
        words = json.loads(answer.body)
        return re.sub(r"[^\x21-\x7e]", "", str(words.get("token") or words["access_token"]))
    except (ValueError, KeyError, AttributeError, TypeError):
        raise UnreachedError(answer.url, "it gives no token to who has no login") from None


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _addresses_of(host: str) -> list:
    """Return the addresses of a host; none where its name is not found."""
    try:
        found = in_time(lambda: socket.getaddrinfo(host, None))
        return [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    except (OSError, ValueError):
        return []
