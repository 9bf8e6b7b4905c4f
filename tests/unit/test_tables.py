"""Tables on terminals of any width, and in pipes."""

import io
import re

import pytest
from rich.cells import cell_len

from provisioner.view import screen
from provisioner.view.tables import table

HEADER = ["host", "check", "detail", "seconds", "remedy"]
ROWS = [
    ["gpu-01", "disk", "only 3.1 GB free at /var/lib/docker, where images are kept", 1.5, "make room there"],
    ["gpu-02.example.org", "fail", "[red]no markup[/red] " * 3, None, ""],
    ["ホスト", "warn", "x" * 70, 12.0, "https://example.org/" + "y" * 90],
]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def colours(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()


@pytest.mark.parametrize("columns", [1, 10, 40, 79, 80, 100, 200, 1000])
def test_no_line_is_wider_than_the_terminal(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    for rows in (ROWS, ROWS[:1], []):
        for below in ((), ("seconds",), HEADER):
            lines = plain(table(HEADER, rows, Terminal(), below))
            assert max(map(cell_len, lines), default=0) <= max(columns, 2), "a cell may be two wide"


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_no_word_is_broken_that_fits_a_line_and_none_is_lost(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = table(HEADER, ROWS, Terminal())
    words = {word for row in ROWS for cell in row for word in str(cell or "").split()}
    told = {word for line in plain(shown) for word in line.split()}
    assert {word for word in words if cell_len(word) < columns - 10} <= told
    assert "\x1b[31mfail" in shown and "\x1b[33mwarn" in shown


def test_what_does_not_fit_comes_below_its_row(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    header = ["host", *(f"a_long_title_{number}" for number in range(8)), "run"]
    rows = [[f"h{number}", *([1.5] * 7), None, "r" * 20] for number in range(2)]
    lines = plain(table(header, rows, Terminal(), below=header[1:9]))
    assert lines[0].split() == ["host", "run"]
    assert lines[1].split() == ["h0", "r" * 20]
    assert lines[2].startswith("    a_long_title_0 1.5  a_long_title_1 1.5  ")
    assert not any("a_long_title_7" in line for line in lines), "what is not known takes no room"
    monkeypatch.setenv("COLUMNS", "200")
    assert len(plain(table(header, rows, Terminal(), below=header[1:9]))) == 3


def test_on_a_narrow_terminal_each_cell_has_a_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    assert plain(
        table(["host", "detail", "s"], [["h1", "a detail that is long, of words", 1.0], ["h2", "", 2.0]], Terminal())
    ) == [
        "host: h1",
        "detail: a detail that is long,",
        "  of words",
        "s: 1.0",
        "",
        "host: h2",
        "s: 2.0",
    ]


def test_a_pipe_gets_a_row_a_line_and_nothing_else(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = table(HEADER, ROWS, io.StringIO()).splitlines()
    assert len(lines) == 4 and "\x1b" not in "".join(lines)
    assert lines[3].endswith("y" * 90)


@pytest.mark.parametrize("columns", [5, 20, 80])
def test_a_line_is_folded_between_words(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    line = "  ~ change  package docker.io: 20.10 -> 26.1; " + "z" * 100
    lines = screen.fold(line, Terminal()).splitlines()
    assert max(map(len, lines)) <= columns
    assert "".join("".join(lines).split()) == "".join(line.split())
    assert screen.fold(line, io.StringIO()) == line
