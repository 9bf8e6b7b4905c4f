"""Print what is installed here, for the evidence: JSON, one object.

    environment_facts.py --before    only what there is of xformers
    environment_facts.py             the same after the compile, with the extension in use, the compilers and versions

Standard library only, and nothing of xformers or torch is imported: it runs in the environment that was measured.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

# The programs that compile, and those that a compiler calls in its turn.
COMPILERS = ("cc", "c++", "gcc", "g++", "nvcc")
STAGES = ("cc1", "cc1plus", "as", "ld")
# The name of one of Debian's packages, with its architecture where there are several.
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?")
# How to ask each for its version; the first line of the answer that has a digit is kept.
VERSIONS = {
    "gcc": ("gcc", "--version"),
    "nvcc": ("nvcc", "--version"),
    "ninja": ("ninja", "--version"),
    "cmake": ("cmake", "--version"),
    "git": ("git", "--version"),
}


def said(*command: str) -> str:
    """Return all that the command prints, stripped; empty where it is missing or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    except (subprocess.SubprocessError, OSError):
        return ""
    return (done.stdout + done.stderr).strip()


def installed() -> list[dict]:
    """Return every distribution named xformers that Python finds, wherever it lies."""
    found = []
    for distribution in importlib.metadata.distributions():
        if (distribution.metadata["Name"] or "").lower() == "xformers":
            origin = json.loads(distribution.read_text("direct_url.json") or "null") or {}
            found.append(
                {
                    "version": distribution.version,
                    "metadata": str(distribution.locate_file("")),
                    "editable": bool(origin.get("dir_info", {}).get("editable")),
                    "url": origin.get("url"),
                }
            )
    return found


def package() -> list[str]:
    """Return the folders that `import xformers` would read, without importing it."""
    spec = importlib.util.find_spec("xformers")
    return list(spec.submodule_search_locations or []) if spec else []


def extensions(folders: list[str]) -> list[dict]:
    """Return the compiled extensions beside the package, and which of them `xformers._C` is.

    Times are of the file system, in seconds since the epoch, as text: a float has too few digits for them.
    """
    spec = importlib.machinery.PathFinder.find_spec("xformers._C", folders) if folders else None
    found = []
    for folder in folders:
        for path in sorted(Path(folder).glob("_C*.so")):
            status = path.stat()
            found.append(
                {
                    "path": str(path),
                    "in_use": bool(spec and spec.origin == str(path)),
                    "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                    "size": status.st_size,
                    "inode": status.st_ino,
                    "modified": stamp(status.st_mtime_ns),
                    "changed": stamp(status.st_ctime_ns),
                }
            )
    return found


def stamp(nanoseconds: int) -> str:
    """Return seconds with nine digits, as `stat --format %.9Y` writes them."""
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09d}"


def compilers() -> list[dict]:
    """Return each compiler: where it is found, what file that is, whose it is, and whether that file is as it came."""
    paths = {name: shutil.which(name) for name in COMPILERS}
    paths |= {name: said("c++", f"-print-prog-name={name}") for name in STAGES}
    # `ld` is printed as it is where PATH has it.
    paths = {name: found for name, path in paths.items() if path and (found := shutil.which(path))}
    reals = {name: os.path.realpath(path) for name, path in paths.items()}
    owners, altered = ownership(set(reals.values()))
    return [
        {
            "name": name,
            "path": path,
            "real": reals[name],
            "binary": starts_as_program(reals[name]),
            "package": owners.get(reals[name]),
            "altered": reals[name] in altered,
        }
        for name, path in paths.items()
    ]


def ownership(paths: set[str]) -> tuple[dict[str, str], set[str]]:
    """Return the package of each path that is from one, and the paths that are not as their packages have them.

    dpkg reads all that is installed for each call, so it is asked once for all paths. A path that a package's own file
    was diverted from holds something else.
    """
    said_of = [line.rpartition(": ") for line in said("dpkg-query", "--search", *sorted(paths)).splitlines()]
    owners = {path: owner for owner, _unused, path in said_of if path in paths and PACKAGE.fullmatch(owner)}
    diverted = {path for what, _unused, path in said_of if path in paths and "diversion" in what.split()}
    # A line is nine letters, of which 5 is the sum, then the kind of file and its path.
    verified = said("dpkg", "--verify", *sorted(set(owners.values()))).splitlines() if owners else []
    return owners, diverted | {line.rpartition(" ")[2] for line in verified if line[2:3] == "5"}


def starts_as_program(path: str) -> bool:
    """Say whether the file is an executable of the machine's own format, not a script."""
    with Path(path).open("rb") as file:
        return file.read(4) == b"\x7fELF"


def versions() -> dict:
    """Return the versions of what compiles, None where it is missing."""
    known = {"python": platform.python_version()}
    for name, command in VERSIONS.items():
        lines = [line for line in said(*command).splitlines() if any(letter.isdigit() for letter in line)]
        # nvcc's first lines are its copyright; the one that tells the release has the word.
        lines = [line for line in lines if "release" in line] or lines
        known[name] = lines[0].strip() if lines and shutil.which(command[0]) else None
    for name in ("pip", "setuptools", "wheel", "torch", "triton"):
        try:
            known[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            known[name] = None
    return known


def main() -> int:
    """Print the facts; the one argument is --before."""
    facts = {
        "host": platform.node(),
        "kernel": platform.release(),
        "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip(),
        "installed": installed(),
        "package": package(),
    }
    if sys.argv[1:] != ["--before"]:
        facts["extensions"] = extensions(facts["package"])
        facts["compilers"] = compilers()
        facts["versions"] = versions()
        facts["pip_config"] = said(sys.executable, "-m", "pip", "config", "list").splitlines()
    print(json.dumps(facts, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
