"""What a name means: options have types below the commands, and no two classes of the package have one name."""

import re
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "provisioner"
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "data")
OF_COMMAND_LINE = {"commands", "command_line"}
"""Where arguments are what argparse made of them; from there on they are typed options."""


def test_no_namespace_below_the_commands():
    below = [path for path in SOURCES if path.relative_to(PACKAGE).parts[0] not in OF_COMMAND_LINE]
    assert [str(path) for path in below if re.search(r"\bNamespace\b", path.read_text(encoding="utf-8"))] == []
