#!/usr/bin/python
"""Ansible module: a bundle unpacked on the host, after every file in it was checked."""

from __future__ import annotations

DOCUMENTATION = r"""
module: unpacked_bundle
short_description: A bundle unpacked on the host, after every file in it was checked
author: The provisioner authors (!UNKNOWN)
description:
  - The folder appears at once, when it is whole. The archive is removed in the end, whatever came of it.
options:
  archive: {description: The archive on the host., type: path, required: true}
  sha256: {description: Its sum on the controller., type: str, required: true}
  known: {description: Sums of the only files that are taken., type: list, elements: str, required: true}
  path: {description: The folder to unpack to., type: path, required: true}
  work: {description: A folder to unpack it in; removed in the end., type: path, required: true}
"""

EXAMPLES = r"""
- name: Check and unpack the bundle
  provisioner.gpu_hosts.unpacked_bundle:
    archive: /var/lib/provisioner/sources/bundle.tar
    sha256: "{{ sum }}"
    known: "{{ sums }}"
    path: /var/lib/provisioner/sources/bundle
    work: /var/lib/provisioner/work
"""

import hashlib
import json
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.bundle import (
    MANIFEST,
    BundleError,
    contents,
    intact,
)
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import told
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.workplace import put, workplace


def unpack(archive: Path, sha256: str, known: list[str], work: Path) -> None:
    """Check the archive and put its files into the folder `work`; raise BundleError."""
    if hashlib.sha256(archive.read_bytes()).hexdigest() != sha256:
        raise BundleError(f"{archive.name} is not on the host as it is on the controller; run this again")
    manifest, files = contents(archive, known)
    for name, data in files.items():
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_bytes(data)
    (work / MANIFEST).write_text(json.dumps(manifest))
    (work / "archive.sha256").write_text(sha256)


def main() -> None:
    """Unpack the bundle unless it is there."""
    text, path = {"type": "str", "required": True}, {"type": "path", "required": True}
    module = AnsibleModule(
        argument_spec={
            **{"archive": path, "path": path, "work": path, "sha256": text},
            "known": {"type": "list", "elements": "str", "required": True},
        }
    )
    archive, folder = Path(module.params["archive"]), Path(module.params["path"])
    sha256 = module.params["sha256"]
    try:
        with told(module, folder), workplace(Path(module.params["work"])) as work:
            there = intact(folder, sha256)
            if not there:
                unpack(archive, sha256, module.params["known"], work)
                put(work, folder)
    except BundleError as error:
        module.fail_json(msg=str(error))
    finally:
        archive.unlink(missing_ok=True)
    module.exit_json(changed=not there)


if __name__ == "__main__":
    main()
