"""What is off about the base image and the git repository that a host has made itself."""

from __future__ import annotations

import re
from pathlib import Path

from ansible.module_utils.provisioner_bundle import intact
from ansible.module_utils.provisioner_engine import Engine
from ansible.module_utils.provisioner_host import Host, RefusalError, change
from ansible.module_utils.provisioner_packages import look as look_at_packages


def look(host: Host, wanted: dict) -> dict:
    """`wanted` is local_sources_wanted. The facts beside `changes`:

    - `bundle`: whether it is to be brought
    - `image`, `repository`: whether each is to be made; they carry the hash of what they were made from
    - `image_inputs`: that hash for this host; `release`: the entry of wanted.releases for this host
    """
    bundle, image, repository, inputs, release = [], [], [], "", {}
    if wanted["bundle"]:
        if not wanted["bundle_sha256"]:
            raise RefusalError(
                f"there is no bundle {wanted['bundle']} on the controller; make it with `provisioner bundle` where "
                "there is a network, or name another by local_sources_bundle"
            )
        if not intact(wanted["bundle_folder"], wanted["bundle_sha256"]):
            before = "other, or not whole" if Path(wanted["bundle_folder"]).exists() else "absent"
            bundle.append(change(f"bundle {wanted['bundle_folder']}", before, wanted["bundle"]))
    if wanted["image"]:
        release = host.pick(wanted["releases"])
        if not release:
            raise RefusalError(
                f"no base image can be made on {host.os_id}; use Debian or Ubuntu for this host, or a profile whose "
                "base image is pulled"
            )
        inputs = wanted["image_inputs"][release["id"]]
        there = Engine(host).image_label(wanted["image"], wanted["label"])
        if there != inputs:
            before = "absent" if there is None else "made from other inputs"
            image.append(change(f"image {wanted['image']}", before, "made from the profile's"))
            image += look_at_packages(host, release["tools"])
    if wanted["repository"]:
        made_from = repository_inputs(wanted["repository"])
        if made_from != wanted["repository_inputs"]:
            before = "made from other inputs" if made_from else "absent"
            repository.append(change(wanted["repository"], before, "made from the profile's"))
            repository += look_at_packages(host, wanted["repository_tools"])
    return {
        "changes": bundle + image + repository,
        "bundle": bool(bundle),
        "image": bool(image),
        "repository": bool(repository),
        "image_inputs": inputs,
        "release": release,
    }


def repository_inputs(path: str) -> str:
    """Hash of what the bare git repository at `path` was made from; '' where there is none, or it is not whole."""
    folder = Path(path)
    try:
        # Made by us, it has one branch, and all of its objects in one pack.
        whole = "refs/heads/" in (folder / "packed-refs").read_text() and (folder / "HEAD").is_file()
        packs = {pack.suffix for pack in (folder / "objects/pack").iterdir() if pack.stat().st_size}
        found = re.search(r"^\[provisioner\]\s*inputs = (\w+)$", (folder / "config").read_text(), re.MULTILINE)
    except OSError:
        return ""
    return found.group(1) if found and whole and {".pack", ".idx"} <= packs else ""
