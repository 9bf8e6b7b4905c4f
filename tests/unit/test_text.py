"""Texts of others are shown, never obeyed."""

import json

import pytest
from formatted import rendered

from provisioner.errors import ProvisionerError
from provisioner.report.formats import csv, yaml
from provisioner.text import jsontext
from provisioner.text.display import printable
from provisioner.view.tables import table

HOSTILE = "a\x1b[2J\nprovisioner: h1: fine\r\x9b1m\u202e\u2066\u200b\x00\x7f\ud800\u2028z"


def test_a_hostile_text_is_one_line_without_what_a_terminal_obeys():
    shown = printable(HOSTILE)
    assert shown.isprintable() and shown.startswith("a\\x1b[2J provisioner") and shown.endswith(" z")
    assert printable("grün 9 µs 日本") == "grün 9 µs 日本"


@pytest.mark.parametrize("text", ["x" * 501, "\x1b" * 400, "x" * 10**7])
def test_a_line_has_a_length(text):
    assert len(printable(text)) == 500 and printable(text).endswith("…")


def test_a_cell_is_a_line():
    lines = table([HOSTILE, "b"], [[HOSTILE, 1.0], ["x", None]]).splitlines()
    assert len(lines) == 3 and all(line.isprintable() for line in lines)


def test_an_error_is_a_line():
    said = str(ProvisionerError(f"--limit {HOSTILE} matches no host", "x" * 10**6))
    assert said.isprintable() and len(said) < 5000


def test_json_has_what_json_has():
    value = {"a": [float("nan"), float("inf"), 1.5], "text": HOSTILE}
    said = jsontext.dumps(value)
    assert json.loads(said) == {"a": [None, None, 1.5], "text": HOSTILE}
    assert said.isascii() and "\x1b" not in said
    assert jsontext.dumps({"é": "ü"}) == '{\n  "é": "ü"\n}'
    for text in ("[NaN]", "[1e999]", "[" * 100_000, '{"a": -Infinity}'):
        with pytest.raises(ValueError):
            jsontext.loads(text)


def test_yaml_obeys_nothing():
    said = rendered(yaml, [{"host": "é\x9b\u202e"}])
    assert "\x9b" not in said and "\u202e" not in said
    assert "é" in rendered(yaml, ["é"])


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1"])
def test_a_spreadsheet_computes_nothing(text):
    (row,) = rendered(csv, [{"a": text, "b": -1.5}]).splitlines()[1:]
    assert row.strip('"').startswith("'") and row.endswith(",-1.5")


def test_a_column_that_a_host_named_is_disarmed_too():
    assert rendered(csv, [{"=cmd()": 1}]).splitlines()[0] == "'=cmd()"
