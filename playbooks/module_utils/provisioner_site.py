"""What is off about a site's CA bundle on a host."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.provisioner_host import Host, RefusalError, change


def look(host: Host, wanted: dict) -> dict:
    """`wanted` is site_wanted: the bundle on the controller, where it and apt's settings go on the host, and the sums.

    Beside `changes`: `apt`, whether the host has apt, which must be told of the bundle.
    """
    path, settings = wanted["path"], wanted["apt_settings_path"]
    if wanted["bundle"] and not wanted["sha256"]:
        raise RefusalError(
            f"the CA bundle {wanted['bundle']} is not on the controller; set site_ca_bundle to a PEM file, "
            "or to '' for none"
        )
    apt = bool(host.which("apt-get"))
    if not wanted["sha256"]:
        # What is no file is not what we wrote.
        ours = [each for each in map(Path, (settings, path)) if each.is_file() and not each.is_symlink()]
        left = [change(each, "present", "absent") for each in ours]
        return {"changes": left, "apt": apt}
    changes = host.file_changes(str(Path(path).parent), mode="0755", kind="directory")
    changes += host.file_changes(path, mode="0644", sha256=wanted["sha256"], what="the site's CA bundle")
    if apt:
        changes += host.file_changes(settings, mode="0644", sha256=wanted["apt_settings_sha256"])
    return {"changes": changes, "apt": apt}
