"""Settings of a site's with which no container could get a GPU, and that stay as the site has them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import docker_daemon as daemon
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.docker_processes import Daemon, option
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError


def check_mode(host: Host, wanted: dict, version: str) -> None:
    """Raise RefusalError where the toolkit's hook, which older engines need for --gpus, fails by its mode."""
    path = wanted["toolkit_config"]
    text = host.read(path)
    mode = _set_in(text, "nvidia-container-runtime", "mode")
    fails = mode not in ("", "auto", "legacy")
    unchecked = _set_in(text, "nvidia-container-runtime-hook", "skip-mode-detection") == "true"
    if not fails or unchecked or daemon.release(version) >= daemon.release(wanted["cdi_gpus_engine"]):
        return
    raise RefusalError(
        f"mode is {mode} in {path}, in which the toolkit's hook refuses --gpus; where nothing needs that mode set it "
        "to auto ('nvidia-ctk config --in-place --set nvidia-container-runtime.mode=auto'), or have Docker "
        f"{wanted['cdi_gpus_engine']} or newer, and run this again"
    )


def check_settings(path: str, settings: daemon.Settings, what: str, running: Daemon | None) -> None:
    """Raise RefusalError where `what` daemon.json lacks cannot be added, or the `running` engine reads another file."""
    if settings.loss:
        raise RefusalError(
            f"{what} is to be added to {path}, which cannot be written anew without loss: {settings.loss}; add it by "
            "hand or mend the file, and run this again"
        )
    read = (option(running.words, "--config-file") or [path])[-1] if running else path
    if os.path.realpath(read) != os.path.realpath(path):
        raise RefusalError(
            f"the Docker engine reads {read}, not {path}; set nvidia_container_toolkit_daemon_json and "
            f"docker_engine_daemon_json to it where {what} may be added there, and run this again"
        )
    folder = next(one for one in Path(os.path.realpath(path)).parents if one.exists())
    if not os.access(folder, os.W_OK):
        raise RefusalError(
            f"{what} is to be added to {path}, and {folder} cannot be written to; mend that, and run this again"
        )


def _set_in(text: str, section: str, name: str) -> str:
    """Return the value of `name` in a section of a TOML file, as a text; '' where it is not set there."""
    found = re.search(rf"^\[{re.escape(section)}\]\s*$(.*?)(?=^\s*\[|\Z)", text, re.MULTILINE | re.DOTALL)
    value = re.search(rf"""^\s*{re.escape(name)}\s*=\s*["']?([^"'#\s]*)""", found[1] if found else "", re.MULTILINE)
    return value[1] if value else ""
