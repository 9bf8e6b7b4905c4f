"""The probes of all roles: who imports this has Ansible send them with a module, in which `look` asks them by name."""

from __future__ import annotations

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import (
    devcontainer_cli,
    docker_engine,
    gpu_driver,
    local_sources,
    nvidia_container_toolkit,
    site,
)

__all__ = ["devcontainer_cli", "docker_engine", "gpu_driver", "local_sources", "nvidia_container_toolkit", "site"]
