"""The package has rooms: nothing lies loose beside the command line, and rooms depend on each other one way."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "provisioner"
LOOSE = {"__init__", "__main__", "cli", "errors"}
ROOMS = (
    *("text", "errors", "system", "runs", "audit", "signatures", "upstream", "ansible", "offline", "store"),
    *("lab", "view", "comparison", "report", "command_line", "cli", "commands", "__main__"),
)
"""From the lowest to the highest: each imports from those before it alone."""


def modules() -> dict[str, Path]:
    paths = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "data"]
    return {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in paths}


def imported(path: Path) -> set[str]:
    """All that a module imports of the package, at its top, in a function or for types alone, by the whole name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports say the whole name"
            names = [f"{node.module}.{name}" for name in names]
        found |= {name for name in names if name.startswith("provisioner.")}
    return found


def rooms_of(path: Path) -> set[str]:
    """The rooms that a module imports from."""
    return {name.split(".")[1] for name in imported(path)} & set(ROOMS)


def test_nothing_lies_loose() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == LOOSE


def test_rooms_depend_on_each_other_one_way() -> None:
    up = [
        f"{name} imports from {other}"
        for name, path in modules().items()
        if (room := name.split(".")[1]) in ROOMS
        for other in rooms_of(path) - {room}
        if ROOMS.index(other) > ROOMS.index(room)
    ]
    assert not up, "see ROOMS above"


def test_modules_depend_on_each_other_one_way() -> None:
    known = {name.removesuffix(".__init__"): path for name, path in modules().items()}
    # What is imported is a module, or of one.
    graph = {
        name: {other if other in known else other.rpartition(".")[0] for other in imported(path)} - {name}
        for name, path in known.items()
    }
    assert set(TopologicalSorter(graph).static_order()) >= set(known), "static_order() says where a circle is"


def test_each_room_says_what_is_in_it() -> None:
    folders = [PACKAGE / room for room in ROOMS if (PACKAGE / room).is_dir()]
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__", "data", "schema"} == {
        folder.name for folder in folders
    }
    for folder in folders:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))), folder
