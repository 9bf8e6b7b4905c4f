"""Which fields of the records a JMESPath query can see, so that a query over thousands of runs reads no others.

The query's syntax tree is followed with what each part of it is given: the document, its runs, its hosts, a record, or
a field of one. What cannot be followed with certainty counts as seeing everything.
"""

from collections.abc import Mapping
from typing import Any

import jmespath

__all__ = ["fields_of"]

# What a part of a query is given, or gives. Any other text is the name of a record's field, or of a list of them.
DOCUMENT, HOSTS, RUNS, RECORD, NOTHING_MORE = "<document>", "<hosts>", "<runs>", "<record>", "<nothing more>"
ONE_OF = {RUNS: RECORD, HOSTS: RECORD}
MANY_OF = {RECORD: RUNS}

SORTING = {"sort_by": RUNS, "max_by": RECORD, "min_by": RECORD}


def fields_of(expression: str) -> frozenset[str] | None:
    """Return the fields that a query of the document may look at, as FIELD or FIELD.NAME; None for all there are.

    Raises jmespath's own errors where `expression` is not JMESPath.
    """
    tree = jmespath.compile(expression).parsed
    seen = _Seen()
    try:
        seen.use(seen.follow(tree, DOCUMENT))
    except _EverythingError:
        return None
    return frozenset(seen.fields)


class _EverythingError(Exception):
    """The query may look at whole records."""


class _Seen:
    def __init__(self) -> None:
        self.fields: set[str] = set()

    def use(self, value: str) -> None:
        """Note that all of `value` is looked at."""
        if value in {DOCUMENT, HOSTS, RUNS, RECORD}:
            raise _EverythingError
        if value != NOTHING_MORE:
            self.fields.add(value)

    def follow(self, node: Mapping[str, Any], given: str) -> str:  # noqa: PLR0911 - one for each kind of node
        """Return what `node` makes of `given`, and note what it uses on the way."""
        children = node["children"]
        match node["type"]:
            case "field":
                return self._field(node["value"], given)
            case "subexpression" | "index_expression" | "pipe":
                for child in children:
                    given = self.follow(child, given)
                return given
            case "identity" | "current" | "slice":
                return given
            case "index":
                return ONE_OF.get(given, given)
            case "flatten":
                return self.follow(children[0], given)
            case "projection" | "value_projection" | "filter_projection":
                return self._projection(node, given)
            case "function_expression":
                return self._function(node, given)
            case "expref":
                raise _EverythingError  # what it will be given is not known here
        # Comparisons, conditions, lists and mappings: each of their parts is looked at. A literal has none.
        for child in children:
            self.use(self.follow(child, given))
        return NOTHING_MORE

    def _field(self, name: str, given: str) -> str:
        if given == DOCUMENT:
            return {"runs": RUNS, "hosts": HOSTS}.get(name, NOTHING_MORE)
        if given == HOSTS:
            return RECORD
        if given in {RUNS, NOTHING_MORE}:
            return NOTHING_MORE  # a list has no fields
        if "." in name:
            raise _EverythingError  # the index has no such field
        if given == RECORD:
            return name
        self.fields.add(f"{given}.{name}")
        return NOTHING_MORE

    def _projection(self, node: Mapping[str, Any], given: str) -> str:
        children = node["children"]
        many = self.follow(children[0], given)
        if node["type"] == "value_projection" and many != HOSTS:
            self.use(many)
            many = NOTHING_MORE
        one = ONE_OF.get(many, many)
        for condition in children[2:]:
            self.use(self.follow(condition, one))
        result = self.follow(children[1], one)
        return MANY_OF.get(result, result)

    def _function(self, node: Mapping[str, Any], given: str) -> str:
        name, arguments = node["value"], node["children"]
        if name in SORTING and self.follow(arguments[0], given) == RUNS and arguments[1]["type"] == "expref":
            self.use(self.follow(arguments[1]["children"][0], RECORD))
            return SORTING[name]
        for argument in arguments:
            value = self.follow(argument, given)
            if not (name == "length" and value == RUNS):
                self.use(value)
        return NOTHING_MORE
