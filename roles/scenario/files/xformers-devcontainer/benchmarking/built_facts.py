"""Print what the compile left in the clone, as this host reads it from outside: JSON, one object.

    built_facts.py CLONE CONTAINER_EVIDENCE

    extensions  each compiled extension: path in the clone, size, sum; the sizes of its sections; the machine code for
                GPUs in it, by architecture; and the names of the sources that its symbols tell of
    sources     what ninja compiled: by path in the clone, the sum by which git knows the file as it is now
    written     what was written in the clone after git had cloned it: path, and when (the file system's time, in
                seconds since the epoch); not what is in .git

What lies there was written in the container and is not to be trusted: no link is followed, only regular files are read,
nothing of it is run, and nothing of any size is taken. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_BYTES = 2 * 1024**3
MOST_FILES = 2000
MOST_PIECES = 100_000
SOURCE = re.compile(r"^build .*: \S+ (\S+)$", re.MULTILINE)
SECTION = struct.Struct("<IIQQQQIIQQ")
SYMBOL = struct.Struct("<IBBHQQ")
FILE_SYMBOL = 4
# A container of GPU code, and each piece in it: https://docs.nvidia.com/cuda/cuda-binary-utilities, "fat binary".
FAT, FAT_HEADER, FAT_ENTRY = 0xBA55ED50, struct.Struct("<IHHQ"), struct.Struct("<HHIQIIHHI")
KINDS = {1: "ptx", 2: "elf"}


def content(path: Path, root: Path) -> bytes:
    """Return a regular file's bytes; empty where it is none, is reached by a link, or is too large."""
    if path.resolve() != root.resolve() / path.relative_to(root):
        return b""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        return file.read() if stat.S_ISREG(status.st_mode) and status.st_size <= MOST_BYTES else b""


def sections(elf: bytes) -> Iterator[tuple[str, bytes, int]]:
    """Give name, bytes and number of the linked section of each section of a 64-bit ELF file."""
    if elf[:6] != b"\x7fELF\x02\x01":
        return
    (offset,) = struct.unpack_from("<Q", elf, 0x28)
    size, count, names_at = struct.unpack_from("<HHH", elf, 0x3A)
    headers = [SECTION.unpack_from(elf, offset + size * number) for number in range(count)]
    names = elf[headers[names_at][4] : headers[names_at][4] + headers[names_at][5]]
    for name, kind, _unused, _unused, at, length, link, *_unused in headers:
        nothing = kind == 8  # NOBITS takes no room in the file
        yield text(names, name), b"" if nothing else elf[at : at + length], link


def text(strings: bytes, at: int) -> str:
    """Return the string that begins there."""
    return strings[at : strings.index(b"\0", at)].decode(errors="replace")


def gpu_code(fat: bytes) -> dict[str, dict[str, int]]:
    """Return how many pieces of machine code and of PTX there are, and their bytes, by architecture."""
    found: dict[str, dict[str, int]] = {}
    pieces = 0
    at = fat.find(struct.pack("<I", FAT))
    while 0 <= at < len(fat) - FAT_HEADER.size:
        magic, _unused, header, length = FAT_HEADER.unpack_from(fat, at)
        if magic != FAT:
            at = fat.find(struct.pack("<I", FAT), at + 4)
            continue
        at, end = at + header, min(at + header + length, len(fat) - FAT_ENTRY.size)
        while at < end:
            kind, _unused, header, length, _unused, _unused, _unused, _unused, architecture = FAT_ENTRY.unpack_from(
                fat, at
            )
            of = found.setdefault(f"sm_{architecture}", {"elf": 0, "ptx": 0, "bytes": 0})
            pieces += 1
            if header < FAT_ENTRY.size or pieces > MOST_PIECES:
                raise ValueError("its GPU code is of no form that is known here")
            if kind in KINDS:
                of[KINDS[kind]] += 1
            of["bytes"] += length
            at += header + length
        at = max(at, end)
    return found


def extension(path: Path, clone: Path) -> dict:
    """Return what is told of a compiled extension."""
    elf = content(path, clone)
    facts = {"path": str(path.relative_to(clone)), "size": len(elf), "sha256": hashlib.sha256(elf).hexdigest()}
    try:
        found = list(sections(elf))
        of = {name: data for name, data, _unused in found}
        symbols, strings = next(((data, found[link][1]) for name, data, link in found if name == ".symtab"), (b"", b""))
        whole = symbols[: len(symbols) // SYMBOL.size * SYMBOL.size]
        names = {text(strings, name) for name, info, *_unused in SYMBOL.iter_unpack(whole) if info & 15 == FILE_SYMBOL}
        return facts | {
            "sections": {name: len(of.get(name, b"")) for name in (".text", ".nv_fatbin")},
            "gpu_code": gpu_code(of.get(".nv_fatbin", b"")),
            "sources": sorted(names - {""})[:MOST_FILES],
        }
    except (ArithmeticError, IndexError, ValueError, struct.error) as error:
        return facts | {"broken": str(error)}


def sources(clone: Path, evidence: Path) -> dict[str, str]:
    """Return git's sums of what ninja compiled, by path in the clone."""
    found = {}
    for path in sorted(evidence.glob("ninja/*/build.ninja")):
        for name in SOURCE.findall(content(path, evidence).decode(errors="replace"))[:MOST_FILES]:
            # The container has the clone elsewhere: by what its path ends in.
            below = name.partition(f"/{clone.parent.name}/{clone.name}/")[2]
            source = clone / (below if name.startswith("/") else name)
            place = source_below(source, clone)
            data = content(place, clone) if place else b""
            if data:
                blob = hashlib.sha1(b"blob %d\0%b" % (len(data), data), usedforsecurity=False)  # as git has it
                found[str(place.relative_to(clone))] = blob.hexdigest()
    return found


def source_below(path: Path, clone: Path) -> Path | None:
    """Return the path where it is one of a file in the clone; None otherwise."""
    inside = Path(os.path.normpath(path))
    return inside if clone in inside.parents and inside.is_file() else None


def written(clone: Path, cloned: Path) -> list[list]:
    """Return what was written in the clone after the file `cloned` had been, which was made right after git's work."""
    since = cloned.stat().st_mtime
    found: list[list] = []
    for folder, folders, names in os.walk(clone):
        folders[:] = [name for name in folders if name != ".git"]
        for path in (Path(folder, name) for name in names if name != ".git"):
            changed = path.lstat().st_ctime
            if changed > since:
                found.append([str(path.relative_to(clone)), round(changed, 2)])
    return sorted(found)[:MOST_FILES]


def main() -> int:
    """Print the facts."""
    clone, evidence = (Path(argument).absolute() for argument in sys.argv[1:])
    facts: dict = {"extensions": [extension(path, clone) for path in sorted(clone.glob("xformers/_C*.so"))]}
    facts["sources"] = sources(clone, evidence)
    cloned = evidence / "source_after_clone.txt"
    facts["written"] = written(clone, cloned) if cloned.is_file() else None
    print(json.dumps(facts, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
