"""Checks of who vouches for the base image, and that it did not change.

Who vouches: the registry's digest, where the site names one or the rules know it; or, for a base that provisioner
makes, the labels of when it was made and the sums of its toolkit, which the rules know by the wheels. Where nobody
does, the run may be as honest as any, and that is told beside the verdict.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from provisioner.audit.checks.wheels import wheel_sums
from provisioner.audit.engine import pairs, size
from provisioner.audit.finding import Finding, Findings, failed, passed, skipped, unwritten
from provisioner.audit.known_bases import ARCHIVE, TOOLKIT, WHEELS, known, toolkit_of
from provisioner.audit.names import DEVCONTAINER

if TYPE_CHECKING:
    from provisioner.runs.evidence import Evidence

__all__ = ["base_is_one_import", "base_is_vouched_for", "base_of", "remarks", "unseen_base", "vouched_toolkits"]

BEFORE = "base_image_before.json"
AFTER = "base_image.json"
AT_BUILD = "images_at_build.jsonl"
AT_END = "images_after.jsonl"
HISTORY = "base_image_history.jsonl"
FILES = "base_files.json"
CUDA = "base_image_cuda.txt"
# What role local_sources makes for the profile registries.
OWN = re.compile(r"(?:docker\.io/)?provisioner/cuda(?::[\w.-]+)?")
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# What provisioner makes has the distribution's packages and a toolkit: 0.4 GB. One with torch and its libraries has 5.
LARGEST_OWN = 2e9
# Where a toolkit is found, by a link to it.
LINK = "/usr/local/cuda"
# An engine that keeps unpacked layers tells of an image's size as the sum of theirs, which it rounds to three digits.
UNPACKED = frozenset({"overlay2", "vfs", "fuse-overlayfs", "btrfs", "zfs", "devicemapper"})
ROUNDED = 0.01


def base_is_one_import(evidence: Evidence) -> Findings:
    """The base did not change during the run; one that provisioner makes is one import, with nothing put on it."""
    base, later = evidence.inspected(BEFORE), evidence.inspected(AFTER)
    if not (base or later) or not evidence.ended("image_build"):
        yield skipped("the image was not built", AFTER)
        return
    if base and later and base.get("Id") != later.get("Id"):
        yield failed(f"it was {base.get('Id')} before the build, and is {later.get('Id')}", AFTER)
    for image, where in ((base, AT_BUILD), (later, AT_END)):
        there = {one["id"]: one["layers"] for one in evidence.json_lines(where)}
        if image and there and there.get(image["Id"]) != image["RootFS"]["Layers"]:
            yield failed(f"{image['Id']} was not on the host with these layers", where)
    yield from _told_otherwise(evidence)
    name = str(evidence.run.get("base_image"))
    if not OWN.fullmatch(name):
        yield passed(f"{name} is none that provisioner makes", "run.json")
        return
    yield from _not_one_import(evidence)
    yield passed("one import", HISTORY)


def _not_one_import(evidence: Evidence) -> Findings:
    """Say what a base that provisioner makes has besides one layer, of the time of its import."""
    base, rows = base_of(evidence), evidence.json_lines(HISTORY)
    for row in rows[:1]:
        made = datetime.fromisoformat(re.sub(r"\.\d+", "", str(base["Created"])))
        if made != datetime.fromisoformat(row["CreatedAt"]):
            yield failed(f"it is of {made}, and was imported at {row['CreatedAt']}", HISTORY)
    layers = base.get("RootFS", {}).get("Layers") or []
    if len(layers) != 1:
        yield failed(f"it has {len(layers)} layers, and what provisioner makes has one", AFTER)
    for number, row in enumerate(rows, 1):
        if row["CreatedBy"] or len(rows) > 1:
            yield failed(f"a layer was made by {row['CreatedBy'] or 'another import'!s:.60}", f"{HISTORY}:{number}")
    if not rows:
        yield unwritten(evidence, "its history is not known", HISTORY)


def _told_otherwise(evidence: Evidence) -> Findings:
    """Say which image has another size than its layers, or another machine than the base; or what of that changed."""
    base, before = base_of(evidence), evidence.inspected(BEFORE)
    for fact in ("Created", "Size", "Config", "RootFS") if before else ():
        if before.get(fact) != base.get(fact):
            yield failed(f"it is told of with another {fact} at the end", AFTER)
    for name, history in ((AFTER, HISTORY), ("image_inspect.json", "image_history.jsonl")):
        image, rows = evidence.inspected(name), evidence.json_lines(history)
        if image and image.get("Architecture") != base.get("Architecture"):
            yield failed(f"it is for {image.get('Architecture')}, and the base for {base.get('Architecture')}", name)
        layers = _size_of_layers(image, rows)
        if layers is not None and abs(layers - image["Size"]) > ROUNDED * image["Size"] + 1e6:
            yield failed(f"it has {image['Size'] / 1e6:.0f} MB, and its layers {layers / 1e6:.0f}", name)


def _size_of_layers(image: dict[str, Any], rows: list[dict[str, Any]]) -> float | None:
    """Return the bytes of an image's layers by its history; None where the engine tells of others than those."""
    told = [row["Size"] for row in rows]
    if not image or not rows or (image.get("GraphDriver") or {}).get("Name") not in UNPACKED:
        return None
    sizes = [found for found in map(size, told) if found is not None]
    return sum(sizes) if len(sizes) == len(told) else None


def base_is_vouched_for(evidence: Evidence) -> Findings:
    """The base is the one that its digest, or what made it, says that it is."""
    base, files = base_of(evidence), evidence.mapping(FILES)
    if unseen := unseen_base(evidence, files):
        yield unseen
        return
    if files["image"] != base["Id"]:
        yield failed(f"the files are those of {files['image']}, and the base is {base['Id']}", FILES)
    named = str(evidence.run.get("base_image"))
    yield from _of_another_digest(base, named)
    if OWN.fullmatch(named):
        yield from _not_made_by_provisioner(evidence, base, files)
    yield from _not_in_it(base, files)
    voucher = _voucher(evidence)
    yield passed(voucher or f"nothing contradicts it, and nobody vouches for it: {_called(evidence)}", FILES)


def _of_another_digest(base: dict[str, Any], named: str) -> Findings:
    """Say where the base has not got the digest that the site names, or that its registry is known to have."""
    digest = named.partition("@")[2]
    digests = [named_as.partition("@")[2] for named_as in base.get("RepoDigests") or ()]
    if digest and digest not in digests:
        yield failed(f"the site names {digest}, and the base is {', '.join(digests) or 'of no registry'}", AFTER)
    wanted = known()["digests"].get(named.removeprefix("docker.io/"), [])
    if wanted and not set(wanted) & set(digests):
        yield failed(f"{named} is {wanted[0]}, and the base is {', '.join(digests) or 'of no registry'}", AFTER)


def _not_made_by_provisioner(evidence: Evidence, base: dict[str, Any], files: dict[str, Any]) -> Findings:
    """Say what of a base is not as provisioner makes one: of packages and a toolkit, in its label's layer."""
    labels = base.get("Config", {}).get("Labels") or {}
    layer = next(iter(base.get("RootFS", {}).get("Layers") or ()), None)
    if labels.get(ARCHIVE) != layer:
        told = f"it was made as {labels[ARCHIVE]}" if labels.get(ARCHIVE) else "it does not say what it was made of"
        yield failed(f"{told}, and is {layer}; `provisioner prepare` makes it anew", AFTER)
    for path in files["loose"]:
        yield failed(f"{path} is of no package and of no wheel", FILES)
    if not files["toolkits"]:
        yield failed("it has no toolkit", FILES)
    if base["Size"] > LARGEST_OWN:
        yield failed(f"it has {base['Size'] / 1e9:.1f} GB, more than packages and a toolkit have", AFTER)
    yield from _toolkits_that_are_not_their_wheels(evidence)


def unseen_base(evidence: Evidence, files: dict[str, Any]) -> Finding | None:
    """Return what is found where the host did not look into the base; None where it did."""
    if not evidence.ended("image_build") or not evidence.inspected("image_inspect.json"):
        return skipped("the image was not built", FILES)
    return None if files else unwritten(evidence, "what is in the base is not known", FILES)


def _not_in_it(base: dict[str, Any], files: dict[str, Any]) -> Findings:
    """Say what a base is told to have that the host did not see in it."""
    if files["files"] < sum(tree["files"] for tree in files["toolkits"].values()) or not files["packages"]:
        yield failed(f"it has {files['files']} files of {files['packages']} packages, fewer than its toolkits", FILES)
    variables = dict(pairs((base.get("Config") or {}).get("Env")))
    for name in ("CUDA_HOME", "CUDA_PATH", "CUDA_ROOT"):
        if variables.get(name, LINK) not in {LINK, *files["toolkits"]}:
            yield failed(f"{name} is {variables[name]}, and there is no such toolkit", FILES)


def _toolkits_that_are_not_their_wheels(evidence: Evidence) -> Findings:
    """Say which toolkit is not what the wheels are known to make that its base says it was made of."""
    base = base_of(evidence)
    labels = base.get("Config", {}).get("Labels") or {}
    entry = toolkit_of(labels)
    machine = MACHINES.get(str(base.get("Architecture")), "")
    told = labels.get(TOOLKIT, "").removeprefix("sha256:")
    wanted = entry["sha256"].get(machine, told) if entry else told
    if TOOLKIT in labels and told != wanted:
        yield failed(f"it says that {labels[WHEELS]:.60} make {told:.12}, and they make {wanted:.12}", AFTER)
    for folder, tree in (evidence.mapping(FILES).get("toolkits") or {}).items():
        if TOOLKIT in labels and tree["sha256"] != wanted:
            yield failed(f"{folder} is not as its wheels have it: {tree['sha256']:.12}, not {wanted:.12}", FILES)
    if entry:
        yield from _programs_that_are_not_their_wheels(evidence, entry, machine)


def _programs_that_are_not_their_wheels(evidence: Evidence, entry: dict[str, Any], machine: str) -> Findings:
    """Say which program of a known toolkit has another sum, or which release of nvcc is another."""
    sums = evidence.mapping(FILES).get("tools") or {}
    for folder in vouched_toolkits(evidence):
        for name, digest in entry["tools"].get(machine, {}).items():
            if sums.get(f"{folder}/{name}") != digest:
                yield failed(f"{folder}/{name} is not as its wheels have it", FILES)
    said = re.findall(r"^Cuda compilation tools, .*, (V\S+)$", evidence.text(CUDA), re.MULTILINE)
    if said and said[0] != entry["nvcc"]:
        yield failed(f"its nvcc calls itself {said[0]}, and that of its wheels {entry['nvcc']}", CUDA)


def remarks(evidence: Evidence) -> list[str]:
    """Return what must be told beside the verdict: that nobody vouches for the base, where that is so."""
    if evidence.runtime != DEVCONTAINER:
        unknown = [name for name, digest in wheel_sums(evidence).items() if digest not in known()["wheels"]]
        return [f"base not vouched for: {min(unknown)} is of no lock that is known"] if unknown else []
    asked = evidence.ended("image_build") and evidence.mapping(FILES)
    return [] if not asked or _voucher(evidence) else [f"base not vouched for: {_called(evidence)}"]


def base_of(evidence: Evidence) -> dict[str, Any]:
    """Return the base as it is at the end, or as it was before the build."""
    return evidence.inspected(AFTER) or evidence.inspected(BEFORE)


def _called(evidence: Evidence) -> str:
    """Return the digest by which its registry has the base; its own where it is of none."""
    base = base_of(evidence)
    return next(iter(base.get("RepoDigests") or ()), None) or f"{evidence.run.get('base_image')} {base.get('Id')}"


def _voucher(evidence: Evidence) -> str:
    """Return who vouches for the base, in words; empty where nobody does."""
    base, named = base_of(evidence), str(evidence.run.get("base_image"))
    digests = {told.partition("@")[2] for told in base.get("RepoDigests") or ()} - {""}
    if named.partition("@")[2] in digests:
        return "it has the digest that the site names"
    if digests & set(known()["digests"].get(named.removeprefix("docker.io/"), [])):
        return "it has the digest that its registry is known to have"
    labels = base.get("Config", {}).get("Labels") or {}
    entry = toolkit_of(labels)
    toolkits = {tree["sha256"] for tree in evidence.mapping(FILES)["toolkits"].values()}
    of_wheels = entry is not None and toolkits and toolkits <= set(entry["sha256"].values())
    if OWN.fullmatch(named) and of_wheels and base["RootFS"]["Layers"] == [labels.get(ARCHIVE)]:
        return "it is what provisioner made of packages and of wheels with known sums"
    return ""


def vouched_toolkits(evidence: Evidence) -> list[str]:
    """Return the folders of the base's toolkits that are those of wheels, by their sums."""
    labels = base_of(evidence).get("Config", {}).get("Labels") or {}
    sums = {labels.get(TOOLKIT, "").removeprefix("sha256:")} | {
        digest for entry in known()["toolkits"] for digest in entry["sha256"].values()
    }
    toolkits = evidence.mapping(FILES).get("toolkits") or {}
    return [folder for folder, tree in toolkits.items() if tree["sha256"] in sums]
