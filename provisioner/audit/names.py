"""Names that several checks look at: files of the evidence, and images that would be shortcuts."""

import re

from provisioner.audit.devcontainer_keys import BUILDER_IMAGES
from provisioner.runs.evidence import LOG, OF_SCENARIO, SETTINGS

__all__ = [
    "BUILDERS",
    "CONFIGURATION",
    "DEFAULT_USERNAME",
    "DEVCONTAINER",
    "DOCKERFILE",
    "EVENTS",
    "INPUTS",
    "LOG",
    "LOGIN",
    "MERGED",
    "NATIVE",
    "PIP_LOG",
    "POST_CREATE",
    "SETTINGS",
    "SHORTCUT",
    "SITE_CA",
]

CONFIGURATION = "files/.devcontainer/devcontainer.json"
MERGED = "devcontainer_configuration.json"
DOCKERFILE = f"files/.devcontainer/Dockerfile.scenario-{OF_SCENARIO}"
POST_CREATE = f"files/.devcontainer/post-create-scenario-{OF_SCENARIO}.sh"
SITE_CA = "files/.devcontainer/site-ca.crt"
INPUTS = "files/benchmarking/inputs.json"
PIP_LOG = "container/pip.log"
EVENTS = "events.jsonl"

# The runtime that has an image and a container.
DEVCONTAINER = "devcontainer"
NATIVE = "native"

# Whose fork of xformers it is where the inputs name none.
DEFAULT_USERNAME = "alexchesser"

# What a URL may have before its host, which is nobody's business.
LOGIN = re.compile(r"(?<=://)[^/@\s]*@")
BUILDERS = re.compile(BUILDER_IMAGES)
# The name of an image, less its tag: the devcontainer's own, and those that its wheels were built in.
SHORTCUT = re.compile(r"(?:^|/)xformers-(?:devcontainer|dependency-downloader|builder)(?:[:@]|$)")
