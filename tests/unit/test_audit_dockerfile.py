"""Dockerfiles, and what the two builders write into an image's history."""

import pytest

from provisioner.audit.dockerfile import built, parse


def test_comments_and_continued_lines():
    text = "# first\nFROM base\n\nrun one && \\\n  # between\n  two\n# last\nWORKDIR /x\n"
    assert [tuple(step) for step in parse(text)] == [
        ("FROM", "base", 2),
        ("RUN", "one && two", 4),
        ("WORKDIR", "/x", 8),
    ]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("/bin/sh -c apt-get update   && apt-get install", ("RUN", "apt-get update && apt-get install")),
        ("|2 a=b c=d /bin/sh -c true", ("RUN", "true")),
        (
            "RUN /bin/sh -c apt-get update &&     apt-get install # buildkit",
            ("RUN", "apt-get update && apt-get install"),
        ),
        ("RUN |1 a=b /bin/sh -c true # buildkit", ("RUN", "true")),
        ("/bin/sh -c #(nop) COPY file:5a64 in /etc/x ", ("COPY", "file:5a64 in /etc/x")),
        ("COPY x /etc/x # buildkit", ("COPY", "x /etc/x")),
        ("/bin/sh -c #(nop)  ENV A=b", ("ENV", "A=b")),
        ("WORKDIR /workspace", ("WORKDIR", "/workspace")),
        ("", ("", "")),
    ],
)
def test_a_line_of_history_is_the_instruction_that_made_it(line, wanted):
    assert built(line)[:2] == wanted
