"""The document of all records, written record by record: a function of one shape for each format that has all of them.

What comes out is what facts.FORMATS make of facts.document(); but no more than one record at a time is anything else
than its text, so memory is that of the texts.
"""
# ruff: noqa: PLC0415 - as in facts.py

from __future__ import annotations

from textwrap import indent
from typing import TYPE_CHECKING, Any, TextIO

from provisioner.report import facts
from provisioner.text import fast_json, jsontext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from provisioner.store import Text

__all__ = ["FORMATS", "write_runs"]


def write_json(texts: Sequence[Text], stream: TextIO) -> None:
    """Write the records, newest first and at least one, as JSON."""
    stream.write('{\n  "hosts": {')
    _put([(f"{jsontext.dumps(host)}: ", text) for host, text in _newest(texts).items()], stream)
    stream.write("\n  }")
    write_runs(texts, stream)


def write_runs(texts: Sequence[Text], stream: TextIO) -> None:
    """Write how an object of JSON ends whose last field is `runs`, with records, at least one."""
    stream.write(',\n  "runs": [')
    _put([("", text) for text in texts], stream)
    stream.write("\n  ]\n}\n")


def write_yaml(texts: Sequence[Text], stream: TextIO) -> None:
    """Write the records, newest first and at least one, as YAML; a host's newest is an alias among the runs."""
    read = fast_json.reader(len(texts))
    anchors: dict[int, str] = {}
    stream.write("hosts:\n")
    for number, (host, text) in enumerate(_newest(texts).items(), 1):
        anchors[id(text)] = f"id{number:03}"
        key = indent(facts.as_yaml({host: None}).removesuffix("null"), "  ")
        record = indent(facts.as_yaml(read(text.json)), "    ")
        stream.write(f"{key}&{anchors[id(text)]}\n{record}\n")
    stream.write("runs:\n")
    for text in texts:
        anchor = anchors.get(id(text))
        record = f"*{anchor}" if anchor else indent(facts.as_yaml(read(text.json)), "  ").lstrip()
        stream.write(f"- {record}\n")


def write_csv(texts: Sequence[Text], stream: TextIO) -> None:
    """Write the records as CSV, with every field of any of them as a column: they are read twice."""
    import csv

    read = fast_json.reader(len(texts))

    def rows() -> Iterator[dict[str, Any]]:
        return (facts.flatten(read(text.json)) for text in texts)

    header = list(dict.fromkeys(key for row in rows() for key in row))
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(facts.csv_cells(header))
    writer.writerows(facts.csv_cells(map(row.get, header)) for row in rows())


FORMATS: dict[str, Callable[[Sequence[Text], TextIO], None]] = {
    "json": write_json,
    "yaml": write_yaml,
    "csv": write_csv,
}


def _put(items: Sequence[tuple[str, Text]], stream: TextIO) -> None:
    """Write records, each after what its item has before it, within an object's field."""
    read, write = fast_json.reader(len(items)), fast_json.writer(len(items))
    for number, (before, text) in enumerate(items):
        record = write(read(text.json)).replace("\n", "\n    ")  # no text within JSON has a line's end
        stream.write(f"{',' if number else ''}\n    {before}{record}")


def _newest(texts: Sequence[Text]) -> dict[str, Text]:
    """Give each host's newest record."""
    newest: dict[str, Text] = {}
    for text in texts:
        newest.setdefault(text.host, text)
    return newest
