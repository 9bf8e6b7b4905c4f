"""What is templated once for the hosts that cannot differ in it, which takes longer than asking them: docs/look.md."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible import constants as C  # noqa: N812 - as everywhere in Ansible
from ansible.template import Templar, is_trusted_as_template, trust_as_template

__all__ = ["all_that_is_read", "once_for_all", "shipped", "template_often", "warm_up"]

COLLECTION = Path(__file__).parents[2]

OFTEN = ("profile", "provisioner_runtime")
"""Variables that many others read, each also what is after it: templated once, and not again for each of those."""
FILES = (
    "roles/*/defaults/**/*.yml",
    "roles/*/vars/**/*.yml",
    "playbooks/group_vars/all.yml",
    "playbooks/prepare.yml",
)
"""What gives the hosts of a play of ours variables, below COLLECTION."""
TEMPLATE_FILE = "lookup('ansible.builtin.template'"
"""What reads variables that its text does not name."""


def once_for_all(
    names: Iterable[str], variables: Mapping[str, Any], make: Callable[[], dict[str, Any]], *further: Any
) -> str:
    """Return, as JSON, what `make` templates of the variables `names`; hosts that cannot differ in it share one.

    What `make` gives depends on these variables and on `further`, and on nothing else.
    """
    names = list(names)
    same = all_that_is_read(names, variables)
    if same is None:
        return _text(make())
    key = hashlib.sha256(json.dumps([further, names, same]).encode(errors="surrogateescape")).hexdigest()
    return _once(Path(C.DEFAULT_LOCAL_TMP) / f"same-{key}", lambda: _text(make()))


def template_often(templar: Templar, variables: Mapping[str, Any]) -> None:
    """Have `templar` know what the variables are that many others read, which it would template for each of those."""
    known: dict[str, Any] = {}
    for name in itertools.takewhile(variables.__contains__, OFTEN):
        known[name] = templar.template(variables[name])
        templar.available_variables = {**variables, **known}


@functools.cache
def shipped() -> frozenset[str]:
    """Return the texts that the collection's roles, group_vars and plays give variables.

    Those of them that are templates read variables by their names, and nothing else that differs from host to host.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    files = [path for pattern in FILES for path in COLLECTION.glob(pattern)]
    found = (text for path in files for text in _texts(yaml.load(path.read_bytes(), loader)))  # noqa: S506
    return frozenset(text for text in found if TEMPLATE_FILE not in text)


def warm_up() -> None:
    """Have this process load what any template takes: Jinja's parser, and Ansible's filters and tests.

    What it has before it forks its workers, they share; else each would load its own: 1 MB and 6 ms of CPU for each.
    """
    Templar().template(trust_as_template("{{ true if false | bool or none is defined else false }}"))


def all_that_is_read(names: Iterable[str], variables: Mapping[str, Any]) -> str | None:
    """Return, as a text to compare, the variables that templating those of `names` reads, as they are before it.

    A template that we ship reads what its text has words for, and what those read. What another's reads nobody can
    tell (a file's variables, `hostvars`, a plugin's): then the host is one of its own, and this is None. So it is
    where a value is none of JSON's, such as a vault's.
    """
    found: dict[str, Any] = {}
    queue = list(names)
    while queue:
        name = queue.pop()
        if name not in variables or name in found:
            continue
        found[name] = variables[name]
        for text in _texts(variables[name]):
            if text not in shipped() or not is_trusted_as_template(text):
                return None
            queue.extend(re.findall(r"[^\W\d]\w*", text))
    try:
        json.dumps(found)
    except (TypeError, ValueError):
        return None
    return repr(sorted(found.items()))  # which also tells 1 from "1" where JSON's keys do not


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in `value` that may be templates, however deep."""
    if isinstance(value, str):
        if "{" in value:
            yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, default=str)


def _once(path: Path, make: Callable[[], str]) -> str:
    """Return what `make` gives, made by the first of the processes that come here with this `path`."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            new = path.with_suffix(".new")
            new.write_text(make(), encoding="utf-8")
            new.rename(path)
        return path.read_text(encoding="utf-8")
