"""What a side of a comparison means: a run, a host, a group, a span of time, a saved baseline, an exported file."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path

from provisioner.errors import Exit, ProvisionerError
from provisioner.runs.record_data import RecordData
from provisioner.store import Store, exported, selection, sent_records
from provisioner.store.selection import RunOptions, Selection
from provisioner.system import files
from provisioner.system.paths import ensure_state_dir, given
from provisioner.text.suggestions import did_you_mean

__all__ = ["Side", "of_text", "save_baseline"]


@dataclass(frozen=True)
class Side:
    """A side: what the user called it, and the records that this means."""

    name: str
    records: Sequence[RecordData]


def of_text(text: str, store: Store, options: RunOptions, fields: Collection[str] | None = None) -> Side:
    """Return the side that `text` names, with `fields` of its records at least; docs/compare.md lists the forms.

    Raise ProvisionerError (code 2) where it names nothing, or more than one thing, or no run.
    """
    name, since, until = _span(text)
    meant = (
        _meant(name, store, options)
        if name
        else Selection(hosts=selection.hosts([options.limit or ""], options.inventory))
    )
    if isinstance(meant, Path):
        if name != text:
            raise _bad(f"{text!r}: a file cannot have a span of time", f"give {name!r}, or a host with the span")
        if meant == _baseline(store, meant.stem):  # our own: what it has of runs without evidence says so
            return _side(text, sent_records.as_told(meant))
        return _side(text, [sent.record for sent in sent_records.of_file(meant, store.state)])
    records = store.records(replace(meant, since=since, until=until), fields)
    return _side(text, records)


def _side(text: str, records: Sequence[RecordData]) -> Side:
    if not records:
        raise _bad(f"{text!r} means no run", "`provisioner facts` lists those there are")
    return Side(text, records)


def save_baseline(store: Store, name: str, side: Side) -> Path:
    """Keep a side's whole records under a name, as exported files are; return the file. Raise ProvisionerError."""
    path = _baseline(store, name)
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise _bad(f"{name!r} cannot be the name of a baseline", "use letters, digits, '.', '_' and '-'")
    ensure_state_dir(path.parent)
    files.write(path, map(exported.line, side.records))
    return path


def _span(text: str) -> tuple[str, datetime | None, datetime | None]:
    """Take NAME@SINCE..UNTIL apart; either time may be left out, and NAME@ too."""
    found = re.fullmatch(r"(?:(?P<name>.+)@)?(?P<since>[^@]*)\.\.(?P<until>[^@]*)", text)
    if not found or "/" in found["since"]:
        return text, None, None  # ../runs.jsonl is a file
    since, until = (selection.instant(found[end], end) if found[end] else None for end in ("since", "until"))
    return found["name"] or "", since, until


def _meant(text: str, store: Store, options: RunOptions) -> Selection | Path:
    """Return the one thing that `text` names: the runs that it selects, or the file that has them."""
    finders = {
        "baseline": _find_baseline,
        "file": _find_file,
        "run": _find_run,
        "host": _find_host,
        "group": _find_group,
    }
    kind, colon, name = text.partition(":")
    kinds = [kind] if colon and kind in finders else list(finders)
    name = name if len(kinds) == 1 else text
    found = {kind: meant for kind in kinds if (meant := finders[kind](name, store, options))}
    if len(found) > 1:
        raise _bad(f"{name!r} is a {' and a '.join(found)}", f"say which, as {next(iter(found))}:{name}")
    for meant in found.values():
        return meant
    if "run" in kinds and any(record["run_id"].startswith(name) for record in store.records(fields=())):
        return Selection(run_ids=(store.get(name).run_id,))
    there = {known for record in store.records(fields=()) for known in (record["host"], record["run_id"])}
    remedy = did_you_mean(name, there) or "`provisioner facts` lists runs and hosts"
    raise _bad(f"there is no {' or '.join(kinds)} {name!r}", remedy)


def _find_baseline(name: str, store: Store, _options: RunOptions) -> Path | None:
    path = _baseline(store, name)
    return path if path.is_file() else None


def _find_file(name: str, _store: Store, _options: RunOptions) -> Path | None:
    path = given(name)
    return path if path.is_file() else None


def _find_run(name: str, store: Store, _options: RunOptions) -> Selection | None:
    meant = Selection(run_ids=(name,))
    return meant if store.records(meant, fields=()) else None


def _find_host(name: str, store: Store, _options: RunOptions) -> Selection | None:
    known = {record["host"] for record in store.records(fields=())}
    return Selection(hosts=(name,)) if any(fnmatchcase(host, name) for host in known) else None


def _find_group(name: str, _store: Store, options: RunOptions) -> Selection | None:
    if not options.inventory:
        return None
    hosts = selection.group(options.inventory, name)
    return Selection(hosts=hosts) if hosts else None


def _baseline(store: Store, name: str) -> Path:
    return given(f"{store.state}/baselines/{name}.jsonl")


def _bad(message: str, remedy: str) -> ProvisionerError:
    return ProvisionerError(message, remedy, Exit.BAD_INPUT)
