"""The sets of files that runs were made of, each known by its digest; one file a set, in `sets/`.

They are data of the package, not read off the files beside it: whoever edits a script there is found out too.
`python -m provisioner.audit.pin` adds the set that is here now. A set that is there is never changed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioner.system.paths import ansible_dir

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

__all__ = ["EVIDENCE", "SETS", "TEMPLATE", "UNRELEASED", "ShippedSet", "load", "read", "role_files", "superseded_on"]

SETS = Path(__file__).parent / "sets"
TEMPLATE = "templates/Dockerfile.scenario-a.j2"
UNRELEASED = "unreleased"
"""The status of a set that no release and no kept evidence was made of: it may go."""
# The role's variables that its Dockerfile's template reads and that no input sets.
VARIABLES = ("scenario_container_ca", "scenario_ca_variables")

EVIDENCE = (
    "run.json",
    "result.json",
    "manifest.sha256",
    "run.log",
    "events.jsonl",
    "machine.json",
    "packages.json",
    "commit.txt",
    "tree.txt",
    "environment.json",
    "toolchain.json",
    "attention_test.log",
    "files",
    "container/events.jsonl",
    "container/environment_before.json",
    "container/extensions.jsonl",
    "container/pip.log",
    "container/ninja",
    "container/ninja/outputs",
    "container/source_after_clone.txt",
    "container/source_after_compile.txt",
    "container/extension_sums.txt",
    "container/extension_elf.txt",
    "cpu_before.json",
    "cpu_after.json",
    "built.json",
    "images_before.jsonl",
    "images_at_build.jsonl",
    "images_after.jsonl",
    "base_image_before.json",
    "base_image_cuda.txt",
    "container_gpus.txt",
    "host_gpus.txt",
    "base_image.json",
    "base_image_history.jsonl",
    "base_files.json",
    "image_inspect.json",
    "image_history.jsonl",
    "container_image.json",
    "container_image_history.jsonl",
    "container_inspect.json",
    "container_diff.txt",
    "docker_events.jsonl",
    "docker_version.json",
    "devcontainer_version.txt",
    "devcontainer_configuration.json",
    "native_checks.json",
    "wheels.txt",
    "bundle.json",
    "build.json",
    "up.json",
    "gpus.txt",
    "scripts_after.sha256",
    "scripts_inside.sha256",
    "container/attention.jsonl",
)
"""The evidence that the files here make, on one runtime or another: what a new set is said to make."""


@dataclass(frozen=True)
class ShippedSet:
    """Files that ran together: their sums by path, what their Dockerfile is made from, and what evidence they make."""

    digest: str
    since: datetime
    status: str
    files: Mapping[str, str]
    evidence: frozenset[str]
    template: str
    variables: Mapping[str, Any]

    @property
    def released(self) -> bool:
        """Whether a release has this set."""
        return self.status.startswith("release ")

    def document(self) -> dict[str, Any]:
        """Return the set as its file has it."""
        return {
            "digest": self.digest,
            "since": f"{self.since:%Y-%m-%dT%H:%M:%SZ}",
            "status": self.status,
            "evidence": sorted(self.evidence),
            "files": dict(self.files),
            "variables": dict(self.variables),
            "template": self.template.splitlines(),
        }


def digest_of(files: Mapping[str, str], variables: Mapping[str, Any]) -> str:
    """Return the SHA-256, in hex, by which a set is known."""
    text = json.dumps({"files": dict(files), "variables": dict(variables)}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read(path: Path) -> ShippedSet:
    """Return the set in a file. Raise ValueError where it is not the one that it says it is."""
    document = json.loads(path.read_text(encoding="utf-8"))
    template = "".join(f"{line}\n" for line in document["template"])
    files = document["files"]
    if digest_of(files, document["variables"]) != document["digest"]:
        raise ValueError(f"{path.name} has another digest than its files")
    if hashlib.sha256(template.encode()).hexdigest() != files[TEMPLATE]:
        raise ValueError(f"{path.name} has another template than its files")
    return ShippedSet(
        digest=document["digest"],
        since=datetime.fromisoformat(document["since"]),
        status=document["status"],
        files=files,
        evidence=frozenset(document["evidence"]),
        template=template,
        variables=document["variables"],
    )


@cache
def load() -> tuple[ShippedSet, ...]:
    """Return every set that is known, newest first."""
    return tuple(sorted(map(read, SETS.glob("*.json")), key=lambda one: one.since, reverse=True))


def superseded_on(shipped: ShippedSet, sets: Iterable[ShippedSet]) -> date | None:
    """Return the day (UTC) from whose end on a run should not be made of this set; None while it is current.

    A release is superseded by the next release, any other set by the next set.
    """
    later = [one.since for one in sets if one.since > shipped.since and (one.released or not shipped.released)]
    return min(later).date() if later else None


def role_files() -> ShippedSet:
    """Return the set of the files that lie in the role now. Raise ProvisionerError where the role is not there."""
    import yaml  # noqa: PLC0415 - for whoever changes the files only

    role = ansible_dir() / "roles" / "scenario"
    base = role / "files" / "xformers-devcontainer"
    paths = {path.relative_to(base).as_posix(): path for path in base.rglob("*") if path.is_file()}
    paths = {name: path for name, path in paths.items() if "__pycache__" not in name} | {TEMPLATE: role / TEMPLATE}
    files = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in sorted(paths.items())}
    fixed = yaml.safe_load((role / "vars" / "main.yml").read_text(encoding="utf-8"))
    variables = {name: fixed[name] for name in VARIABLES}
    return ShippedSet(
        digest=digest_of(files, variables),
        since=datetime.now(UTC).replace(microsecond=0),
        status=UNRELEASED,
        files=files,
        evidence=frozenset(EVIDENCE),
        template=paths[TEMPLATE].read_text(encoding="utf-8"),
        variables=variables,
    )
