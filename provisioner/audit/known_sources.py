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
    from collections.abc import Iterator, Mapping

    from provisioner.evidence import Evidence

__all__ = ["DATA", "KnownSource", "built_facts", "known", "load", "nvcc_release"]

DATA = Path(__file__).parent / "known_sources.json"

FASTER = 3.0
"""So many times as fast as the fastest that was measured may a machine be: same compiler, same architecture."""
FASTER_UNKNOWN = 5.0
"""The same for a compiler or an architecture that was not measured."""
SMALLER = 4.0
"""So many times smaller than the smallest that was measured may an extension be, since nvcc can compress what it
embeds, and what compilers hold, since a host can swap."""


@dataclass(frozen=True)
class KnownSource:
    """One version of xformers' compiled sources: git's sums by path, the commits that have it with their trees."""

    name: str
    commits: Mapping[str, str]
    sources: Mapping[str, str]
    measured: tuple[Mapping[str, Any], ...]

    def cpu_floor(self, nvcc: str | None, architecture: str) -> float:
        """Return the CPU seconds below which no compile of it for one architecture (`9.0`) is believed."""
        fitting = [row for row in self.measured if (row["nvcc"], row["architecture"]) == (nvcc, architecture)]
        factor = FASTER if fitting else FASTER_UNKNOWN
        return float(min(row["cpu_seconds"] for row in fitting or self.measured) / factor)

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


def nvcc_release(evidence: Evidence) -> str | None:
    """Return nvcc's release, `13.0`; None where it is not told."""
    versions = evidence.mapping("environment.json").get("versions") or {}
    found = re.search(r"\brelease (\d+\.\d+)", str(versions.get("nvcc")))
    return found[1] if found else None


def architectures(evidence: Evidence) -> Iterator[tuple[str, bool]]:
    """Give what the run compiled for: `9.0`, and whether PTX was asked for as well."""
    for item in str(evidence.run.get("arch_list", "")).split(";"):
        found = re.fullmatch(r"(\d+\.\d+)[af]?(\+PTX)?", item)
        if found:
            yield found[1], bool(found[2])
