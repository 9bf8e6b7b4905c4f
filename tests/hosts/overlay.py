"""Runs a command on a copy of this machine's files that costs nothing, and tells what it did to them.

The copy is an overlay: what the command, and all that it starts, makes, changes or removes, the kernel puts into a
folder of its own. So each file is known, whatever other programs of this machine do at the same time.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ENTER = """
root=$1/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$root"
while shift && [ "$1" != -- ]; do mount --rbind "$1" "$root$1"; done
shift
exec chroot "$root" env -C "$PWD" "$@"
"""


class Copy:
    """A copy of this machine's files. Real are those below `real`, in /run, and what is mounted by itself."""

    def __init__(self, folder: Path, real: Path) -> None:
        self._folder, self._real = folder, real
        for name in ("upper", "work", "root"):
            (folder / name).mkdir()

    @property
    def command(self) -> Sequence[str]:
        """What is written before a command to have it run on the copy; takes root."""
        enter = ("unshare", "--mount", "--propagation=slave", "sh", "-euc", ENTER, "copy", self._folder)
        return [str(part) for part in (*enter, *_mounted(), self._real, "--")]

    def changed(self) -> set[str]:
        """Return the paths that were made, changed or removed; not the folders in which that was so."""
        upper = self._folder / "upper"
        paths = {path: Path("/") / path.relative_to(upper) for path in upper.rglob("*")}
        return {str(real) for path, real in paths.items() if not _same_folder(path, real)}


@contextmanager
def copy(real: Path) -> Iterator[Copy]:
    """Give a copy of this machine's files, less those below the folder `real`."""
    # In memory, since an overlay's upper folder may not be on an overlay, which / is in a container.
    folder = Path(tempfile.mkdtemp(prefix="copy-", dir="/dev/shm"))
    try:
        yield Copy(folder, real)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _mounted() -> list[Path]:
    """Return the places of this machine's mounts, less those below another."""
    places: list[Path] = [Path("/run")]
    for line in sorted(Path("/proc/self/mounts").read_text().splitlines(), key=lambda line: line.split()[1]):
        place = Path(line.split()[1])
        if place != Path("/") and not any(place.is_relative_to(other) for other in places):
            places.append(place)
    return places


def _same_folder(path: Path, real: Path) -> bool:
    """Say whether both are folders of the same owner and mode."""
    if path.is_symlink() or not (path.is_dir() and real.is_dir()):
        return False
    one, other = path.stat(), real.stat()
    return (one.st_mode, one.st_uid, one.st_gid) == (other.st_mode, other.st_uid, other.st_gid)
