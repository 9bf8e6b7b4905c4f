"""Which runs may be compared: those that measured the same. What has to be the same is listed here, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Difference", "changes", "differences", "inputs"]

DECISIVE = ("base_image_digest", "torch", "xformers_commit", "arch_list")
"""The inputs of a record that decide."""
NOTED = ("base_image", "base_image_present", "xformers_url", "max_jobs", "input_hash")
"""Inputs that are worth a mark in a history, too."""
MACHINE = ("cpu_model", "cores", "memory_bytes", "os", "kernel", "docker", "driver")


class Difference(NamedTuple):
    """One thing in which two runs differ."""

    name: str
    before: str | None
    after: str | None


def inputs(record: Mapping[str, Any]) -> dict[str, str | None]:
    """Give what has to be the same in two runs that are compared."""
    found = {name: record.get(name) for name in ("scenario", "runtime")}
    found |= {name: record["inputs"].get(name) for name in DECISIVE}
    return {name: None if value is None else str(value) for name, value in found.items()}


def differences(before: Mapping[str, str | None], after: Mapping[str, str | None]) -> Iterator[Difference]:
    """Give in what two such sets of inputs differ."""
    for name, value in after.items():
        if before.get(name) != value:
            yield Difference(name, before.get(name), value)


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Give what changed between two records of a host: inputs, and the machine beneath them.

    The input hash is named only where it alone tells that something is not as it was.
    """
    found = list(differences(_noted(before), _noted(after)))
    named = [difference for difference in found if difference.name != "input_hash"]
    return named or found


def _noted(record: Mapping[str, Any]) -> dict[str, str | None]:
    machine = record["machine"]
    noted: dict[str, Any] = {name: record["inputs"].get(name) for name in NOTED}
    noted |= {name: machine.get(name) for name in MACHINE}
    noted["gpus"] = ", ".join(str(gpu.get("name")) for gpu in machine.get("gpus") or []) or None
    return inputs(record) | {name: None if value is None else str(value) for name, value in noted.items()}
