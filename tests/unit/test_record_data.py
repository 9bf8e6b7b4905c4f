"""The types of a record as plain data say what the schema says: the same fields, and the same of them required."""

import json
from pathlib import Path
from typing import get_type_hints

import pytest

from provisioner.runs import record_data

SCHEMA = json.loads((Path(record_data.__file__).parents[1] / "schema/scenario-a-1.json").read_text(encoding="utf-8"))
PARTS = {"Record": SCHEMA, **SCHEMA["$defs"]}


def test_each_part_of_the_schema_has_a_type_and_no_other_has():
    assert set(record_data.__all__) == {f"{name}Data" for name in PARTS}


@pytest.mark.parametrize("name", PARTS)
def test_a_type_has_the_fields_of_its_part(name):
    part, of_type = PARTS[name], getattr(record_data, f"{name}Data")
    of_store = {"unverified"} if name == "Record" else set()
    assert set(part["properties"]) == set(of_type.__annotations__) - of_store
    assert set(part.get("required", ())) == of_type.__required_keys__


@pytest.mark.parametrize("name", PARTS)
def test_what_is_unknown_may_be_none_and_a_part_is_of_its_type(name):
    hints = get_type_hints(getattr(record_data, f"{name}Data"))
    for field, what in PARTS[name]["properties"].items():
        said = json.dumps(what)
        assert ('"null"' in said) == any(word in str(hints[field]) for word in ("None", "Optional")), field
        parts = {part for part in PARTS if f'"#/$defs/{part}"' in said}
        assert parts == {part for part in PARTS if f".{part}Data" in str(hints[field])}, field
