"""Checks of the base image: who vouches for it, what it sets, and that nothing of what is measured was in it.

Who vouches: the registry's digest, where the site names one or the rules know it; or, for a base that provisioner
makes, the labels of when it was made and the sums of its toolkit, which the rules know by the wheels. Where nobody
does, the run may be as honest as any, and that is told beside the verdict.
"""

from __future__ import annotations

import json
import re
import shlex
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioner.audit import dockerfile
from provisioner.audit.engine import pairs
from provisioner.audit.finding import Finding, Findings, failed, passed, skipped, unwritten
from provisioner.audit.names import DEVCONTAINER, DOCKERFILE, LOG

if TYPE_CHECKING:
    from provisioner.runs.evidence import Evidence

__all__ = [
    "base_is_one_import",
    "base_is_vouched_for",
    "base_sets_nothing_of_its_own",
    "nothing_was_ready_in_the_base",
    "remarks",
    "settings_are_the_dockerfiles",
    "wheels_are_those_of_the_bundle",
]

BEFORE = "base_image_before.json"
AFTER = "base_image.json"
AT_BUILD = "images_at_build.jsonl"
AT_END = "images_after.jsonl"
HISTORY = "base_image_history.jsonl"
FILES = "base_files.json"
CUDA = "base_image_cuda.txt"
SETTINGS = "files/benchmarking/scenario_a.env"
ECHOED = re.compile(r" \+ (?:inside )?python3 -m pip install --no-cache-dir --no-index --find-links (/\S+) ")
SUMS = "wheels.txt"
BUNDLE = "bundle.json"
KNOWN = Path(__file__).parent / "known_bases.json"
# What role local_sources makes for the profile registries.
OWN = re.compile(r"(?:docker\.io/)?provisioner/cuda(?::[\w.-]+)?")
ARCHIVE, TOOLKIT, WHEELS = "provisioner.archive", "provisioner.toolkit", "provisioner.wheels"
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}

# The variables of NVIDIA's images and of ours, and the values that decide which program or library is taken.
FOLDER = r"/(?:usr/(?:local/)?)?s?bin"
LIBRARIES = r"/usr/local/(?:nvidia|cuda(?:-[\d.]+)?)/(?:(?:targets/[\w-]+/)?lib(?:64)?(?:/stubs)?|compat(?:/lib)?)"
TOOLKIT_FOLDER = r"/usr/local/cuda(?:-[\d.]+)?"
VARIABLES = {
    "PATH": rf"(?:(?:{FOLDER}|/usr/local/nvidia/bin|{TOOLKIT_FOLDER}/bin)(?::(?!$)|$))+",
    "LD_LIBRARY_PATH": rf":?(?:{LIBRARIES}(?::|$))+",
    "LIBRARY_PATH": rf":?(?:{LIBRARIES}(?::|$))+",
    "CUDA_HOME|CUDA_PATH|CUDA_ROOT": TOOLKIT_FOLDER,
    r"CUDA_VERSION|NCCL_VERSION|NVARCH|NV_\w+|NVIDIA_\w+": r"[^\n]*",
    "LANG|LANGUAGE|LC_ALL|TZ|TERM|DEBIAN_FRONTEND": r"[\w.:/@+-]*",
    "HOME": "/root",
    # What Scenario A's Dockerfile sets itself: a site may keep an image of its first steps.
    "FORCE_CUDA": "1",
    "SSL_CERT_FILE|PIP_CERT|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|GIT_SSL_CAINFO|NODE_EXTRA_CA_CERTS": (
        r"/(?:usr/(?:local/)?share/ca-certificates|etc/ssl/certs)/[\w./-]+"
    ),
}
ENTRYPOINTS: tuple[list[str], ...] = ([], ["/opt/nvidia/nvidia_entrypoint.sh"])
SHELL = re.compile(r"/bin/(?:ba)?sh(?: -o pipefail| -[ceux]+)+")
# A site's own certificate authorities, put beside those that pip brings: whom pip believes is no tool.
AUTHORITIES = re.compile(r"/.*/certifi/cacert\.pem")
# What the distributions' own images have apt do.
CLEANS = re.compile(r"rm -f(?: /var/cache/apt/[\w./*]+)+(?: \|\| true)?")
SIZE = re.compile(r"([\d.]+)([kMGT]?B)")
UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
# torch 2 without CUDA has more bytes than this, in its libraries alone.
LEAST_TORCH = 150e6
# What provisioner makes has the distribution's packages and a toolkit: 0.4 GB. One with torch and its libraries has 5.
LARGEST_OWN = 2e9
# Where a toolkit is found, by a link to it.
LINK = "/usr/local/cuda"
# An engine that keeps unpacked layers tells of an image's size as the sum of theirs, which it rounds to three digits.
UNPACKED = frozenset({"overlay2", "vfs", "fuse-overlayfs", "btrfs", "zfs", "devicemapper"})
ROUNDED = 0.01
# What is measured, and what it stands on, as pip names it.
MEASURED = ("torch", "torchvision", "torchaudio", "triton", "xformers")


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
    for row in evidence.json_lines(HISTORY)[:1]:
        made = datetime.fromisoformat(re.sub(r"\.\d+", "", str((later or base)["Created"])))
        if made != datetime.fromisoformat(row["CreatedAt"]):
            yield failed(f"it is of {made}, and was imported at {row['CreatedAt']}", HISTORY)
    layers = (later or base).get("RootFS", {}).get("Layers") or []
    rows = evidence.json_lines(HISTORY)
    if len(layers) != 1:
        yield failed(f"it has {len(layers)} layers, and what provisioner makes has one", AFTER)
    for number, row in enumerate(rows, 1):
        if row["CreatedBy"] or len(rows) > 1:
            yield failed(f"a layer was made by {row['CreatedBy'] or 'another import'!s:.60}", f"{HISTORY}:{number}")
    if not rows:
        yield unwritten(evidence, "its history is not known", HISTORY)
    yield passed("one import", HISTORY)


def _told_otherwise(evidence: Evidence) -> Findings:
    """Say which image has another size than its layers, or another machine than the base; or what of that changed."""
    base, before = _base(evidence), evidence.inspected(BEFORE)
    for fact in ("Created", "Size", "Config", "RootFS") if before else ():
        if before.get(fact) != base.get(fact):
            yield failed(f"it is told of with another {fact} at the end", AFTER)
    for name, history in ((AFTER, HISTORY), ("image_inspect.json", "image_history.jsonl")):
        image, rows = evidence.inspected(name), evidence.json_lines(history)
        if image and image.get("Architecture") != base.get("Architecture"):
            yield failed(f"it is for {image.get('Architecture')}, and the base for {base.get('Architecture')}", name)
        told = [SIZE.fullmatch(str(row["Size"])) for row in rows]
        if not image or not rows or not all(told) or (image.get("GraphDriver") or {}).get("Name") not in UNPACKED:
            continue
        size = sum(float(found[1]) * UNITS[found[2]] for found in told if found)
        if abs(size - image["Size"]) > ROUNDED * image["Size"] + 1e6:
            yield failed(f"it has {image['Size'] / 1e6:.0f} MB, and its layers {size / 1e6:.0f}", name)


def base_is_vouched_for(evidence: Evidence) -> Findings:
    """The base is the one that its digest, or what made it, says that it is."""
    base, files = _base(evidence), evidence.mapping(FILES)
    if unseen := _unseen(evidence, files):
        yield unseen
        return
    if files["image"] != base["Id"]:
        yield failed(f"the files are those of {files['image']}, and the base is {base['Id']}", FILES)
    named = str(evidence.run.get("base_image"))
    digest = named.partition("@")[2]
    digests = [named_as.partition("@")[2] for named_as in base.get("RepoDigests") or ()]
    if digest and digest not in digests:
        yield failed(f"the site names {digest}, and the base is {', '.join(digests) or 'of no registry'}", AFTER)
    wanted = known()["digests"].get(named.removeprefix("docker.io/"), [])
    if wanted and not set(wanted) & set(digests):
        yield failed(f"{named} is {wanted[0]}, and the base is {', '.join(digests) or 'of no registry'}", AFTER)
    if OWN.fullmatch(named):
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
    yield from _not_in_it(base, files)
    voucher = _voucher(evidence)
    yield passed(voucher or f"nothing contradicts it, and nobody vouches for it: {_called(evidence)}", FILES)


def _unseen(evidence: Evidence, files: dict[str, Any]) -> Finding | None:
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


def base_sets_nothing_of_its_own(evidence: Evidence) -> Findings:
    """The base sets only variables that CUDA's images set; it has no step, shell, volume or entrypoint of its own."""
    base = _base(evidence)
    if not base:
        yield skipped("there is no base image", AFTER)
        return
    config = base.get("Config") or {}
    for name, value in pairs(config.get("Env")):
        pattern = next((VARIABLES[names] for names in VARIABLES if re.fullmatch(names, name)), None)
        if pattern is None:
            yield failed(f"it sets {name}", AFTER)
        elif not re.fullmatch(pattern, value):
            yield failed(f"it sets {name} to {value:.80}", AFTER)
    if (config.get("Entrypoint") or []) not in ENTRYPOINTS:
        yield failed(f"it has the entrypoint {config['Entrypoint']!s:.60}", AFTER)
    if config.get("Shell") and not SHELL.fullmatch(" ".join(config["Shell"])):
        yield failed(f"it has the shell {config['Shell']!s:.60}", AFTER)
    for key in ("OnBuild", "Healthcheck", "Volumes"):
        if config.get(key):
            yield failed(f"it has {key} {config[key]!s:.60}", AFTER)
    if config.get("User") not in {None, "", "root", "0", "0:0", "root:root"}:
        yield failed(f"its user is {config['User']}", AFTER)
    yield passed(f"{len(config.get('Env') or ())} variables, all of them known", AFTER)


def settings_are_the_dockerfiles(evidence: Evidence) -> Findings:
    """What the image sets is what the base sets and what the Dockerfile adds to that, and the container's the same."""
    base, image = _base(evidence), evidence.inspected("image_inspect.json")
    where = "image_inspect.json"
    if not base or not image:
        yield skipped("the image was not built", where)
        return
    steps = dockerfile.parse(evidence.text(DOCKERFILE))
    wanted = dict(pairs((base.get("Config") or {}).get("Env")))
    for step in steps:
        wanted |= dict(pairs(shlex.split(step.arguments) if step.name == "ENV" else ()))
    entrypoint = next((json.loads(step.arguments) for step in reversed(steps) if step.name == "ENTRYPOINT"), None)
    for name in (where, "container_image.json"):
        config = evidence.inspected(name).get("Config")
        if config is None:
            continue
        has = dict(pairs(config.get("Env")))
        for variable in sorted(wanted.keys() | has.keys()):
            if has.get(variable) != wanted.get(variable):
                yield failed(
                    f"{variable} is {has.get(variable)!s:.60}, and should be {wanted.get(variable)!s:.60}", name
                )
        if config.get("Entrypoint") != entrypoint:
            yield failed(f"the entrypoint is {config.get('Entrypoint')!s:.60}", name)
        for key in ("OnBuild", "Healthcheck", "Volumes", "Shell"):
            if config.get(key) not in (None, [], {}, ["/bin/sh", "-c"], (base.get("Config") or {}).get(key)):
                yield failed(f"it has {key} {config[key]!s:.60}", name)
    container = evidence.inspected("container_inspect.json").get("Config", {})
    # The Dev Container CLI's own, unless the site's devcontainer.json leaves the image's.
    if container and container.get("Entrypoint") not in (["/bin/sh"], entrypoint):
        yield failed(f"the entrypoint is {container.get('Entrypoint')!s:.60}", "container_inspect.json")
    yield passed(f"{len(wanted)} variables", where)


def nothing_was_ready_in_the_base(evidence: Evidence) -> Findings:
    """Before the Dockerfile's first step there was no torch, triton, xformers or object, and nothing that meddles."""
    files = evidence.mapping(FILES)
    if unseen := _unseen(evidence, files):
        yield unseen
        return
    for key, what in (
        ("ready", "{} was there"),
        ("altered", "{} is not as its package or wheel has it"),
        ("starts", "{} runs when Python starts, and is of no package"),
        ("pip_config", "{} tells pip where to look"),
        ("preloaded", "{} is loaded into every program"),
    ):
        for path in files[key]:
            if not (key == "altered" and AUTHORITIES.fullmatch(path)):
                yield failed(what.format(path), FILES)
    for command in files["hooks"]:
        if not CLEANS.fullmatch(command.strip()):
            yield failed(f"apt runs {command:.60}", FILES)
    yield from _not_installed_by_the_dockerfile(evidence)
    yield passed(f"{files['packages']} packages, {files['files']} files, nothing of what is measured", FILES)


def wheels_are_those_of_the_bundle(evidence: Evidence) -> Findings:
    """Where a folder of wheels is all that pip installs from, each has the sum that the bundle's manifest says."""
    folder = wheels_folder(evidence)
    if not folder:
        yield passed("pip had no folder to install from", SETTINGS)
        return
    wheels, bundle = _wheels(evidence), evidence.mapping(BUNDLE)
    if not wheels:
        yield unwritten(evidence, f"the sums of {folder} are not known", SUMS)
        return
    if not bundle and evidence.run.get("profile") == "offline":
        yield failed(f"{folder} is of no bundle", BUNDLE)
    wanted = bundle.get("files") or {}
    for name, digest in wheels.items():
        if bundle and wanted.get(f"wheels/{name}") != digest:
            yield failed(f"{name} is not as the bundle's manifest has it", SUMS)
    yield passed(f"{len(wheels)} wheels" + (", as the bundle has them" if bundle else ", of the site's own"), SUMS)


def wheels_folder(evidence: Evidence) -> str:
    """Return the folder from which alone pip installs, as the scripts echo it; empty where there is none.

    Whoever ran them by hand natively may have named another one than the settings. In a container it is the settings'
    folder as it is mounted there, for pre-commit alone: its Dockerfile installs from no folder.
    """
    set_to = re.search(r"^SCENARIO_A_WHEELS=(/.+)$", evidence.text(SETTINGS), re.MULTILINE)
    if evidence.runtime == DEVCONTAINER and not set_to:
        return ""
    echoed = (ECHOED.search(line) for line in evidence.log if "--find-links" in line)
    told = next(filter(None, echoed), None) or set_to
    return told[1].rstrip("/") if told else ""


def _wheels(evidence: Evidence) -> dict[str, str]:
    """Return the sums of that folder's files, by name."""
    lines = (line.partition("  ") for line in evidence.text(SUMS).splitlines())
    return {name: digest for digest, _, name in lines}


def remarks(evidence: Evidence) -> list[str]:
    """Return what must be told beside the verdict: that nobody vouches for the base, where that is so."""
    if evidence.runtime != DEVCONTAINER:
        unknown = [name for name, digest in _wheels(evidence).items() if digest not in known()["wheels"]]
        return [f"base not vouched for: {min(unknown)} is of no lock that is known"] if unknown else []
    asked = evidence.ended("image_build") and evidence.mapping(FILES)
    return [] if not asked or _voucher(evidence) else [f"base not vouched for: {_called(evidence)}"]


def _not_installed_by_the_dockerfile(evidence: Evidence) -> Findings:
    """Say which of the packages that are measured the image's build did not fetch and install by itself."""
    inputs = evidence.mapping("files/benchmarking/inputs.json")
    lines = list(evidence.log_of("image_build"))
    words = [str(word) for call in inputs.get("python_packages") or () for word in call]
    asked = {re.split(r"[^\w.-]", word)[0].lower() for word in words}
    installed = " ".join(line.partition("Successfully installed ")[2] for _, line in lines)
    packages = {str(package["name"]).lower(): package["version"] for package in evidence.json("packages.json") or ()}
    for name in filter(asked.__contains__, MEASURED):
        versions = re.findall(rf"(?:^| ){name}-(\d\S*)", installed)
        if not versions:
            yield failed(f"the build did not install {name}", LOG)
        elif packages and versions[-1] != packages.get(name):
            yield failed(
                f"the build installed {name} {versions[-1]}, and {packages.get(name)} is there", "packages.json"
            )
        named = re.search(rf"(?:^| ){name}==([^\s,;]+)", " ".join(words))
        if versions and named and versions[-1].partition("+")[0] != named[1].partition("+")[0]:
            yield failed(f"the build installed {name} {versions[-1]}, and the inputs ask for {named[1]}", LOG)
    if "torch" in asked:
        yield from _too_small_for_torch(evidence)


def _too_small_for_torch(evidence: Evidence) -> Findings:
    """Say that the layer of the image in which torch was installed is smaller than torch is."""
    for number, row in enumerate(evidence.json_lines("image_history.jsonl"), 1):
        step = dockerfile.built(row["CreatedBy"])
        size = SIZE.fullmatch(str(row["Size"]))
        of_torch = step.name == "RUN" and re.search(r"pip install.* torch\b", step.arguments)
        if of_torch and size and float(size[1]) * UNITS[size[2]] < LEAST_TORCH:
            yield failed(f"torch was put into {row['Size']}", f"image_history.jsonl:{number}")


def _base(evidence: Evidence) -> dict[str, Any]:
    """The base as it is at the end, or as it was before the build."""
    return evidence.inspected(AFTER) or evidence.inspected(BEFORE)


def _called(evidence: Evidence) -> str:
    """Return the digest by which its registry has the base; its own where it is of none."""
    base = _base(evidence)
    return next(iter(base.get("RepoDigests") or ()), None) or f"{evidence.run.get('base_image')} {base.get('Id')}"


def _voucher(evidence: Evidence) -> str:
    """Return who vouches for the base, in words; empty where nobody does."""
    base, named = _base(evidence), str(evidence.run.get("base_image"))
    digests = {told.partition("@")[2] for told in base.get("RepoDigests") or ()} - {""}
    if named.partition("@")[2] in digests:
        return "it has the digest that the site names"
    if digests & set(known()["digests"].get(named.removeprefix("docker.io/"), [])):
        return "it has the digest that its registry is known to have"
    labels = base.get("Config", {}).get("Labels") or {}
    entry = _of_wheels(labels)
    toolkits = {tree["sha256"] for tree in evidence.mapping(FILES)["toolkits"].values()}
    of_wheels = entry is not None and toolkits and toolkits <= set(entry["sha256"].values())
    if OWN.fullmatch(named) and of_wheels and base["RootFS"]["Layers"] == [labels.get(ARCHIVE)]:
        return "it is what provisioner made of packages and of wheels with known sums"
    return ""


def vouched_toolkits(evidence: Evidence) -> list[str]:
    """Return the folders of the base's toolkits that are those of wheels, by their sums."""
    labels = _base(evidence).get("Config", {}).get("Labels") or {}
    sums = {labels.get(TOOLKIT, "").removeprefix("sha256:")} | {
        digest for entry in known()["toolkits"] for digest in entry["sha256"].values()
    }
    toolkits = evidence.mapping(FILES).get("toolkits") or {}
    return [folder for folder, tree in toolkits.items() if tree["sha256"] in sums]


def _toolkits_that_are_not_their_wheels(evidence: Evidence) -> Findings:
    """Say which toolkit is not what the wheels are known to make that its base says it was made of."""
    base = _base(evidence)
    labels = base.get("Config", {}).get("Labels") or {}
    entry = _of_wheels(labels)
    machine = MACHINES.get(str(base.get("Architecture")), "")
    told = labels.get(TOOLKIT, "").removeprefix("sha256:")
    wanted = entry["sha256"].get(machine, told) if entry else told
    if TOOLKIT in labels and told != wanted:
        yield failed(f"it says that {labels[WHEELS]:.60} make {told:.12}, and they make {wanted:.12}", AFTER)
    for folder, tree in (evidence.mapping(FILES).get("toolkits") or {}).items():
        if TOOLKIT in labels and tree["sha256"] != wanted:
            yield failed(f"{folder} is not as its wheels have it: {tree['sha256']:.12}, not {wanted:.12}", FILES)
    sums = evidence.mapping(FILES).get("tools") or {}
    for folder in vouched_toolkits(evidence) if entry else ():
        for name, digest in entry["tools"].get(machine, {}).items() if entry else ():
            if sums.get(f"{folder}/{name}") != digest:
                yield failed(f"{folder}/{name} is not as its wheels have it", FILES)
    said = re.findall(r"^Cuda compilation tools, .*, (V\S+)$", evidence.text(CUDA), re.MULTILINE)
    if entry and said and said[0] != entry["nvcc"]:
        yield failed(f"its nvcc calls itself {said[0]}, and that of its wheels {entry['nvcc']}", CUDA)


def _of_wheels(labels: dict[str, str]) -> dict[str, Any] | None:
    """Return what is known of a toolkit of the wheels that a base's labels name; None where nothing is."""
    wheels = sorted(labels.get(WHEELS, "").split(","))
    return next((entry for entry in known()["toolkits"] if sorted(entry["wheels"]) == wheels), None)


@cache
def known() -> dict[str, Any]:
    """Return what the rules know of bases: see the file's own words."""
    document: dict[str, Any] = json.loads(KNOWN.read_text(encoding="utf-8"))
    return document
