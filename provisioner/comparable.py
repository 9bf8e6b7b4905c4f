"""Whether runs measured the same thing: what of their inputs must agree before their times are compared."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["FIELDS", "Difference", "differences", "measured", "remarks"]

MUST_AGREE = {
    "scenario": "scenario",
    "runtime": "runtime",
    "base image digest": "inputs.base_image_digest",
    "torch": "inputs.torch",
    "xformers commit": "inputs.xformers_commit",
    "architecture list": "inputs.arch_list",
}
"""What is measured, by the words for it: where one of these differs, so does the work that was timed."""

WORTH_SAYING = {
    "compile jobs": "compile.max_jobs",
    "threads of nvcc": "inputs.nvcc_threads",
    "base image there before": "inputs.base_image_present",
    "processor": "machine.cpu_model",
    "cores": "machine.cores",
    "driver": "machine.driver",
}
"""What it is measured on, or with: mostly why one compares at all, so it is said and no reason to refuse."""

UNSET = {"inputs.nvcc_threads": "xformers' own number"}
"""What a field that is null means, where that is known."""

FIELDS = tuple({**MUST_AGREE, **WORTH_SAYING}.values())
"""What these functions need of a record."""


@dataclass(frozen=True)
class Difference:
    """Something that is not the same in all runs: its values on either side, None for unknown."""

    what: str
    a: tuple[Any, ...]
    b: tuple[Any, ...]

    def __str__(self) -> str:
        """Give it for a person: torch 2.14.1 against 2.15.0."""
        return f"{self.what} {_words(self.a)} against {_words(self.b)}"


def differences(a: Iterable[Mapping[str, Any]], b: Iterable[Mapping[str, Any]]) -> list[Difference]:
    """Give why records must not be compared: what differs between two sets of them, or within one."""
    return _differing(MUST_AGREE, list(a), list(b))


def measured(record: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a record measured, by the words for it: the same in all runs that may be compared."""
    return {what: _values(path, [record])[0] for what, path in MUST_AGREE.items()}


def remarks(a: Iterable[Mapping[str, Any]], b: Iterable[Mapping[str, Any]]) -> list[Difference]:
    """Give what else differs and should be said."""
    return _differing(WORTH_SAYING, list(a), list(b))


def _differing(
    fields: Mapping[str, str], a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]]
) -> list[Difference]:
    found = (Difference(what, _values(path, a), _values(path, b)) for what, path in fields.items())
    return [difference for difference in found if len({*difference.a, *difference.b}) > 1]


def _values(path: str, records: Sequence[Mapping[str, Any]]) -> tuple[Any, ...]:
    """Give the values that a field has in the records, each once."""
    outer, _, inner = path.partition(".")
    values = ((record.get(outer) or {}).get(inner) if inner else record.get(outer) for record in records)
    return tuple(dict.fromkeys(UNSET.get(path) if value is None else value for value in values))


def _words(values: Sequence[Any]) -> str:
    return " and ".join("unknown" if value is None else str(value) for value in values) or "nothing"
