"""What is off about the base image and the git repository that a host has made itself."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import engine as engines
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.bundle import intact, misfit
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.engine import Engine
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import (
    content,
    first_closed,
    is_foreign,
    no_room,
    not_ours,
    obstacle,
)
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError, change, refuse_if
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.packages import look as look_at_packages

# What making the image takes on the disk meanwhile, in bytes: the wheels, the tree and its archive.
IMAGE_BYTES = 1_200_000_000


def look(host: Host, wanted: dict) -> dict:
    """Return the look. `wanted` is local_sources_wanted. The facts beside `changes`:

    - `bundle`: whether it is to be brought
    - `image`, `repository`: whether each is to be made; they carry the hash of what they were made from
    - `image_inputs`: that hash for this host; `release`: the entry of wanted.releases for this host
    - `anew`: whether an image from the same inputs is in the way; `closed`: whether other users cannot read the sources
    """
    bundle = look_at_bundle(wanted) if wanted["bundle"] else []
    if wanted["image_from"]:
        image = Image(of_root(engines.of(host), wanted), wanted["image_from_inputs"], {}, "")
    else:
        image = look_at_image(host, wanted) if wanted["image"] else Image([], "", {}, "")
    repository = look_at_repository(host, wanted) if wanted["repository"] else []
    made = bundle + image.changes + repository
    needed = IMAGE_BYTES * bool(image.changes and image.release)
    refuse_if(in_the_way(wanted["work"], needed) if made else "")
    theirs = first_closed(kept_in(wanted), wanted["folder"])
    closed = [change(f"{theirs}: for other users", "closed", "open")] if theirs else []
    return {
        "changes": made + closed,
        "bundle": bool(bundle),
        "image": bool(image.changes),
        "repository": bool(repository),
        "closed": bool(closed),
        "anew": bool(image.spoilt),
        "image_inputs": image.inputs,
        "release": image.release,
    }


class Image(NamedTuple):
    """A base image: what is off about it, the hash of its inputs, the release it is made on, what of it is closed."""

    changes: list[dict[str, str]]
    inputs: str
    release: dict
    spoilt: str


def look_at_bundle(wanted: dict) -> list[dict[str, str]]:
    """Return what is off about the bundle. Raise RefusalError where it is not there, or not for this host."""
    if not wanted["bundle_sha256"]:
        raise RefusalError(
            f"there is no bundle {wanted['bundle']} on the controller; make it with `provisioner bundle` where "
            "there is a network, or name another by local_sources_bundle"
        )
    refuse_if(misfit(wanted["bundle_manifest"], os.uname().machine, wanted["runtime"]))
    if intact(wanted["bundle_folder"], wanted["bundle_sha256"]):
        return []
    refuse_unless_ours(wanted["bundle_folder"])
    before = "other, or not whole" if Path(wanted["bundle_folder"]).exists() else "absent"
    return [change(f"bundle {wanted['bundle_folder']}", before, wanted["bundle"])]


def look_at_image(host: Host, wanted: dict) -> Image:
    """Return what is off about an image that is made of the profile's inputs. Raise RefusalError where none can be."""
    release = host.pick(wanted["releases"])
    if not release:
        raise RefusalError(
            f"no base image can be made on {host.os_id}; use Debian or Ubuntu for this host, or a profile whose "
            "base image is pulled"
        )
    inputs = wanted["image_inputs"][release["id"]]
    engine = engines.of(host)
    there = engine.image_label(wanted["image"], wanted["label"])
    spoilt = closed_in_image(engine, wanted["image"], wanted["image_readable"]) if there == inputs else ""
    if there == inputs and not spoilt:
        return Image([], inputs, release, "")
    refuse_if(wanted["image_refusal"])
    if spoilt:
        off = [change(f"image {wanted['image']}: {spoilt} for its users", "closed", "open")]
    else:
        before = "absent" if there is None else "made from other inputs"
        off = [change(f"image {wanted['image']}", before, "made from the profile's")]
        off += look_at_packages(host, release["tools"])
    return Image(off, inputs, release, spoilt)


def look_at_repository(host: Host, wanted: dict) -> list[dict[str, str]]:
    """Return what is off about the git repository. Raise RefusalError where it is not ours, or cannot be made."""
    made_from = repository_inputs(wanted["repository"])
    if made_from == wanted["repository_inputs"]:
        return []
    refuse_unless_ours(wanted["repository"])
    refuse_if(wanted["repository_refusal"])
    before = "made from other inputs" if made_from else "absent"
    off = [change(wanted["repository"], before, "made from the profile's")]
    return off + look_at_packages(host, wanted["repository_tools"])


def of_root(engine: Engine, wanted: dict) -> list[dict[str, str]]:
    """Return what is off about a base image of a root file system; raise RefusalError where that is not on the host."""
    source, there = wanted["image_from"], engine.image_label(wanted["image"], wanted["label"])
    if there == wanted["image_from_inputs"]:
        return []
    if not Path(source).exists():
        raise RefusalError(
            f"there is no {source} on the host to make the base image of; mend local_sources_base_image_from"
        )
    before = "absent" if there is None else "made from other inputs"
    return [change(f"image {wanted['image']}", before, f"made of {source}")]


def in_the_way(work: str, needed: int) -> str:
    """Return what keeps the sources from being made in the folder `work`, which takes `needed` bytes; '' if nothing."""
    lock = Path(work).with_suffix(".lock")
    why = obstacle(work, "directory") or obstacle(lock, "file")
    return why or no_room(work, needed, "making the base image")


def refuse_unless_ours(folder: str) -> None:
    """Raise RefusalError where what is at `folder`, and would be replaced, is the site's."""
    refuse_if(obstacle(folder, "directory") or (not_ours(folder) if is_foreign(folder) else ""))


def kept_in(wanted: dict) -> Iterator[Path]:
    """Yield what the container's user reads of what is kept on the host."""
    for folder in (wanted["repository"], wanted["bundle"] and wanted["bundle_folder"]):
        if folder:
            yield from (Path(folder), *Path(folder).rglob("*"))


def closed_in_image(engine: Engine, name: str, paths: list[str]) -> str:
    """Return the first of `paths` in an image that its users cannot read; '' where they can, or where nobody can tell.

    One that we made is of one layer. An engine that keeps its images in containerd does not say where that is.
    """
    answer = engine.answer(f"/images/{name}/json")
    layer = ((answer.get("GraphDriver") or {}).get("Data") or {}) if isinstance(answer, dict) else {}
    top = layer.get("UpperDir", "")
    if not top or layer.get("LowerDir"):
        return ""
    found = first_closed([f"{top}{path}" for path in paths], top)
    return found[len(top) :] or "/" if found else ""


def repository_inputs(path: str) -> str:
    """Return the hash of the inputs of the bare git repository at `path`; '' where none is there or whole."""
    folder = Path(path)
    try:
        # Made by us, it has one branch, and all of its objects in one pack.
        whole = b"refs/heads/" in content(folder / "packed-refs") and (folder / "HEAD").is_file()
        packs = {pack.suffix for pack in (folder / "objects/pack").iterdir() if pack.stat().st_size}
        config = content(folder / "config").decode(errors="replace")
        found = re.search(r"^\[provisioner\]\s*inputs = (\w+)$", config, re.MULTILINE)
    except OSError:
        return ""
    return found.group(1) if found and whole and {".pack", ".idx"} <= packs else ""
