"""How much memory a command and all that it started hold: shared by the benchmarks."""

from pathlib import Path


def tree_memory(root: int) -> int:
    """Bytes held by a process and its descendants, what is shared counted by its share (PSS).

    A process that was detached from them is nobody's child and is not counted.
    """
    return sum(map(_proportional, _descendants(root)))


def _descendants(root: int) -> set[int]:
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {root}
    while new := {child for child, parent in parents.items() if parent in found} - found:
        found |= new
    return found


def _proportional(process: int) -> int:
    try:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
