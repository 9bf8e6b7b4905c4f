"""The document of all records, written record by record: a function of one shape for each format that has all of them.

What comes out is what facts.FORMATS make of facts.document(); but no more than one record at a time is anything else
than its text, so memory is that of the texts.
"""
# ruff: noqa: PLC0415 - as in facts.py

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TextIO

from provisioner import bulk, facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from provisioner.store import Text

__all__ = ["FORMATS", "write_runs"]


def write_json(texts: Sequence[Text], stream: TextIO) -> None:
    """Write the records, newest first and at least one, as JSON."""
    stream.write('{\n  "hosts": {')
    _put([(f"{json.dumps(host, ensure_ascii=False)}: ", text) for host, text in _newest(texts).items()], stream)
    stream.write("\n  }")
    write_runs(texts, stream)


def write_runs(texts: Sequence[Text], stream: TextIO) -> None:
    """Write how an object of JSON ends whose last field is `runs`, with records, at least one."""
    stream.write(',\n  "runs": [')
    _put([("", text) for text in texts], stream)
    stream.write("\n  ]\n}\n")


def write_yaml(texts: Sequence[Text], stream: TextIO) -> None:
    """Write the records, newest first and at least one, as YAML; a host's newest is an alias among the runs."""
    import yaml

    read = bulk.reader(len(texts))
    dumper = yaml.SafeDumper(stream, sort_keys=False, allow_unicode=True)

    def put(value: Any, anchor: str | None = None) -> None:
        node = dumper.represent_data(value)
        dumper.anchor_node(node)
        dumper.anchors[node] = anchor
        dumper.serialize_node(node, None, None)
        # What it remembers of the record would else be kept for the whole document, to find aliases.
        for memory in (dumper.anchors, dumper.serialized_nodes, dumper.represented_objects, dumper.object_keeper):
            memory.clear()

    newest = _newest(texts)
    anchors = {id(text): dumper.ANCHOR_TEMPLATE % number for number, text in enumerate(newest.values(), 1)}
    dumper.open()
    dumper.emit(yaml.DocumentStartEvent())
    dumper.emit(yaml.MappingStartEvent(anchor=None, tag=None, implicit=True, flow_style=False))
    put("hosts")
    dumper.emit(yaml.MappingStartEvent(anchor=None, tag=None, implicit=True, flow_style=False))
    for host, text in newest.items():
        put(host)
        put(read(text.json), anchors[id(text)])
    dumper.emit(yaml.MappingEndEvent())
    put("runs")
    dumper.emit(yaml.SequenceStartEvent(anchor=None, tag=None, implicit=True, flow_style=False))
    for text in texts:
        if id(text) in anchors:
            dumper.emit(yaml.AliasEvent(anchors[id(text)]))
        else:
            put(read(text.json))
    dumper.emit(yaml.SequenceEndEvent())
    dumper.emit(yaml.MappingEndEvent())
    dumper.emit(yaml.DocumentEndEvent())
    dumper.close()


def write_csv(texts: Sequence[Text], stream: TextIO) -> None:
    """Write the records as CSV, with every field of any of them as a column: they are read twice."""
    import csv

    read = bulk.reader(len(texts))

    def rows() -> Iterator[dict[str, Any]]:
        return (facts.flatten(read(text.json)) for text in texts)

    header = list(dict.fromkeys(key for row in rows() for key in row))
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(facts.csv_cells(map(row.get, header)) for row in rows())


FORMATS: dict[str, Callable[[Sequence[Text], TextIO], None]] = {
    "json": write_json,
    "yaml": write_yaml,
    "csv": write_csv,
}


def _put(items: Sequence[tuple[str, Text]], stream: TextIO) -> None:
    """Write records, each after what its item has before it, within an object's field."""
    read, write = bulk.reader(len(items)), bulk.writer(len(items))
    for number, (before, text) in enumerate(items):
        record = write(read(text.json)).replace("\n", "\n    ")  # no text within JSON has a line's end
        stream.write(f"{',' if number else ''}\n    {before}{record}")


def _newest(texts: Sequence[Text]) -> dict[str, Text]:
    """Give each host's newest record."""
    newest: dict[str, Text] = {}
    for text in texts:
        newest.setdefault(text.host, text)
    return newest
