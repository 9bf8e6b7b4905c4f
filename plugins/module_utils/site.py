"""What is off about a site's CA bundle and proxies on a host."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError, change


def look(host: Host, wanted: dict) -> dict:
    """Return the look. `wanted` is site_wanted: the controller's bundle, the host's files, their sums, '' for none.

    Beside `changes`: `apt`, whether the host has apt, which must be told of the bundle.
    """
    bundle, settings, environment = (wanted[f"{name}path"] for name in ("", "apt_settings_", "environment_"))
    if wanted["bundle"] and not wanted["sha256"]:
        raise RefusalError(
            f"the CA bundle {wanted['bundle']} is not on the controller; set site_ca_bundle to a PEM file, "
            "or to '' for none"
        )
    apt = bool(host.which("apt-get"))
    changes = _left(settings, bundle) if not wanted["sha256"] else []
    changes += _left(environment) if not wanted["environment_sha256"] else []
    if wanted["sha256"] or wanted["environment_sha256"]:
        changes += host.file_changes(str(Path(bundle).parent), mode="0755", kind="directory")
    if wanted["sha256"]:
        changes += host.file_changes(bundle, mode="0644", sha256=wanted["sha256"], what="the site's CA bundle")
        if apt:
            changes += host.file_changes(settings, mode="0644", sha256=wanted["apt_settings_sha256"])
    if wanted["environment_sha256"]:
        changes += host.file_changes(
            environment, mode="0600", sha256=wanted["environment_sha256"], what="the site's variables"
        )
    return {"changes": changes, "apt": apt}


def _left(*paths: str) -> list[dict[str, str]]:
    """Return what is left of ours and no longer wanted; what is not a file is not ours."""
    ours = [each for each in map(Path, paths) if each.is_file() and not each.is_symlink()]
    return [change(each, "present", "absent") for each in ours]
