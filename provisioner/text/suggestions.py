"""Says what somebody may have meant who gave a name that there is not."""

from collections.abc import Iterable, Mapping
from itertools import islice

__all__ = ["did_you_mean"]

MOST = 2000
"""So many of the names are looked at: each takes some microseconds."""
LONGEST = 100
"""Characters of a word that may be a slip of a name."""


def did_you_mean(word: str, known: Iterable[str], told: Mapping[str, str] | None = None) -> str:
    """Return a remedy that names what is close to `word`; '' where nothing is.

    `told` has what is told in the place of a known name.
    """
    import difflib  # noqa: PLC0415 - nothing that goes well needs it

    names = {name.lower(): (told or {}).get(name, name) for name in islice(known, MOST)}
    if word.lower() in names:  # but for small and large letters
        return f"did you mean {names[word.lower()]}?"
    close = difflib.get_close_matches(word.lower(), names, n=3) if len(word) <= LONGEST else []
    return f"did you mean {' or '.join(names[name] for name in close)}?" if close else ""
