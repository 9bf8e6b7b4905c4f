"""Every output format of records: a line here, and a module of its name beside this one with `write(what, stream)`.

The command line is made of these lines, and a module is imported only where its format is asked for: each brings in
what it needs.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

__all__ = [
    "ANSWER",
    "EXPORT",
    "FACTS",
    "FILES",
    "FORMATS",
    "MODEL",
    "REPORT",
    "RUNS",
    "TEXTS",
    "UNREAD",
    "Format",
    "of",
]

FACTS, FILES, REPORT, EXPORT = "facts -o NAME", "facts --NAME FILE", "report --NAME FILE", "export --NAME FILE"
"""The options that formats are asked for by; `export` takes its first one without."""

ANSWER = "answer"
"""What a query made of the document of records, or that itself: any value. See provisioner/report/document.py."""
UNREAD = "unread"
"""An answer; where it is the document, its records may be as they are kept, to be read one at a time."""
TEXTS = "texts"
"""Records as they are kept, each a `store.Text`, newest first."""
RUNS = "runs"
"""The runs themselves, each a `store.Run`, newest first; what is written of them is bytes, and text of all else."""
MODEL = "model"
"""What a report tells, a `model.Report`."""


class Format(NamedTuple):
    """An output format: its name, what it is made of, the option that asks for it, and the help of that.

    `hint` is what is said of a file of it.
    """

    name: str
    takes: str
    option: str
    help: str = ""
    hint: str = ""

    def write(self, what: Any, stream: Any) -> None:
        """Write `what`, which is what this format takes, to a stream."""
        importlib.import_module(f"{__name__}.{self.name}").write(what, stream)


FORMATS = (
    Format("table", ANSWER, FACTS),
    Format("json", UNREAD, FACTS),
    Format("yaml", UNREAD, FACTS),
    Format("csv", UNREAD, FACTS),
    Format(
        *("trace", TEXTS, FILES, "write phases and objects as a Chrome trace, for Perfetto"),
        hint="open it at https://ui.perfetto.dev",
    ),
    Format("html", MODEL, REPORT, "one HTML page, which opens offline"),
    Format("markdown", MODEL, REPORT, "Markdown; without any of these it is printed"),
    Format("junit", MODEL, REPORT, "JUnit XML: a test case for each check of each run's audit"),
    Format("openmetrics", MODEL, REPORT, "the newest run of each host, for a textfile collector"),
    Format("jsonl", TEXTS, EXPORT),
    Format("evidence", RUNS, EXPORT, "write a tar of evidence and signatures, to be judged anew"),
)


def of(option: str) -> dict[str, Format]:
    """Return the formats that an option asks for, by name."""
    return {each.name: each for each in FORMATS if each.option == option}
