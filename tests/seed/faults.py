"""What the outside world does to people: each fault, by the stand-ins, and the line that it must end in."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Beginning = Callable[[Any], contextlib.AbstractContextManager[None]]
"""Given the world, makes something so until it is left."""

HUB, GIT, TORCH = "registry-1.docker.io", "github.com", "download.pytorch.org"
INDEX = f"https://{TORCH}/whl/cu128"
COLD = {"scenario_cold_base": True}
UNASKED = {"provisioner_check_sources": False}
"""So that a run meets what asking beforehand would have found."""
SMALL = {"scenario_python_packages": [["filelock", "--index-url", INDEX], ["setuptools==80.9.0", "wheel==0.48.0"]]}
"""Something small from that index, in place of torch."""

TO_REGISTRY = "proxy_set_header Host $host; proxy_set_header X-Forwarded-Proto https; proxy_pass"
TOO_MANY = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit."}]})


def pulls(settings: str) -> str:
    """Settings for what a pull asks of a registry."""
    return f"location ~ ^/v2/.+/(manifests|blobs)/ {{ {settings} }}"


def blobs(settings: str) -> str:
    """Settings for an image's layers."""
    return f"location ~ ^/v2/.+/blobs/ {{ {settings} }}"


def server(name: str, settings: str) -> Beginning:
    """The server of this name has further settings of nginx."""
    return lambda world: world.fault(name, settings)


def for_seconds(seconds: int, name: str, settings: str) -> Beginning:
    """The same, and after so long it passes."""
    return lambda world: world.fault(name, settings, passes=seconds)


def certificate(kind: str) -> Beginning:
    """All servers show such a certificate."""
    return lambda world: world.certificate(kind)


def registry(kind: str) -> Beginning:
    """Layers come by broken_registry.py."""

    @contextlib.contextmanager
    def begin(world: Any) -> Iterator[None]:
        text = (Path(__file__).parent / "broken_registry.py").read_text()
        world.sh(
            f"cat >/tmp/broken.py <<'END'\n{text}\nEND\nsystemd-run --quiet --unit=broken python3 /tmp/broken.py {kind}"
        )
        try:
            with world.fault(HUB, blobs(f"{TO_REGISTRY} http://127.0.0.1:9000;")):
                yield
        finally:
            world.sh("systemctl stop broken")

    return begin


def no_name(name: str) -> Beginning:
    """DNS does not know this name."""

    @contextlib.contextmanager
    def begin(world: Any) -> Iterator[None]:
        file, again = "/etc/outside-names.conf", "systemctl restart outside-names"
        world.sh(f"sed -i 's/^host-record={name}/#&/' {file}; echo 'address=/{name}/' >>{file}; {again}")
        try:
            yield
        finally:
            world.sh(f"sed -i -e '/^address=.{name}/d' -e 's/^#//' {file}; {again}")

    return begin


@contextlib.contextmanager
def no_names_in_containers(world: Any) -> Iterator[None]:
    """The engine gives its containers a name server that does not answer, and the host has a good one."""
    host = world.host()
    keep = "test ! -e /etc/docker/daemon.json || cp /etc/docker/daemon.json /tmp/daemon.json"
    set_dns = (
        "import json, pathlib; p = pathlib.Path('/etc/docker/daemon.json');"
        "p.write_text(json.dumps({**(json.loads(p.read_text()) if p.exists() else {}), 'dns': ['192.0.2.53']}))"
    )
    world.sh(f'{keep}; python3 -c "{set_dns}"; systemctl restart docker', host)
    try:
        yield
    finally:
        back = "mv /tmp/daemon.json /etc/docker/daemon.json 2>/dev/null || rm /etc/docker/daemon.json"
        world.sh(f"{back}; systemctl restart docker", host)


@contextlib.contextmanager
def proxy_with_a_password(world: Any) -> Iterator[None]:
    """A proxy at the outside's port 8888, which asks who one is."""
    world.sh(
        "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends tinyproxy-bin >/dev/null;"
        "printf '%s\\n' 'Port 8888' 'Timeout 60' 'BasicAuth someone secret' 'User root' >/tmp/tinyproxy.conf;"
        "systemd-run --quiet --unit=proxy tinyproxy -d -c /tmp/tinyproxy.conf"
    )
    try:
        yield
    finally:
        world.sh("systemctl stop proxy")


def nothing(_world: Any) -> contextlib.AbstractContextManager[None]:
    """Nothing is wrong with the world: it is asked for what it does not have."""
    return contextlib.nullcontext()


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong."""

    begin: Beginning
    says: str
    """A regular expression: of the one line with cause and remedy."""
    phase: str | None = None
    """Where the run fails; None where it does not begin."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """OUTSIDE in them is the address of what stands in for the outside world."""


LATER = "run again later, or name a mirror|try again later, or"
FAULTS = {
    "registry answers 429": Fault(
        server(HUB, pulls(f"default_type application/json; return 429 '{TOO_MANY}';")),
        "asked for too much.*docker login",
        "image_build",
        COLD | UNASKED,
    ),
    "registry answers 503": Fault(
        server(HUB, pulls("return 503;")), "answers 503: it is in trouble", "image_build", COLD | UNASKED
    ),
    "registry drips": Fault(
        server(HUB, blobs(f"limit_rate 1000; {TO_REGISTRY} http://127.0.0.1:5000;")),
        "sends next to nothing",
        "image_build",
        COLD | {"scenario_slow_seconds": 20},
    ),
    "registry breaks off in a layer": Fault(registry("half"), "breaks off", "image_build", COLD),
    "registry serves other bytes": Fault(registry("wrong"), "not what its digest", "image_build", COLD),
    "index has no such version": Fault(
        nothing,
        "index has no filelock==99",
        "image_build",
        {"scenario_python_packages": [["filelock==99", "--index-url", INDEX]]},
    ),
    "index answers 503": Fault(
        server(TORCH, "location /whl/cu128/filelock/ { return 503; }"),
        "answers 503: it is in trouble",
        "image_build",
        SMALL | UNASKED,
    ),
    "fork does not exist": Fault(
        nothing,
        "does not exist, or is private",
        "clone",
        UNASKED | {"scenario_xformers_url": "https://github.com/nobody/xformers.git"},
    ),
    "fork has no such branch": Fault(nothing, "has no v99", "clone", {"scenario_xformers_ref": "v99"}),
    "submodule is gone": Fault(
        nothing,
        "submodule .*gone.git.* cannot be cloned",
        "clone",
        {"scenario_xformers_url": "https://github.com/short/broken.git"},
    ),
    "git server drips": Fault(
        server(GIT, "limit_rate 10;"), "sends next to nothing", "clone", UNASKED
    ),
    "certificate is expired": Fault(certificate("expired"), "not valid at this time", "image_build", COLD | UNASKED),
    "certificate is of another authority": Fault(
        certificate("other-authority"), "authority that is not known", "image_build", COLD | UNASKED
    ),
    "certificate is of another name": Fault(
        certificate("other-name"), "certificate of another name", "image_build", COLD | UNASKED
    ),
    "registry is not found by DNS": Fault(
        no_name(HUB), f"DNS does not find a name: {HUB}", "image_build", COLD | UNASKED
    ),
    "nothing is found by DNS in containers": Fault(
        no_names_in_containers, "DNS does not find a name: .*daemon.json", "image_build"
    ),
    "proxy asks for a password": Fault(
        proxy_with_a_password, "site_https_proxy", None, {"site_https_proxy": "http://OUTSIDE:8888"}
    ),
}  # fmt: skip
