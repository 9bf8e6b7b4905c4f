"""What a name means: options have types below the commands, and no two classes of the package have one name."""

import ast
import re
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "provisioner"
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "data")
OF_COMMAND_LINE = {"commands", "command_line"}
"""Where arguments are what argparse made of them; from there on they are typed options."""
TWICE = {"Compile"}
"""What the audit reads of the evidence, and the part of a record: that is a name in the schema."""


def test_no_namespace_below_the_commands():
    below = [path for path in SOURCES if path.relative_to(PACKAGE).parts[0] not in OF_COMMAND_LINE]
    assert [str(path) for path in below if re.search(r"\bNamespace\b", path.read_text(encoding="utf-8"))] == []


def test_no_two_classes_have_one_name():
    found = defaultdict(list)
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(str(path.relative_to(PACKAGE)))
    assert {name: paths for name, paths in found.items() if len(paths) > 1 and name not in TWICE} == {}
