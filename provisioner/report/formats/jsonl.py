"""JSON lines: a record a line, which `import` and `compare` read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provisioner.store import exported

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

    from provisioner.store import Text

__all__ = ["write"]


def write(texts: Iterable[Text], stream: TextIO) -> None:
    """Write records."""
    for text in texts:
        stream.write(exported.line(text))
