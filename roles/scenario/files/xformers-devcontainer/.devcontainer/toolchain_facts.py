"""Print whose each program is that compiles or installs, for the evidence: JSON, one object.

`tools` are the compilers, what these call, ninja, Python and pip: where each is, its sum, and the package or the wheel
that brought it, with whether it is as that brought it. `starts` are the files that run when Python starts, and whose.
Standard library only, and nothing of what is looked at is imported: it runs in the environment that was measured.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import site
import sys
from pathlib import Path

import environment_facts

# What nvcc calls, in the folder that it calls them from.
BESIDE_NVCC = ("cudafe++", "ptxas", "fatbinary", "nvlink", "cuobjdump")


def places() -> dict[str, str]:
    """Return where each tool is found, by its name."""
    found = {compiler["name"]: compiler["path"] for compiler in environment_facts.compilers()}
    if "nvcc" in found:
        plan = environment_facts.said(found["nvcc"], "--dryrun", "-x", "cu", "-c", os.devnull)
        told = dict(re.findall(r"^#\$ (_HERE_|CICC_PATH)=(.*)$", plan, re.MULTILINE))
        here = told.get("_HERE_") or str(Path(found["nvcc"]).resolve().parent)
        found |= {name: f"{here}/{name}" for name in BESIDE_NVCC}
        found["cicc"] = f"{told.get('CICC_PATH') or f'{here}/../nvvm/bin'}/cicc"
    found |= {"ninja": shutil.which("ninja") or "", "python": sys.executable}
    spec = importlib.util.find_spec("pip")
    found["pip"] = spec.origin if spec and spec.origin else ""
    return {name: path for name, path in found.items() if path and Path(path).is_file()}


def starts() -> list[str]:
    """Return the files that run when this Python starts, less Python's own."""
    folders = filter(None, {*sys.path, *site.getsitepackages(), site.getusersitepackages()})
    found = {str(path) for folder in folders for path in Path(folder).glob("*.pth")}
    specs = map(importlib.util.find_spec, ("sitecustomize", "usercustomize"))
    return sorted(found | {spec.origin for spec in specs if spec and spec.origin})


def recorded(paths: set[str], pip: str) -> dict[str, tuple[str, str]]:
    """Return the wheel of each path that one's RECORD has, and the SHA-256 that it says; of the pip here, all files."""
    found = {}
    for distribution in importlib.metadata.distributions():
        name = str(distribution.metadata["Name"] or "").lower()
        folder = os.path.realpath(str(distribution.locate_file("")))
        whole = name == "pip" and pip.startswith(f"{folder}/pip/")
        for row in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
            path = os.path.realpath(f"{folder}/{row[0]}") if row else ""
            if (path in paths or whole) and len(row) > 1 and row[1].startswith("sha256="):
                try:
                    digest = base64.urlsafe_b64decode(f"{row[1][len('sha256=') :]}==").hex()
                except ValueError:  # it is no sum of any file
                    digest = ""
                found[path] = (name, digest)
    return found


def sha256(path: str) -> str:
    """Return the sum of a file; empty where it cannot be read."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return ""


def main() -> int:
    """Print the facts."""
    found = places()
    started = starts()
    reals = {path: os.path.realpath(path) for path in (*found.values(), *started)}
    packaged, altered = environment_facts.ownership(set(reals.values()))
    wheels = recorded(set(reals.values()), reals.get(found.get("pip", ""), ""))
    # pip is as its wheel has it where all of its files are.
    broken = sorted(path for path, (name, digest) in wheels.items() if name == "pip" and sha256(path) != digest)

    def is_broken(wheel: str) -> bool:
        return wheel == "pip" and bool(broken)

    def whose(path: str) -> dict:
        real = reals[path]
        wheel, digest = wheels.get(real, (None, ""))
        own = sha256(real)
        return {
            "path": path,
            "real": real,
            "sha256": own,
            "package": packaged.get(real),
            "wheel": wheel,
            "altered": real in altered if real in packaged else bool(wheel and (own != digest or is_broken(wheel))),
        }

    tools = [
        {"name": name, "binary": environment_facts.starts_as_program(reals[path]), **whose(path)}
        for name, path in found.items()
    ]
    print(json.dumps({"tools": tools, "starts": [whose(path) for path in started]}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
