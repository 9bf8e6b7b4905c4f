"""JSON as it is read of anybody, and printed for anybody: finite numbers alone, and texts that no terminal obeys."""

from __future__ import annotations

import json
import math
import re
from typing import Any

__all__ = ["dumps", "loads", "shown"]

# Characters that do not print and that the standard writer does not escape. They are within texts only, which may have
# their escapes instead.
_UNSEEN = re.compile(
    "[\x7f-\xa0\xad\u0600-\u0605\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]"
)


def loads(text: str | bytes) -> Any:
    """Return the value of a JSON text. Raise ValueError where it is none, has NaN or infinity, or is nested deep."""
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def dumps(value: Any, indent: int | None = 2) -> str:
    """Return a value as JSON. A number that JSON has not is null: it is unknown."""
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_known(value), indent=indent, ensure_ascii=False)
    return shown(text)


def shown(text: str) -> str:
    """Return the same JSON with what a terminal would obey, or not show, as escapes."""
    return text if text.isascii() and "\x7f" not in text else _UNSEEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def _known(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _known(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_known(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
