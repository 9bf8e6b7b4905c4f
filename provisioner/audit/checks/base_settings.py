"""Checks of what the base image sets, and that the image adds to it what the Dockerfile says and no more."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

from provisioner.audit import dockerfile
from provisioner.audit.checks.base import AFTER, base_of
from provisioner.audit.engine import pairs
from provisioner.audit.finding import Findings, failed, passed, skipped
from provisioner.audit.names import DOCKERFILE

if TYPE_CHECKING:
    from provisioner.runs.evidence import Evidence

__all__ = ["base_sets_nothing_of_its_own", "settings_are_the_dockerfiles"]

# The variables of NVIDIA's images and of ours, and the values that decide which program or library is taken.
FOLDER = r"/(?:usr/(?:local/)?)?s?bin"
LIBRARIES = r"/usr/local/(?:nvidia|cuda(?:-[\d.]+)?)/(?:(?:targets/[\w-]+/)?lib(?:64)?(?:/stubs)?|compat(?:/lib)?)"
TOOLKIT_FOLDER = r"/usr/local/cuda(?:-[\d.]+)?"
VARIABLES = {
    "PATH": rf"(?:(?:{FOLDER}|/usr/local/nvidia/bin|{TOOLKIT_FOLDER}/bin)(?::(?!$)|$))+",
    "LD_LIBRARY_PATH": rf":?(?:{LIBRARIES}(?::|$))+",
    "LIBRARY_PATH": rf":?(?:{LIBRARIES}(?::|$))+",
    "CUDA_HOME|CUDA_PATH|CUDA_ROOT": TOOLKIT_FOLDER,
    r"CUDA_VERSION|NCCL_VERSION|NVARCH|NV_\w+|NVIDIA_\w+": r"[^\n]*",
    "LANG|LANGUAGE|LC_ALL|TZ|TERM|DEBIAN_FRONTEND": r"[\w.:/@+-]*",
    "HOME": "/root",
    # What Scenario A's Dockerfile sets itself: a site may keep an image of its first steps.
    "FORCE_CUDA": "1",
    "SSL_CERT_FILE|PIP_CERT|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|GIT_SSL_CAINFO|NODE_EXTRA_CA_CERTS": (
        r"/(?:usr/(?:local/)?share/ca-certificates|etc/ssl/certs)/[\w./-]+"
    ),
}
ENTRYPOINTS: tuple[list[str], ...] = ([], ["/opt/nvidia/nvidia_entrypoint.sh"])
SHELL = re.compile(r"/bin/(?:ba)?sh(?: -o pipefail| -[ceux]+)+")


def base_sets_nothing_of_its_own(evidence: Evidence) -> Findings:
    """The base sets only variables that CUDA's images set; it has no step, shell, volume or entrypoint of its own."""
    base = base_of(evidence)
    if not base:
        yield skipped("there is no base image", AFTER)
        return
    config = base.get("Config") or {}
    yield from _variables_of_its_own(config)
    if (config.get("Entrypoint") or []) not in ENTRYPOINTS:
        yield failed(f"it has the entrypoint {config['Entrypoint']!s:.60}", AFTER)
    if config.get("Shell") and not SHELL.fullmatch(" ".join(config["Shell"])):
        yield failed(f"it has the shell {config['Shell']!s:.60}", AFTER)
    for key in ("OnBuild", "Healthcheck", "Volumes"):
        if config.get(key):
            yield failed(f"it has {key} {config[key]!s:.60}", AFTER)
    if config.get("User") not in {None, "", "root", "0", "0:0", "root:root"}:
        yield failed(f"its user is {config['User']}", AFTER)
    yield passed(f"{len(config.get('Env') or ())} variables, all of them known", AFTER)


def _variables_of_its_own(config: dict[str, Any]) -> Findings:
    """Say which variable of a base is none of CUDA's images, or has a value that none of them gives it."""
    for name, value in pairs(config.get("Env")):
        pattern = next((VARIABLES[names] for names in VARIABLES if re.fullmatch(names, name)), None)
        if pattern is None:
            yield failed(f"it sets {name}", AFTER)
        elif not re.fullmatch(pattern, value):
            yield failed(f"it sets {name} to {value:.80}", AFTER)


def settings_are_the_dockerfiles(evidence: Evidence) -> Findings:
    """What the image sets is what the base sets and what the Dockerfile adds to that, and the container's the same."""
    base, image = base_of(evidence), evidence.inspected("image_inspect.json")
    where = "image_inspect.json"
    if not base or not image:
        yield skipped("the image was not built", where)
        return
    steps = dockerfile.parse(evidence.text(DOCKERFILE))
    config = base.get("Config") or {}
    variables = dict(pairs(config.get("Env")))
    for step in steps:
        variables |= dict(pairs(shlex.split(step.arguments) if step.name == "ENV" else ()))
    entrypoint = next((json.loads(step.arguments) for step in reversed(steps) if step.name == "ENTRYPOINT"), None)
    wanted = config | {"Entrypoint": entrypoint}
    for name in (where, "container_image.json"):
        has = evidence.inspected(name).get("Config")
        if has is not None:
            yield from _set_otherwise(has, wanted, variables, name)
    container = evidence.inspected("container_inspect.json").get("Config", {})
    # The Dev Container CLI's own, unless the site's devcontainer.json leaves the image's.
    if container and container.get("Entrypoint") not in (["/bin/sh"], entrypoint):
        yield failed(f"the entrypoint is {container.get('Entrypoint')!s:.60}", "container_inspect.json")
    yield passed(f"{len(variables)} variables", where)


def _set_otherwise(config: dict[str, Any], wanted: dict[str, Any], variables: dict[str, str], where: str) -> Findings:
    """Say what an image's configuration has otherwise than it is `wanted`, with these variables."""
    has = dict(pairs(config.get("Env")))
    for name in sorted(variables.keys() | has.keys()):
        if has.get(name) != variables.get(name):
            yield failed(f"{name} is {has.get(name)!s:.60}, and should be {variables.get(name)!s:.60}", where)
    if config.get("Entrypoint") != wanted["Entrypoint"]:
        yield failed(f"the entrypoint is {config.get('Entrypoint')!s:.60}", where)
    for key in ("OnBuild", "Healthcheck", "Volumes", "Shell"):
        if config.get(key) not in (None, [], {}, ["/bin/sh", "-c"], wanted.get(key)):
            yield failed(f"it has {key} {config[key]!s:.60}", where)
