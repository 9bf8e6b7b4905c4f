"""What is off about a site's CA bundle on a host."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.module_utils.provisioner_host import RefusalError, change


def look(host: Any, wanted: dict) -> dict:
    """`wanted` is site_wanted: `path` of the bundle on the host, where the controller has it, and its `sha256`."""
    path = wanted["path"]
    if wanted["bundle"] and not wanted["sha256"]:
        raise RefusalError(
            f"the CA bundle {wanted['bundle']} is not on the controller; set site_ca_bundle to a PEM file, "
            "or to '' for none"
        )
    if not wanted["sha256"]:
        return {"changes": [change(path, "present", "absent")] if os.path.lexists(path) else []}
    folder = host.file_changes(str(Path(path).parent), mode="0755", kind="directory")
    return {
        "changes": folder + host.file_changes(path, mode="0644", sha256=wanted["sha256"], what="the site's CA bundle")
    }
