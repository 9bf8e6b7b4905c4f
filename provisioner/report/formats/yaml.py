"""YAML: the document, or any value that a query made of it. A host's newest record is an alias among the runs."""

from __future__ import annotations

from textwrap import indent
from typing import TYPE_CHECKING, Any

import yaml

from provisioner.report.document import is_unread
from provisioner.text import fast_json, jsontext

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TextIO

    from provisioner.store import Text

__all__ = ["write"]

UNBROKEN = 2**31 - 1
"""The longest line that libyaml can be asked for."""


def write(value: Any, stream: TextIO) -> None:
    """Write a value; of the document with records that are not read yet, one at a time is read."""
    if isinstance(value, dict) and is_unread(value.get("runs")):
        _write_unread(value["hosts"], value["runs"], stream)
    else:
        stream.write(f"{_text(value)}\n")


def _write_unread(hosts: Mapping[str, Text], runs: Sequence[Text], stream: TextIO) -> None:
    """Write what PyYAML makes of the document: what is there twice has an anchor where it comes first."""
    read = fast_json.reader(len(runs))
    anchors: dict[int, str] = {}
    stream.write("hosts:\n")
    for number, (host, text) in enumerate(hosts.items(), 1):
        anchors[id(text)] = f"id{number:03}"
        key = indent(_text({host: None}).removesuffix("null"), "  ")
        stream.write(f"{key}&{anchors[id(text)]}\n{indent(_text(read(text.json)), '    ')}\n")
    stream.write("runs:\n")
    for text in runs:
        anchor = anchors.get(id(text))
        record = f"*{anchor}" if anchor else indent(_text(read(text.json)), "  ").lstrip()
        stream.write(f"- {record}\n")


def _text(value: Any) -> str:
    # Where PyYAML was built with libyaml, that takes a fifth of the time. Lines are not broken, wherever a text stands.
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    options: dict[str, Any] = {"Dumper": dumper, "sort_keys": False, "width": UNBROKEN}
    text: str = yaml.dump(value, allow_unicode=True, **options)
    if jsontext.shown(text) != text:  # what a terminal would obey; written as an escape, as all but ASCII is then
        text = yaml.dump(value, allow_unicode=False, **options)
    return text.removesuffix("...\n").rstrip("\n")
