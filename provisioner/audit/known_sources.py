"""What the rules know of sources: which commits are theirs, which files are compiled, and what that cost at the least.

The data are in known_sources.json. `measured` has honest compiles, by nvcc's release and architecture: the CPU seconds
of ninja and all it started, the most bytes that compilers held, and the extension's. A floor is the least of those that
fit, over a stated factor, so that no machine that comes is accused of its speed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from provisioner.runs.evidence import Evidence

__all__ = ["DATA", "KnownSource", "asked_inside", "built_facts", "clone_folder", "known", "load", "nvcc_release"]

DATA = Path(__file__).parent / "known_sources.json"

FASTER = 3.0
"""So many times as fast as the fastest that was measured may a machine be: same compiler, same architecture."""
FASTER_UNKNOWN = 5.0
"""The same for a compiler or an architecture that was not measured."""
SMALLER = 4.0
"""So many times smaller than the smallest that was measured may an extension be, since nvcc can compress what it
embeds, and what compilers hold, since a host can swap."""


# Words by which less is compiled, or less well; of a known source only its setup's own are honest.
CHEAPER_CUDA = re.compile(r"-[DUO].*|-G|-?-ptxas-options=.*|-Xptxas.*|-Xcicc.*")
CHEAPER = re.compile(r"-[DU].*|-O[01gsz]")
# Those of torch and of the distribution's Python, which differ by their versions.
OF_OTHERS = re.compile(
    r"-D(?:TORCH_\w+(?:=.*)?|_GLIBCXX_USE_CXX11_ABI=.*|PYBIND11_\w+=.*|__CUDA_NO_\w+|NDEBUG|_FORTIFY_SOURCE=\d|USE_CUDA)|"
    r"-U(?:__CUDA_NO_\w+|_FORTIFY_SOURCE)"
)


@dataclass(frozen=True)
class KnownSource:
    """One version of xformers' compiled sources: git's sums by path, the commits that have it with their trees."""

    name: str
    commits: Mapping[str, str]
    sources: Mapping[str, str]
    flags: Mapping[str, Sequence[str]]
    """What its own setup gives each command, of CUDA (`cuda`) and others (`host`)."""
    submodules: Mapping[str, str]
    """The commit of each, by path."""
    measured: tuple[Mapping[str, Any], ...]

    def cpu_floor(self, nvcc: str | None, architecture: str) -> float:
        """Return the CPU seconds below which no compile of it for one architecture (`9.0`) is believed."""
        fitting = [row for row in self.measured if (row["nvcc"], row["architecture"]) == (nvcc, architecture)]
        factor = FASTER if fitting else FASTER_UNKNOWN
        return float(min(row["cpu_seconds"] for row in fitting or self.measured) / factor)

    def foreign_flags(self, words: Sequence[str], is_cuda: bool) -> Iterator[str]:
        """Yield the words of a command that its setup does not give, and those that it gives and are not there."""
        own = self.flags["cuda" if is_cuda else "host"]
        yield from sorted(set(own) - set(words))
        cheaper = CHEAPER_CUDA if is_cuda else CHEAPER
        for word in words:
            if cheaper.fullmatch(word) and word not in own and not OF_OTHERS.fullmatch(word):
                yield word

    @property
    def kernels_floor(self) -> float:
        """Return how many kernels ptxas tells of at the least."""
        return min((row["kernels"] for row in self.measured if "kernels" in row), default=0) / SMALLER

    @property
    def memory_floor(self) -> float:
        """Return the bytes that its compilers hold together at the most, of which no honest compile has less."""
        return float(min(row["memory_bytes"] for row in self.measured) / SMALLER)

    @property
    def extension_floor(self) -> float:
        """Return the bytes below which no extension of it is believed."""
        return float(min(row["extension_bytes"] for row in self.measured) / SMALLER)


@cache
def load() -> tuple[KnownSource, ...]:
    """Return every version that is known."""
    rows = json.loads(DATA.read_text(encoding="utf-8"))
    return tuple(KnownSource(**{**row, "measured": tuple(row["measured"])}) for row in rows)


def known(evidence: Evidence) -> KnownSource | None:
    """Return the version that a run compiled: by its commit, or by the sums of all that it compiled; None otherwise."""
    commit = evidence.text("commit.txt").strip()
    compiled = set(built_facts(evidence).get("sources", {}).items())
    for one in load():
        if commit in one.commits or (compiled and compiled >= set(one.sources.items())):
            return one
    return None


def built_facts(evidence: Evidence) -> dict[str, Any]:
    """Return what the host read of what the compile left; empty where it was not asked."""
    return evidence.mapping("built.json")


def asked_inside(evidence: Evidence) -> bool:
    """Return whether container or environment could be asked at the end; else `nothing_is_missing` says why."""
    return bool(evidence.text("commit.txt").strip() or evidence.text("environment.json").strip())


def clone_folder(evidence: Evidence) -> str:
    """Return where pip says that the clone is; a word that is no path where it does not."""
    listed = [one for one in evidence.json("packages.json") or () if one["name"].lower() == "xformers"]
    return str(listed[0].get("editable_project_location")) if listed else "unknown"


def nvcc_release(evidence: Evidence) -> str | None:
    """Return nvcc's release, `13.0`; None where it is not told."""
    versions = evidence.mapping("environment.json").get("versions") or {}
    found = re.search(r"\brelease (\d+\.\d+)", str(versions.get("nvcc")))
    return found[1] if found else None


def architectures(evidence: Evidence) -> Iterator[tuple[str, bool]]:
    """Yield what the run compiled for: `9.0`, and whether PTX was asked for as well."""
    for item in str(evidence.run.get("arch_list", "")).split(";"):
        found = re.fullmatch(r"(\d+\.\d+)[af]?(\+PTX)?", item)
        if found:
            yield found[1], bool(found[2])
