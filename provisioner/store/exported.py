"""What `provisioner export` writes, and a saved baseline is: records as JSON, one a line."""

import json
from pathlib import Path

from provisioner.errors import Exit, ProvisionerError
from provisioner.runs.record_data import RecordData
from provisioner.store.reading import Text

__all__ = ["line", "read"]


def line(record: RecordData | Text) -> str:
    """Return a record as a line."""
    return f"{record.json if isinstance(record, Text) else json.dumps(record)}\n"


def read(text: str, path: Path) -> list[RecordData]:
    """Return the records in the text of the file at `path`; raise ProvisionerError (code 2), which names the line."""
    from provisioner.runs.record import parse  # noqa: PLC0415 - slow, and not all who import this get here

    records = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            records.append(parse(line)[1])
        except (ValueError, RecursionError) as error:
            raise ProvisionerError(
                f"{path}:{number} is not a record", "give a file that `provisioner export` wrote", Exit.BAD_INPUT
            ) from error
    return records
