"""What is off about a site's CA bundle on a host."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.module_utils.provisioner_host import change


def look(host: Any, wanted: dict) -> dict:
    """`wanted`: `path` of the bundle on the host, and its `sha256`, '' where a site has none."""
    path = wanted["path"]
    if not wanted["sha256"]:
        return {"changes": [change(path, "present", "absent")] if os.path.lexists(path) else []}
    folder = host.file_changes(str(Path(path).parent), mode="0755", kind="directory")
    return {
        "changes": folder + host.file_changes(path, mode="0644", sha256=wanted["sha256"], what="the site's CA bundle")
    }
