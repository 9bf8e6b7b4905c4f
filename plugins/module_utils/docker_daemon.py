"""Docker's settings file, daemon.json: read as dockerd reads it, and added to without losing anything."""

from __future__ import annotations

import codecs
import copy
import json
import re
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import content, obstacle
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError, refuse_if

# Marks that an editor may put before the text, and how what follows is encoded.
MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
GROUPS = ("runtimes", "features")


class BrokenSettingsError(ValueError):
    """The settings file is not what dockerd could read; its text is for people."""


# What a daemon.json says, and how it is written. `newer_only` is why no dockerd before 23.0 reads it, `older_only` why
# none does since, `loss` what would be lost if it were written anew; '' where that is not so.
Settings = namedtuple(
    "Settings", "values text mark codec newer_only older_only loss", defaults=("", b"", "utf-8", "", "", "")
)


def settings(host: Host, path: str) -> Settings:
    """Return the settings in a host's daemon.json; raise RefusalError where its engine would not start with them.

    dockerd itself is asked only where the file is one that not every dockerd reads.
    """
    data = b""
    if Path(path).exists():  # a link that leads nowhere is none to dockerd either
        refuse_if(obstacle(path, "file"))
        try:
            data = content(path)
        except OSError as error:
            raise RefusalError(refusal(path, error.strerror)) from None
    try:
        found = parse(data)
    except BrokenSettingsError as error:
        if complaint(host, path) == "":
            return Settings({}, loss=str(error))
        raise RefusalError(refusal(path, error)) from None
    if found.newer_only or found.older_only:
        said = complaint(host, path)
        if said is None:  # it has no such question, so it is older than 23.0
            said = found.newer_only if host.which("dockerd") else found.newer_only or found.older_only
        if said:
            raise RefusalError(refusal(path, said))
    return found


def complaint(host: Host, path: str) -> str | None:
    """Return why dockerd would not start with the settings in `path`; '' if it would, None if it cannot be asked."""
    code, out, errors = host.run("dockerd", "--validate", "--config-file", path)
    said = [line for line in (errors + out).splitlines() if line.strip()]
    if code in {124, 127} or any("unknown flag" in line for line in said):  # before 23.0
        return None
    if code == 0:
        return ""
    return said[-1] if said else f"exit code {code}"


def refusal(path: str, error: object) -> str:
    """Return what is said of a daemon.json that is broken, which nobody but a person may mend."""
    return f"{path} is broken: {error}; the file stays as it is and nothing was changed: mend it and run this again"


def parse(data: bytes) -> Settings:
    """Return the settings in a daemon.json; an empty file has none. Raise BrokenSettingsError."""
    mark, codec = next(((mark, codec) for mark, codec in MARKS if data.startswith(mark)), (b"", "utf-8"))
    newer_only = "it begins with a byte order mark, which Docker before 23.0 does not read" if mark else ""
    older_only = loss = ""
    try:
        text = data[len(mark) :].decode(codec)
    except UnicodeDecodeError:
        text = data[len(mark) :].decode(codec, errors="replace")
        older_only = loss = "it is not UTF-8"
    if not text.strip():
        return Settings({}, text, mark, codec)

    values, rest, twice = _values(text)
    if rest:
        older_only = loss = "there is more after its end"
    if twice:
        loss = f"{twice[0]} is in it twice"
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise BrokenSettingsError("it does not hold a JSON object")
    for name in GROUPS:
        if not isinstance(values.get(name) or {}, dict) or values.get(name) in ([], "", 0, False):
            raise BrokenSettingsError(f"{name} is not a JSON object")
    return Settings(values, text, mark, codec, newer_only, older_only, loss)


def _values(text: str) -> tuple[object, str, list[str]]:
    """Return a text's first JSON value, what follows it, and which names it has twice. Raise BrokenSettingsError."""
    twice: list[str] = []
    decoder = json.JSONDecoder(object_pairs_hook=lambda pairs: _united(pairs, twice), parse_constant=_refuse)
    begin = len(text) - len(text.lstrip(" \t\r\n"))
    try:
        values, end = decoder.raw_decode(text, begin)
    except json.JSONDecodeError as error:
        raise BrokenSettingsError(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (RecursionError, ValueError) as error:
        raise BrokenSettingsError(str(error)) from None
    return values, text[end:].strip(), twice


def _united(pairs: list[tuple[str, object]], twice: list[str]) -> dict:
    """Return an object as dockerd reads it: of a thing that is named twice the last counts, and objects are united."""
    found: dict = {}
    for name, value in pairs:
        before = found.get(name)
        if name in found:
            twice.append(name)
        found[name] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
    return found


def _refuse(word: str) -> None:
    raise BrokenSettingsError(f"{word} is not JSON")


def merged(
    values: dict,
    runtimes: dict[str, dict],
    features: dict[str, bool],
    which: Callable[[str], str],
) -> dict:
    """Return `values` with `runtimes` and `features` in them, everything else as it was.

    A runtime of the same name stays as the site has it where its program is there, told by `which`, or where it is a
    shim of containerd's (runtimeType), which has none; and so does a feature that the site has set, either way.
    """
    result = copy.deepcopy(values)
    for name, runtime in runtimes.items():
        present = result["runtimes"] = result.get("runtimes") or {}
        own = present.get(name)
        if isinstance(own, dict) and own.get("runtimeType"):
            continue
        program = own.get("path", "") if isinstance(own, dict) else ""
        if not isinstance(program, str) or not program or (program != runtime["path"] and not which(program)):
            present[name] = {**own, **runtime} if isinstance(own, dict) else runtime
    for name, value in features.items():
        present = result["features"] = result.get("features") or {}
        if present.get(name) is None:
            present[name] = value
    return result


def rendered(values: dict, like: Settings) -> bytes:
    """Return `values` as a file: encoded, with lines that end and are indented as `like` has it."""
    indent = re.search(r'\{[ \t]*\r?\n([ \t]+)"', like.text)
    text = json.dumps(values, indent=indent[1] if indent else 4, ensure_ascii=False) + "\n"
    if "\r\n" in like.text:
        text = text.replace("\n", "\r\n")
    try:
        return like.mark + text.encode(like.codec)
    except UnicodeEncodeError:  # half a character, which only an escape can write
        return like.mark + (json.dumps(values, indent=4) + "\n").encode(like.codec)


def major(version: str) -> int:
    """Return the first number in a version such as 26.1.5+dfsg1; 0 where there is none."""
    return release(version)[0]


def release(version: str) -> tuple[int, int]:
    """Return the first two numbers in a version such as 26.1.5+dfsg1; zeros where there are none."""
    numbers = re.search(r"(\d+)(?:\.(\d+))?", version)
    return (int(numbers[1]), int(numbers[2] or 0)) if numbers else (0, 0)
