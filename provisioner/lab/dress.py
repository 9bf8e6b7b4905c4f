"""Dresses: scripts that make a lab host what a site's host was in a report, each one file in `dresses/`."""

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from provisioner.errors import Exit, ProvisionerError
from provisioner.lab import releases
from provisioner.text.suggestions import did_you_mean

__all__ = ["Dress", "Expectation", "load", "names", "parse", "pick"]

NAME = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
LONGEST_NAME = 30  # it becomes part of a host name, which has at most 63 characters

Sentence = Annotated[str, Field(pattern=r"^\S[^\n]*\S$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Expectation(_Model):
    """What `prepare` makes of a host in this dress, and what is said there."""

    prepare: Literal["ready", "refused"]
    says: str = ""
    """A regular expression: of the refusal's line, or of a note that `doctor` and `plan` tell; may be empty."""

    @field_validator("says")
    @classmethod
    def _is_pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value


class Dress(_Model):
    """One dress, as its file has it."""

    name: Annotated[str, Field(pattern=rf"^{NAME}$", max_length=LONGEST_NAME)]
    what: Sentence
    report: Annotated[str, Field(pattern=r"^https://\S+$")]
    """Where a site that has this was reported."""
    stands_in: str = ""
    """What is faked, because a container cannot have it; empty where all of it is real."""
    debian: Annotated[
        tuple[int, ...], Field(min_length=1, strict=False, default_factory=lambda: tuple(releases.numbers()))
    ]
    """The releases that it fits: all, where its file does not say."""
    vars: dict[str, Any] = {}
    """Variables that such a site's inventory has; they go into the lab's."""
    expect: Expectation
    script: Annotated[str, Field(min_length=1)]
    """Run once as root, by `bash -euo pipefail`, when the host has booted."""

    @field_validator("debian")
    @classmethod
    def _are_known(cls, named: tuple[int, ...]) -> tuple[int, ...]:
        if unknown := set(named) - {*releases.numbers()}:
            raise ValueError(f"no lab hosts with Debian {min(unknown)}")
        return named


def names() -> list[str]:
    """Return the names of all dresses, in order."""
    return sorted(entry.name.removesuffix(".yml") for entry in _folder().iterdir() if entry.name.endswith(".yml"))


@cache
def load(name: str) -> Dress:
    """Return the dress of this name. Raise ProvisionerError (code 2) where there is none or its file is wrong."""
    known = names()
    if name not in known:
        remedy = did_you_mean(name, known) or "`provisioner lab dresses` lists them"
        raise ProvisionerError(f"there is no dress {name!r}", remedy, Exit.BAD_INPUT)
    return parse(name, (_folder() / f"{name}.yml").read_text(encoding="utf-8"))


def parse(name: str, text: str) -> Dress:
    """Return the dress that a file's text describes. Raise ProvisionerError (code 2), one line, where it is wrong."""
    try:
        content = yaml.safe_load(text)
        if not isinstance(content, dict):
            raise _wrong(name, "it is not a mapping")
        return Dress.model_validate({**content, "name": name})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _wrong(name, f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _wrong(name, str(error)) from error


def pick(wanted: Iterable[str], debian: int | None) -> list[tuple[Dress, int]]:
    """Return the dresses of these names, each once, with the release of its host.

    That is `debian`, or, where that is None, the first release that the dress fits. Raise ProvisionerError (code 2)
    where a name is unknown or a dress does not fit the release.
    """
    found = [load(name) for name in dict.fromkeys(wanted)]
    for dress in found:
        if debian is not None and debian not in dress.debian:
            fits = " or ".join(map(str, dress.debian))
            raise ProvisionerError(
                f"the dress {dress.name!r} does not fit Debian {debian}", f"use --debian {fits}", Exit.BAD_INPUT
            )
    return [(dress, debian or dress.debian[0]) for dress in found]


def _folder() -> Any:
    return files("provisioner.lab") / "dresses"


def _wrong(name: str, problem: str) -> ProvisionerError:
    return ProvisionerError(f"the dress {name!r} is wrong: {problem}", "mend its file", Exit.BAD_INPUT)
