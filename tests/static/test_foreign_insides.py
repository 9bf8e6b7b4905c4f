"""Nothing of these packages that is private is imported, and nothing of them is replaced, here or in the tests.

What a class offers its subclasses (`self._templar` of ActionBase) is theirs to use, and is not looked for.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = subprocess.run(
    ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.py"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
).stdout.split("\0")[:-1]

FOREIGN = ("ansible", "ansible_runner", "pexpect", "ptyprocess", "pip")
PRIVATE = re.compile(r"_(?!_)")
IN_TEXT = re.compile(rf"\b({'|'.join(FOREIGN)})(\.\w+)*\._[a-z]\w*")
"""A private module's name in a text: of a program that is given to another Python, or of what is patched."""
PATCHES = {"setattr", "delattr", "patch", "object", "setitem", "delitem"}


def is_foreign(name: str) -> bool:
    return name.partition(".")[0] in FOREIGN


class Insides(ast.NodeVisitor):
    """Collects what a file does with foreign insides, each as `LINE: what`."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._bound: dict[str, str] = {}

    def visit_Import(self, node: ast.Import) -> None:
        for name in node.names:
            self._imported(node, name.name, name.asname or name.name.partition(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for name in node.names:
            self._imported(node, f"{node.module or ''}.{name.name}", name.asname or name.name)

    def _imported(self, node: ast.stmt, name: str, bound: str) -> None:
        if is_foreign(name):
            self._bound[bound] = name
            if any(PRIVATE.match(part) for part in name.split(".")):
                self._tell(node, f"imports {name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if foreign := self._foreign(node.value):
            if PRIVATE.match(node.attr):
                self._tell(node, f"reads {foreign}.{node.attr}")
            if not isinstance(node.ctx, ast.Load):
                self._tell(node, f"replaces {foreign}.{node.attr}")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in PATCHES and node.args:
            target = node.args[0]
            text = target.value if isinstance(target, ast.Constant) and isinstance(target.value, str) else ""
            if foreign := self._foreign(target) or (text if is_foreign(text) else ""):
                self._tell(node, f"replaces something of {foreign}")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and (match := IN_TEXT.search(node.value)):
            self._tell(node, f"names {match[0]}")

    def _foreign(self, node: ast.expr) -> str:
        """Return the dotted name of what `node` reads, where that was imported from a foreign package; else ''."""
        if isinstance(node, ast.Name):
            return self._bound.get(node.id, "")
        if isinstance(node, ast.Attribute) and (value := self._foreign(node.value)):
            return f"{value}.{node.attr}"
        return ""

    def _tell(self, node: ast.AST, what: str) -> None:
        self.found.append(f"{getattr(node, 'lineno', '?')}: {what}")


def insides(source: str) -> Iterator[str]:
    visitor = Insides()
    visitor.visit(ast.parse(source))
    yield from visitor.found


def test_nobody_elses_insides_are_used():
    files = [ROOT / path for path in FILES if (ROOT / path).exists() and ROOT / path != Path(__file__)]
    found = [
        f"{path.relative_to(ROOT)}:{inside}" for path in files for inside in insides(path.read_text(encoding="utf-8"))
    ]
    assert files and found == []


@pytest.mark.parametrize(
    "source",
    [
        "import ansible._internal",
        "from ansible.utils.collection_loader import _collection_finder",
        "from ansible.config import manager; manager.yaml_load = None",
        "from ansible import constants as C; C.DEFAULT_FORKS += 1",
        "from ansible.executor import playbook_executor as e; setattr(e, 'connection_loader', None)",
        "from ansible_runner.runner import pexpect; pexpect.spawn = None",
        "import pexpect; monkeypatch.setattr(pexpect, 'spawn', None)",
        "mock.patch('ansible.constants.DEFAULT_FORKS', 1)",
        "from ansible.plugins.action.normal import ActionModule as A; monkeypatch.setattr(A, 'run', None)",
        "import ansible.plugins.loader; ansible.plugins.loader._caches",
        "run([python, '-c', 'from pip._internal.configuration import Configuration'])",
    ],
)
def test_what_is_meant(source):
    assert list(insides(source))


@pytest.mark.parametrize(
    "source",
    [
        "from ansible.plugins.action import ActionBase\nclass A(ActionBase):\n    x = self._templar",
        "from ansible_collections.provisioner.gpu_hosts import x; monkeypatch.setattr(x, '_talk', None)",
        "from provisioner.ansible import job; job._job_folder",
    ],
)
def test_what_is_not_meant(source):
    assert list(insides(source)) == []
