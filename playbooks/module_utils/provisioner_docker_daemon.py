"""Docker's settings file, daemon.json: read, and added to without losing anything."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable

from ansible.module_utils.provisioner_host import Host, RefusalError


class BrokenSettingsError(ValueError):
    """The settings file is not what dockerd could read; its text is for people."""


def settings(host: Host, path: str) -> dict:
    """The settings in a host's daemon.json; RefusalError where it is broken."""
    try:
        return parse(host.read(path))
    except BrokenSettingsError as error:
        raise RefusalError(refusal(path, error)) from None


def refusal(path: str, error: Exception) -> str:
    """What is said of a daemon.json that is broken, which nobody but a person may mend."""
    return f"{path} is broken: {error}; the file stays as it is and nothing was changed: mend it and run this again"


def parse(text: str) -> dict:
    """The settings in a daemon.json; an empty file has none. Raises BrokenSettingsError."""
    if not text.strip():
        return {}
    if "\ufffd" in text:  # what is read for bytes that are no text
        raise BrokenSettingsError("it is not UTF-8")
    try:
        settings = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise BrokenSettingsError(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    if not isinstance(settings, dict):
        raise BrokenSettingsError("it does not hold a JSON object")
    for name in ("runtimes", "features"):
        if not isinstance(settings.get(name, {}), dict):
            raise BrokenSettingsError(f"{name} is not a JSON object")
    return settings


def _once(pairs: list[tuple[str, object]]) -> dict:
    """An object; one that names a thing twice would lose one of them when it is written again."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise BrokenSettingsError(f"{next(name for name in names if names.count(name) > 1)} is in it twice")
    return found


def _refuse(word: str) -> None:
    raise BrokenSettingsError(f"{word} is not JSON")


def merged(
    settings: dict,
    runtimes: dict[str, dict],
    features: dict[str, bool],
    which: Callable[[str], str],
) -> dict:
    """`settings` with `runtimes` and `features` in them, everything else as it was.

    A runtime of the same name stays as the site has it where its program is there, told by `which`, or where it is a
    shim of containerd's (runtimeType), which has none; and so does a feature that the site has set, either way.
    """
    result = copy.deepcopy(settings)
    for name, runtime in runtimes.items():
        present = result.setdefault("runtimes", {})
        own = present.get(name)
        if isinstance(own, dict) and own.get("runtimeType"):
            continue
        program = own.get("path", "") if isinstance(own, dict) else ""
        if not isinstance(program, str) or not program or (program != runtime["path"] and not which(program)):
            present[name] = {**own, **runtime} if isinstance(own, dict) else runtime
    for name, value in features.items():
        result.setdefault("features", {}).setdefault(name, value)
    return result


def rendered(settings: dict, like: str) -> str:
    """The text of `settings`, indented as the text `like` is."""
    indent = re.search(r'\{[ \t]*\n([ \t]+)"', like)
    return json.dumps(settings, indent=indent[1] if indent else 4, ensure_ascii=False) + "\n"


def major(version: str) -> int:
    """The first number in a version such as 26.1.5+dfsg1; 0 where there is none."""
    number = re.search(r"\d+", version)
    return int(number[0]) if number else 0
