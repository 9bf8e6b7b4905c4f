"""Write the table of docs/hosts.md anew, from distributions/: `.venv/bin/python bin/distributions_table.py`."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.distributions import table  # noqa: E402

PAGE = ROOT / "docs/hosts.md"
BLOCK = re.compile(r"(?<=<!-- distributions -->\n).*?(?=<!-- end of distributions -->)", re.DOTALL)
HEAD = ("release", "its own Docker engine", "its own driver", "NVIDIA's repository", "tried")


def page(text: str, releases: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page `text` with the table of `releases` in its place. Raise ValueError where it has no such place."""
    lines = [HEAD, ["---"] * len(HEAD), *map(row, releases.values())]
    made, times = BLOCK.subn(lambda _: "".join(f"| {' | '.join(line)} |\n" for line in lines), text)
    if times != 1:
        raise ValueError("docs/hosts.md has no place for the table; put the two comments around it again")
    return made


def row(entry: Mapping[str, Any]) -> list[str]:
    """Return what the table says of a release."""
    sources = entry.get("gpu_driver", {}).get("sources", {})
    engine = "yes" if "distribution" in entry.get("docker_engine", {}) else "none: set `docker_engine_source: docker`"
    own, nvidia = sources.get("distribution"), sources.get("nvidia")
    return [
        entry["name"],
        engine,
        branches(own) if own else "none: set `gpu_driver_source: nvidia`",
        branches(nvidia) if nvidia else "none",
        entry["tried"],
    ]


def branches(source: Mapping[str, Any]) -> str:
    """Return which of a source's drivers there are, and for whom."""
    found = [" or ".join(source["branches"]) if "branches" in source else f"{source['branch']}, or another branch"]
    if "machines" in source:
        found.append(f"on {' and '.join(source['machines'])}")
    if not source.get("repository", {"fingerprints": True})["fingerprints"]:
        found.append("its key's fingerprint must be given")
    return "; ".join(found)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), table()), encoding="utf-8")
