"""Whether runs measured the same thing: what of their inputs must agree before their times are compared."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provisioner.runs.record_data import RecordData

__all__ = ["Difference", "contradictions", "differences", "inputs", "known", "remarks", "unknown"]

MUST_AGREE = {
    "scenario": "scenario",
    "runtime": "runtime",
    "base image digest": "inputs.base_image_digest",
    "torch": "inputs.torch",
    "xformers commit": "inputs.xformers_commit",
    "architecture list": "inputs.arch_list",
    "nvcc": "inputs.versions.nvcc",
    "gcc": "inputs.versions.gcc",
}
"""What is measured, by the words for it: where one of these differs, so does the work that was timed."""

MAY_BE_UNKNOWN = {"nvcc", "gcc"}
"""What not every record tells, of a run that went well: then it is said, and no reason to refuse."""

WORTH_SAYING = {
    "compile jobs": "compile.max_jobs",
    "threads of nvcc": "inputs.nvcc_threads",
    "base image there before": "inputs.base_image_present",
    "processor": "machine.cpu_model",
    "cores": "machine.cores",
    "GPU": "machine.gpus",
    "driver": "machine.driver",
    "rules of the audit": "audit.rules",
}
"""What it is measured on, or with: mostly why one compares at all, so it is said and no reason to refuse."""

UNSET = {"scenario": "a", "runtime": "devcontainer", "inputs.nvcc_threads": "xformers' own number"}
"""What a field means that is null or not there, where that is known."""


@dataclass(frozen=True)
class Difference:
    """Something that is not the same in all runs: its values on either side, None for unknown."""

    what: str
    a: tuple[Any, ...]
    b: tuple[Any, ...]

    def __str__(self) -> str:
        """Return the difference for a person: torch 2.14.1 against 2.15.0."""
        return f"{self.what} {_words(self.a)} against {_words(self.b)}"


def differences(a: Iterable[RecordData], b: Iterable[RecordData]) -> list[Difference]:
    """Return why records must not be compared: what differs between two sets of them, or within one."""
    return _differing(MUST_AGREE, a, b)


def unknown(records: Iterable[RecordData]) -> list[str]:
    """Return what must agree and not all of the records tell."""
    given = list(records)
    return [what for what, path in MUST_AGREE.items() if any(_value(path, record) is None for record in given)]


def remarks(a: Iterable[RecordData], b: Iterable[RecordData]) -> list[Difference]:
    """Return what else differs and should be said."""
    return _differing(WORTH_SAYING, a, b)


def inputs(record: RecordData) -> dict[str, Any]:
    """Return all that should agree, by the words for it, None for unknown."""
    return {what: _value(path, record) for what, path in MUST_AGREE.items()}


def known(record: RecordData) -> dict[str, Any]:
    """Return the inputs that count: records may be compared where no two of these contradict each other."""
    return _known(MUST_AGREE, record)


def contradictions(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    """Return in what two differ of those that known() gives."""
    return [Difference(what, (a[what],), (value,)) for what, value in b.items() if what in a and a[what] != value]


def _known(fields: Mapping[str, str], record: RecordData) -> dict[str, Any]:
    """Return the fields of a record, without those that a run which failed early does not know."""
    values = {what: _value(path, record) for what, path in fields.items()}
    ok = record["outcome"] == "ok"
    return {what: value for what, value in values.items() if value is not None or (ok and what not in MAY_BE_UNKNOWN)}


def _differing(fields: Mapping[str, str], a: Iterable[RecordData], b: Iterable[RecordData]) -> list[Difference]:
    sides = [[_known(fields, record) for record in side] for side in (a, b)]
    found = (Difference(what, *(_each_once(what, side) for side in sides)) for what in fields)
    return [difference for difference in found if len({*difference.a, *difference.b}) > 1]


def _each_once(what: str, side: Iterable[Mapping[str, Any]]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values[what] for values in side if what in values))


def _value(path: str, record: RecordData) -> Any:
    value: Any = record
    for name in path.split("."):
        value = (value or {}).get(name)
    if isinstance(value, list):  # of GPUs; how many there are is not what a run of one test depends on
        return ", ".join(sorted({str(gpu.get("name") or "unknown") for gpu in value})) or "none"
    return UNSET.get(path) if value is None else value


def _words(values: Sequence[Any]) -> str:
    return " and ".join("unknown" if value is None else str(value) for value in values) or "nothing"
