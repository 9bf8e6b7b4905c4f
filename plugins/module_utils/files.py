"""Files and folders where ours are, or are to be: what is in them, what stands in their way, whether every user can
read them, and what is said where one cannot be written.

A link is followed and stays. One that leads out of its folder leads to what is the site's: that is read and never
changed. Reads only, but for `open_to_all`; the standard library and Python 3.9 are enough.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import struct
from collections.abc import Iterable
from pathlib import Path

AGAIN = "and run this again"
KINDS = {"file": stat.S_ISREG, "directory": stat.S_ISDIR}
# What everybody needs of a folder or a program, and of another file.
PASS, READ = 0o555, 0o444
# ioctl(2): asks for a file's attributes, as chattr sets them; those two keep it from being changed.
FS_IOC_GETFLAGS, IMMUTABLE = 0x80086601, 0x10 | 0x20
# No file that we read is larger, in bytes, but programs and archives, of which a sum is made.
LARGEST, LARGEST_OF_ALL = 16 * 2**20, 2**30
PIECE = 64 * 2**10
# What means that no room is left: of an OSError, and among what a program says.
FULL = (errno.ENOSPC, errno.EDQUOT)
NO_ROOM = re.compile(r"No space left|enough (free |disk )?space|ENOSPC|EDQUOT|quota exceeded", re.IGNORECASE)
# What means that something else than a file or a folder is in the place of one.
IN_THE_WAY = (errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENOTDIR, errno.ENXIO)


# --- what is in it ---


def content(path: str | Path, most: int = LARGEST) -> bytes:
    """Return what is in a file. Raise OSError where there is none of at most `most` bytes: nothing else is opened.

    A pipe would be waited for, and some devices do something where they are only opened.
    """
    _refuse_unless_file(path, Path(path).stat())
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as file:
        _refuse_unless_file(path, os.fstat(file.fileno()))
        data = bytearray()
        # Piece by piece: for a file of its own the kernel makes room for all that is asked for.
        for piece in iter(lambda: file.read(PIECE), b""):
            data += piece
            if len(data) > most:
                raise OSError(errno.EFBIG, f"it is larger than {most // 2**20} MiB", str(path))
    return bytes(data)


def _refuse_unless_file(path: str | Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a file", str(path))


# --- what is in the way ---


def is_foreign(path: str | Path) -> bool:
    """Return whether `path` is a link out of its folder."""
    path = Path(path)
    return path.is_symlink() and Path(os.path.realpath(path)).parent != Path(os.path.realpath(path.parent))


def obstacle(path: str | Path, kind: str) -> str:
    """Return what is in the way of a file or a directory (`kind`) at `path`, and its remedy; '' where nothing is."""
    path = Path(path)
    try:
        if KINDS[kind](path.stat().st_mode):
            return ""
        there = path
    except OSError:
        there = _nearest(path)
        if there.is_dir():
            return ""
    if there.is_symlink() and not there.exists():
        return f"{there} is a link to {there.readlink()}, which is not there; mend or remove it {AGAIN}"
    wanted = "folder" if there != path or kind == "directory" else "file"
    found = "folder" if there.is_dir() else "file" if there.is_file() else "device, a pipe or a socket"
    return f"{there} is a {found}, and a {wanted} must be there; it is left as it is: move it away {AGAIN}"


def locked(path: str | Path) -> str:
    """Return what keeps even root from changing `path`, and the remedy; '' where nothing does."""
    there = _nearest(Path(path))
    if os.statvfs(there).f_flag & os.ST_RDONLY:
        return f"{path} cannot be written: the file system of {there} is read-only; mount it writable {AGAIN}"
    for each in dict.fromkeys((there, there.parent if there == Path(path) else there)):
        if _immutable(each):
            return f"{path} cannot be written: {each} is immutable; 'chattr -i {each}' {AGAIN}"
    return ""


def not_ours(path: str | Path) -> str:
    """Return what is said of a link out of its folder that leads to something else than what is wanted."""
    return (
        f"{path} is a link to {os.path.realpath(path)}, which is not as it should be, and is left as it is; "
        f"remove the link or mend what it leads to, {AGAIN}"
    )


def no_room(path: str | Path, needed: int, what: str) -> str:
    """Return what is said where fewer than `needed` bytes are free for `what` at `path`; '' where there is room."""
    free = _free(path)
    if free < needed:
        return f"{free // 10**6} MB are free at {mount(path)}, and {what} takes {needed // 10**6} MB; make room {AGAIN}"
    return ""


def mount(path: str | Path) -> str:
    """Return where the file system is mounted that `path` is on, or is to be on."""
    there = os.path.realpath(_nearest(Path(path)))
    return next(str(each) for each in (Path(there), *Path(there).parents) if os.path.ismount(each))


def trouble(path: str | Path, error: OSError, kind: str = "file") -> str:
    """Return what is said where a file or a directory (`kind`) cannot be had at `path`: why, and the remedy."""
    if error.errno in FULL:
        return full(path)
    why = obstacle(path, kind) if error.errno in IN_THE_WAY else ""
    return why or locked(path) or f"{path}: {error.strerror or error}; mend that on the host {AGAIN}"


def full(path: str | Path, needed: int = 0, what: str = "") -> str:
    """Return what is said where the disk of `path` turned out to be full, if known for want of `needed` bytes."""
    need = f", and {what} takes {needed // 10**6} MB" if needed else ""
    used = os.statvfs(_nearest(Path(path)))
    if used.f_files and not used.f_favail:
        return f"no file more can be made at {mount(path)}, whose inodes are used up; remove files there {AGAIN}"
    free = f"{_free(path) // 10**6} MB are free there now"
    return f"no space was left at {mount(path)} ({free}{need}); make room there {AGAIN}"


def full_by(said: str, places: Iterable[str | Path], needed: int = 0, what: str = "") -> str:
    """Return what `full` says where a program `said` that its disk is full; '' where it did not.

    It is the disk of the path that it named, else the fullest of those of `places`.
    """
    lines = [line for line in said.splitlines() if NO_ROOM.search(line)]
    if not lines:
        return ""
    named = re.findall(r"(?<![\w/.:])/[\w./+@~-]+", " ".join(lines))
    return full(min(named or map(str, places), key=_free), needed, what)


def _free(path: str | Path) -> int:
    """Return how many bytes of files may still be made where `path` is, or is to be."""
    found = os.statvfs(_nearest(Path(path)))
    return 0 if found.f_files and not found.f_favail else found.f_bavail * found.f_frsize


# --- who can read it ---


def due_mode(path: str | Path, status: os.stat_result, mode: int) -> int:
    """Return the mode that `path`, which has `status`, is to have where we want `mode`: the site's own bits stay."""
    actual = stat.S_IMODE(status.st_mode)
    if actual == mode:
        return mode
    if is_foreign(path):  # only the rights of every user count
        return actual & ~0o007 | mode & 0o007
    if _has_acl(path):  # the group's bits are the mask of its entries
        return actual & 0o070 | mode & ~0o070
    return mode


def first_closed(paths: Iterable[str | Path], top: str | Path) -> str:
    """Return the first of `paths`, or of the folders from `top` to it, that not every user can read; else ''."""
    root = Path(os.path.realpath(top))
    for path in (Path(os.path.realpath(each)) for each in paths):
        leading = [each for each in path.parents if root in (each, *each.parents)]
        for each in (*reversed(leading), path):
            try:
                mode = each.stat().st_mode
            except OSError:
                break  # it is told otherwise that it is not there
            if mode & _needed(mode) != _needed(mode):
                return str(each)
    return ""


def closed_above(path: str | Path) -> str:
    """Return the first folder above `path` that not every user can pass; '' where they all can."""
    above = [each for each in reversed(Path(os.path.realpath(path)).parents) if each.is_dir()]
    return next((str(each) for each in above if not each.stat().st_mode & 0o001), "")


def open_to_all(top: str | Path, check: bool = False) -> bool:
    """Have everybody read what is below `top`, and say whether something changed; links are not followed."""
    changed = False
    for folder, _unused, names in os.walk(os.path.realpath(top)):
        for path in (Path(folder), *(Path(folder, name) for name in names)):
            mode = path.lstat().st_mode
            if not stat.S_ISLNK(mode) and mode & _needed(mode) != _needed(mode):
                changed = True
                if not check:
                    path.chmod(stat.S_IMODE(mode) | _needed(mode))
    return changed


def _nearest(path: Path) -> Path:
    """Return `path`, or the nearest above it that is there; a link that leads nowhere is."""
    return next(each for each in (path, *path.parents) if os.path.lexists(each))


def _needed(mode: int) -> int:
    return PASS if stat.S_ISDIR(mode) or mode & 0o100 else READ


def _has_acl(path: str | Path) -> bool:
    try:
        return "system.posix_acl_access" in os.listxattr(path)
    except OSError:
        return False


def _immutable(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return bool(struct.unpack("l", fcntl.ioctl(descriptor, FS_IOC_GETFLAGS, bytes(8)))[0] & IMMUTABLE)
    except OSError:  # a file system without attributes
        return False
    finally:
        os.close(descriptor)
