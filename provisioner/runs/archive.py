"""A run's evidence as one file, evidence.tar.xz: written the same for the same evidence, read as anybody's.

The file has one folder, named as the run is, with regular files in it. Reading takes it into memory within the bounds
(provisioner/text/bounds.py) and never writes anything; what is no such archive is refused as a whole.
"""

from __future__ import annotations

import io
import lzma
import tarfile
import zlib
from typing import TYPE_CHECKING, Protocol

from provisioner.system import files
from provisioner.text import bounds, names
from provisioner.text.display import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["NAME", "Contents", "of_host", "pack", "read", "unpack"]

NAME = "evidence.tar.xz"
"""What the archive of a run is called."""
Contents = dict[str, bytes]
"""Files by their paths below the run's folder."""

# xz's own default, and what "extreme" saves beside it costs a tenth of a second.
PRESET = 6 | lzma.PRESET_EXTREME
WINDOW = 8 * 2**20
"""Bytes that are looked back at, at most. Packing takes ten times as much memory, and a fleet's runs end at once."""
MEMORY = 128 * 2**20
"""Bytes that unpacking may take beside what it gives; `xz -9` asks for 65 MiB."""
WHEN = 0
"""All files are of that time: when they were copied to where they are packed says nothing."""


def pack(run_id: str, contents: Mapping[str, bytes]) -> bytes:
    """Return the archive of a run's files, by their paths; the same files give the same bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in sorted(contents):
            member = tarfile.TarInfo(f"{run_id}/{name}")  # owned by root, 0644
            member.size, member.mtime = len(contents[name]), WHEN
            tar.addfile(member, io.BytesIO(contents[name]))
    window = min(WINDOW, 1 << packed.tell().bit_length())
    filters = [{"id": lzma.FILTER_LZMA2, "preset": PRESET, "dict_size": window}]
    return lzma.compress(packed.getvalue(), filters=filters)


def read(path: Path) -> tuple[str, Contents]:
    """Return the run's id, which its folder is named after, and the files of the archive at `path`.

    Raise OSError where it cannot be read, ValueError where it is no such archive or has more than evidence has.
    """
    return unpack(files.read(path, bounds.ARCHIVE, follow=True))


def unpack(data: bytes) -> tuple[str, Contents]:
    """Return what read() does, of an archive's bytes. Raise ValueError."""
    return _contents(data, lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY))


def of_host(data: bytes) -> tuple[str, Contents]:
    """Return what read() does, of the tar.gz that a host sent. Raise ValueError."""
    if len(data) > bounds.ARCHIVE:
        raise ValueError(f"it is an archive of more than {bounds.ARCHIVE >> 20} MiB")
    return _contents(data, zlib.decompressobj(wbits=zlib.MAX_WBITS | 16))  # gzip's form


class _Decompressor(Protocol):
    """What lzma and zlib have in common."""

    @property
    def eof(self) -> bool:
        """Whether the end of what was packed has come."""

    @property
    def unused_data(self) -> bytes:
        """What follows that."""

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes:
        """Return what is unpacked, `max_length` bytes at most."""


def _contents(data: bytes, decompressor: _Decompressor) -> tuple[str, Contents]:
    try:
        unpacked = decompressor.decompress(data, bounds.EVIDENCE + 1)
        if len(unpacked) > bounds.EVIDENCE:
            raise ValueError(f"unpacked it has more than {bounds.EVIDENCE >> 20} MiB")
        if not decompressor.eof:
            raise ValueError("it is cut off")
        if decompressor.unused_data:
            raise ValueError("something follows its end")
        with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as tar:
            found = dict(_members(tar))
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OverflowError, RecursionError) as error:
        raise ValueError(printable(error) or "it is not an archive") from error
    runs = {name.partition("/")[0] for name in found}
    if len(runs) != 1 or "" in found:
        raise ValueError("it is not the archive of one run: one folder, and the run's files in it")
    return runs.pop(), {name.partition("/")[2]: content for name, content in found.items()}


def _members(tar: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    """Yield the regular files of an archive, by path. Raise ValueError for what no archive of ours has."""
    folders: set[str] = set()
    seen: set[str] = set()
    size = 0
    for number, member in enumerate(tar, 1):
        if number > bounds.FILES:
            raise ValueError(f"it has more than {bounds.FILES} files")
        path = names.file(member.name)
        name = str(path)
        above = {str(parent) for parent in path.parents} - {"."}
        folders |= above | ({name} if member.isdir() else set())
        if member.isdir():
            continue
        if not member.isreg() or member.issparse():
            raise ValueError(f"{printable(name, 80)} in it is a link, a device or the like")
        if name in seen:
            raise ValueError(f"{printable(name, 80)} is in it twice")
        seen.add(name)
        size += member.size
        if not above:
            raise ValueError(f"{printable(name, 80)} in it is in no folder")
        if member.size > bounds.FILE or size > bounds.EVIDENCE:
            raise ValueError(f"{printable(name, 80)} in it is larger than evidence is")
        content = tar.extractfile(member)
        data = content.read() if content else b""
        if len(data) != member.size:
            raise ValueError("it is cut off")
        yield name, data
    if both := sorted(folders & seen):
        raise ValueError(f"{printable(both[0], 80)} is both a file and a folder in it")
