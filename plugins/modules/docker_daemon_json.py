#!/usr/bin/python
"""Ansible module: runtimes and features in Docker's daemon.json, with everything else there kept."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_daemon_json
short_description: Runtimes and features in Docker's daemon.json
author: The provisioner authors (!UNKNOWN)
description:
  - What a site has in the file stays, and so do its owner, mode, ACL and encoding, and a link to it. A file that
    dockerd does not read, that cannot be written anew without loss, and settings that dockerd itself refuses, are an
    error, and the file stays as it is.
  - An empty file, with which dockerd before 23.0 does not start, is given an empty object.
options:
  path: {description: The file., type: path, default: /etc/docker/daemon.json}
  runtimes: {description: "Runtimes by name, with path and more as dockerd takes them.", type: dict, default: {}}
  features: {description: "Features by name; one that the site has set, either way, stays.", type: dict, default: {}}
"""

EXAMPLES = r"""
- name: Let the engine know of NVIDIA's runtime
  provisioner.gpu_hosts.docker_daemon_json:
    runtimes:
      nvidia: {path: nvidia-container-runtime, args: []}
"""

RETURN = r"""
path: {description: The file., type: str, returned: always}
"""

import os
import shutil
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.docker_daemon import (
    complaint,
    merged,
    rendered,
    settings,
)
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import locked, obstacle
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, refuse_if, told
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.write import of

HAND = "the file stays as it is: mend it and run this again"


def write(module: AnsibleModule, host: Host, path: Path, data: bytes) -> str:
    """Replace the file at `path` by one with `data`, alike in all else; why dockerd refuses it, '' if not."""
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)
        path.parent.chmod(0o755)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".daemon.json-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        said = complaint(host, name)
        if said:
            return said
        if path.exists():
            status = path.stat()
            os.chown(name, status.st_uid, status.st_gid)
            shutil.copystat(path, name)  # with what else the file system keeps: ACL, labels
            os.utime(name)
        else:
            temporary.chmod(0o644)
        module.atomic_move(name, str(path))
    finally:
        temporary.unlink(missing_ok=True)
    return ""


def main() -> None:
    """Have the settings in the file."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/etc/docker/daemon.json"},
            "runtimes": {"type": "dict", "default": {}},
            "features": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    host, shown = Host(), module.params["path"]
    path = Path(os.path.realpath(shown))  # a link to a site's own file stays one
    with told(module, shown):
        found = settings(host, shown)
    target = merged(found.values, module.params["runtimes"], module.params["features"], host.which)
    hollow = path.exists() and not found.text.strip() and not found.loss
    if target == found.values and not hollow:
        module.exit_json(changed=False, path=shown)
    if found.loss:
        module.fail_json(msg=f"{shown} cannot be written anew without loss: {found.loss}; {HAND}")
    data = rendered(target, found)
    with told(module, shown):
        refuse_if(obstacle(shown, "file") or locked(path))
    if not module.check_mode:
        with told(module, shown), of(Path(shown)):
            said = write(module, host, path, data)
        if said:
            module.fail_json(msg=f"dockerd refuses {shown} with what is to be added: {said}; {HAND}")
    after = data.decode(found.codec, errors="replace")
    module.exit_json(changed=True, path=shown, diff={"before": found.text, "after": after})


if __name__ == "__main__":
    main()
