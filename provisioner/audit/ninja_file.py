"""ninja's own format, as far as a compile's build.ninja needs it: which command makes which file of what.

See https://ninja-build.org/manual.html#_lexical_syntax. What is included from other files is not looked at.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["LOG_BEFORE_1_12", "Edge", "parse"]

LOG_BEFORE_1_12 = "# ninja log v5"
"""How the log of ninja before 1.12 begins; later ones hash and note times otherwise."""

# A line that ends in an odd number of `$` goes on in the next, less its indentation.
CONTINUED = re.compile(r"(?<!\$)((?:\$\$)*)\$\n[ ]*")
ESCAPED = re.compile(r"\$(?:([$: ])|([\w-]+)|\{([\w.-]+)\})", re.ASCII)
# A path, and what parts of a build statement are parted by.
TOKEN = re.compile(r"(?:\$.|[^\s:|$])+|:|\|\||\|@|\|")
BINDING = re.compile(r"^(\s*)([\w.-]+)\s*=\s*(.*)$", re.ASCII)
UNQUOTED = re.compile(r"[\w+./-]+", re.ASCII)
# An honest command has some kilobytes, and a build file some thousand of them.
LONGEST, MOST = 2**20, 2**25


class Edge(NamedTuple):
    """One build statement: what it makes, of what, and the command that ninja runs for it."""

    outputs: tuple[str, ...]
    inputs: tuple[str, ...]
    command: str

    @property
    def is_cuda(self) -> bool:
        """Whether it compiles CUDA."""
        return any(path.endswith(".cu") for path in self.inputs)


@lru_cache(maxsize=2)
def parse(text: str) -> tuple[Edge, ...]:
    """Return the edges of a build.ninja that run a command, in its order.

    Raise ValueError or LookupError where it is no such file, or more than one.
    """
    variables: dict[str, str] = {}
    rules: dict[str, dict[str, str]] = {}
    statements: list[tuple[str, dict[str, str]]] = []
    bindings: dict[str, str] = {}  # of the rule, build or pool that the last line without indentation began
    for line in CONTINUED.sub(r"\1", text).splitlines():
        binding = BINDING.match(line)
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if binding and binding[1]:
            bindings[binding[2]] = binding[3]
            continue
        bindings = {}
        word, _, rest = line.partition(" ")
        if word == "rule":
            rules[rest.strip()] = bindings
        elif word == "build":
            statements.append((rest, bindings))
        elif binding:
            variables[binding[2]] = _evaluated(binding[3], lambda name: variables.get(name, ""))
    edges: list[Edge] = []
    room = MOST
    for statement, own in statements:
        edges += _edge(statement, own, rules, variables)
        room -= len(edges[-1].command) if edges else 0
        if room < 0:
            raise ValueError("build.ninja has more commands than any compile")
    return tuple(edges)


def _edge(
    statement: str, own: dict[str, str], rules: dict[str, dict[str, str]], variables: dict[str, str]
) -> Iterator[Edge]:
    """Yield the edge of a build statement, unless it runs nothing."""
    tokens = TOKEN.findall(statement)
    colon = tokens.index(":")
    rule = rules.get(tokens[colon + 1], {})

    def of_file(name: str) -> str:
        return _evaluated(own[name], variables.get) if name in own else variables.get(name, "")

    outputs = [_evaluated(path, of_file) for path in _until_bar(tokens[:colon])]
    inputs = [_evaluated(path, of_file) for path in _until_bar(tokens[colon + 2 :])]
    given = {"in": " ".join(map(_quoted, inputs)), "out": " ".join(map(_quoted, outputs))}

    def of_edge(name: str) -> str:
        if name not in given and (name in own or name not in rule):
            given[name] = of_file(name)
        elif name not in given:
            given[name] = ""  # what names itself names nothing
            given[name] = _evaluated(rule[name], of_edge)
        return given[name]

    command = of_edge("command")
    if command:
        implicit = [_evaluated(path, of_file) for path in tokens[:colon] if path != "|"][len(outputs) :]
        yield Edge((*outputs, *implicit), tuple(inputs), command)


def _until_bar(tokens: list[str]) -> list[str]:
    """Return the paths before the first bar: those that $in and $out name."""
    bars = [at for at, token in enumerate(tokens) if token.startswith("|")]
    return tokens[: bars[0]] if bars else tokens


def _evaluated(text: str, value: Callable[[str], str | None]) -> str:
    made = ESCAPED.sub(lambda found: found[1] or value(found[2] or found[3]) or "", text)
    if len(made) > LONGEST:
        raise ValueError("build.ninja has a longer command than any compile")
    return made


def _quoted(path: str) -> str:
    """Return a path as ninja puts it into a command."""
    return path if UNQUOTED.fullmatch(path) else "'" + path.replace("'", "'\\''") + "'"
