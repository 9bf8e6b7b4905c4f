"""What `provisioner export --evidence` writes: runs with their evidence, as a tar of archives.

It has a folder for each run, HOST/RUN_ID, as the store has: the archive of its evidence, the receipt and its
signature, and the record, which is for people: what the run is worth is judged anew wherever it is taken in.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from provisioner import upstream
from provisioner.audit.names import INPUTS
from provisioner.runs import archive
from provisioner.runs.evidence import RECORD, Evidence
from provisioner.signatures import receipt
from provisioner.signatures import vouching as signatures
from provisioner.store import collect
from provisioner.system import files
from provisioner.text import bounds, names
from provisioner.text.display import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from provisioner.runs.record import Record
    from provisioner.signatures.vouching import Vouching
    from provisioner.store import Run

__all__ = ["Sent", "evidence_of", "files_of", "has_evidence", "is_tar", "judge_all", "judged", "pack", "unpack"]

KEPT = (archive.NAME, receipt.NAME, receipt.SIGNATURE, *map(upstream.log_name, "abc"))
"""What is evidence of a run's folder, beside loose files."""
TAR = b"ustar"
MAGIC = slice(257, 262)
"""Where a tar says that it is one."""


@dataclass(frozen=True)
class Sent:
    """A run as it came: whose it is said to be, and its files; nothing of it is believed yet."""

    host: str
    run_id: str
    files: Mapping[str, bytes]


class JudgedRun(NamedTuple):
    """What the evidence of a run proves."""

    record: Record
    vouching: Vouching | None = None
    """Who vouches for it; nobody does for a log."""
    inputs: Mapping[str, Any] = MappingProxyType({})
    """What the run was told to measure; nothing in a log."""
    size: int = 0
    """Bytes, unpacked."""


def is_tar(data: bytes) -> bool:
    """Return whether a file that begins so is a tar."""
    return data[MAGIC] == TAR


def has_evidence(folder: Path) -> bool:
    """Return whether a run's folder of the store has evidence, or is of a run that came without."""
    return any((folder / name).is_file() for name in (*KEPT, "run.json"))


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the evidence in a run's folder of the store, as files; loose files of earlier versions as an archive.

    None where it came without. Raise OSError, and ValueError where it is more than evidence is.
    """
    kept = {name: files.read(folder / name, bounds.ARCHIVE) for name in KEPT if (folder / name).is_file()}
    if archive.NAME in kept or not (folder / "run.json").is_file():
        return kept
    evidence = Evidence(folder)
    loose = {name: evidence.content(name) for name, regular in evidence.entries.items() if regular and name != RECORD}
    return {archive.NAME: archive.pack(evidence.run["run_id"], loose)}


def pack(runs: Iterable[Run], into: IO[bytes] | files.Written) -> None:
    """Write runs with their evidence, one after the other; those that have none are left out.

    Raise ValueError where one cannot be read or is more than evidence is, and what writing raises.
    """
    size = written = 0
    # tarfile needs only write() of a stream.
    with tarfile.open(fileobj=cast("IO[bytes]", into), mode="w|", format=tarfile.GNU_FORMAT) as tar:
        for run in runs:
            try:
                found = files_of(run.folder)
                if not found:
                    continue
                found |= {RECORD: files.read(run.folder / RECORD, bounds.JSON_FILE)}
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                what = f"run {run.run_id} cannot be read: {reason}; `provisioner delete` forgets it"
                raise ValueError(what) from error
            size, written = size + sum(map(len, found.values())), written + 1
            if size > bounds.EXPORT or written > bounds.EXPORT_RUNS:  # no import would accept it
                most = f"{bounds.EXPORT_RUNS} runs or {bounds.EXPORT >> 20} MiB"
                raise ValueError(f"these are more than {most}; choose fewer with --since, --last or --host")
            for name in sorted(found):
                member = tarfile.TarInfo(f"{run.host}/{run.run_id}/{name}")
                member.size = len(found[name])
                tar.addfile(member, io.BytesIO(found[name]))


def unpack(file: IO[bytes], most: int | None = None) -> Iterator[Sent]:
    """Yield the runs in a tar that anybody may have made, so many at most, or as many as an export may have.

    Raise ValueError for what none of ours has, before the first of them where it is not in one's evidence.
    """
    if file.seek(0, io.SEEK_END) > bounds.EXPORT:
        raise ValueError(f"it has more than {bounds.EXPORT >> 20} MiB; export fewer runs at a time")
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for (host, run_id), members in _by_run(tar, bounds.EXPORT_RUNS if most is None else most).items():
                yield Sent(host, run_id, {name: _content(tar, member) for name, member in members.items()})
    except (tarfile.TarError, EOFError, OverflowError, RecursionError) as error:
        raise ValueError(printable(error) or "it is not an archive") from error


def evidence_of(sent: Sent) -> dict[str, bytes]:
    """Return the files of a run that are kept of it: all but its record, which is made anew."""
    return {name: content for name, content in sent.files.items() if name in KEPT}


def judge_all(file: IO[bytes], state: Path, most: int | None = None) -> Iterator[tuple[Sent, JudgedRun]]:
    """Yield the runs in a tar, and what their evidence proves. Raise ValueError as unpack() and judged() do."""
    size = 0
    for sent in unpack(file, most):
        found = judged(sent, state)
        size += found.size
        if size > bounds.EXPORT_UNPACKED:
            raise ValueError(f"unpacked it has more than {bounds.EXPORT_UNPACKED >> 20} MiB; export fewer at a time")
        yield sent, found


def judged(sent: Sent, state: Path) -> JudgedRun:
    """Return what the evidence of a run proves.

    `state` is the state directory of who asks. Raise ValueError where it is no evidence, or that of another run.
    """
    with tempfile.TemporaryDirectory(prefix="provisioner-") as name:
        folder = Path(name, sent.host, sent.run_id)
        folder.mkdir(parents=True)
        for kept, content in evidence_of(sent).items():
            (folder / kept).write_bytes(content)
        evidence = Evidence(folder)
        if evidence.archive:
            run_id, contents = archive.read(evidence.archive)
            if run_id != evidence.run["run_id"]:
                raise ValueError(f"the evidence is that of run {evidence.run['run_id']}")
            record = collect.build(evidence, sent.host)
            vouching = signatures.of(evidence, state, whole=signatures.is_whole(record.audit), host=sent.host)
            found = JudgedRun(record, vouching, evidence.mapping(INPUTS), sum(map(len, contents.values())))
        else:
            log = upstream.in_folder(folder)
            if log is None:
                raise ValueError(f"run {sent.run_id} came without evidence")
            found = JudgedRun(log)
    if found.record.run_id != sent.run_id:
        raise ValueError(f"the evidence that came as run {sent.run_id} is that of run {found.record.run_id}")
    return found


def _by_run(tar: tarfile.TarFile, most: int) -> dict[tuple[str, str], dict[str, tarfile.TarInfo]]:
    """Return the members of each run, by host and id and then by name."""
    found: dict[tuple[str, str], dict[str, tarfile.TarInfo]] = {}
    for number, member in enumerate(tar, 1):
        if number > bounds.LINES:
            raise ValueError(f"it has more than {bounds.LINES} files")
        parts = names.file(member.name).parts
        if member.isdir():
            continue
        if len(parts) != 3 or parts[2] not in {*KEPT, RECORD} or not member.isreg() or member.issparse():
            raise ValueError(f"{printable(member.name, 80)} in it is not a file of a run, HOST/RUN_ID/{archive.NAME}")
        if member.size > bounds.ARCHIVE:
            raise ValueError(f"{printable(member.name, 80)} in it is larger than evidence is")
        of_run = found.setdefault((names.host(parts[0]), names.run_id(parts[1])), {})
        if parts[2] in of_run:
            raise ValueError(f"{printable(member.name, 80)} is in it twice")
        of_run[parts[2]] = member
        if len(found) > most:
            raise ValueError(f"it has more than {counted(most, 'run')}")
    return found


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    data = file.read() if file else b""
    if len(data) != member.size:
        raise ValueError("it is cut off")
    return data
