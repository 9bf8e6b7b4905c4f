"""Action `look`: what is not as it is wanted on a host, for several roles in one round trip. See docs/look.md.

The module of this name asks the same probes. Here they travel as they are, in one compressed stream to the host's
Python, instead of as a module of Ansible's: no temporary file there, no question beforehand which Python there is, and
nothing of Ansible's to unpack and import. Where a connection takes no input, the module is run.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import itertools
import json
import marshal
import re
import shlex
import zlib
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import Any

import yaml
from ansible import constants as C  # noqa: N812 - as everywhere in Ansible
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.template import is_trusted_as_template

from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.package import answers, asking, printable

COLLECTION = Path(__file__).parents[2]
PROBES = COLLECTION / "plugins" / "module_utils"
PACKAGE = "ansible_collections.provisioner.gpu_hosts.plugins.module_utils"

STARTER = (
    "import marshal, sys, zlib; code, asked = marshal.loads(sys.stdin.buffer.read());"
    " start, *given = marshal.loads(zlib.decompress(code)); exec(start)"
)
"""What the host's Python is given as a command; the rest comes through its standard input."""
PLAIN = 2
"""The version of marshal's format that every Python 3 reads: of texts, bytes and containers of them."""

START = '''
import gc, importlib.util, json, os

if sys.version_info < (3, 9):
    sys.exit("Python %d.%d is too old, 3.9 is needed" % sys.version_info[:2])
gc.disable()  # it is soon over, and finds nothing
magic, compiled, sources = given
compiled = marshal.loads(compiled) if magic == importlib.util.MAGIC_NUMBER else {}


class Probes:
    """Imports what came along, under the names that it has in Ansible's modules."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in sources:
            return importlib.util.spec_from_loader(name, Probes, is_package=not sources[name])

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        name = module.__name__
        exec(compiled.get(name) or compile(sources[name], name, "exec"), module.__dict__)


sys.meta_path.insert(0, Probes)
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import look

print("\\n" + json.dumps(look.looks(**json.loads(asked))), flush=True)
os._exit(0)  # without taking to pieces, one by one, what goes with the process
'''

OFTEN = ("profile", "provisioner_runtime")
"""Variables that many others read, each also what is after it: templated once, and not again for each of those."""

NO_PYTHON = "no Python 3 on the host; install it there (apt-get install python3), or set ansible_python_interpreter"


class ActionModule(ActionBase):
    """Looks at one host."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset({"roles", "busy", "log", "fact"})

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Give the probes' answers; fails with what a probe refuses."""
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        roles = self._task.args.get("roles")
        listed = isinstance(roles, list) and roles and all(isinstance(role, str) for role in roles)
        if not (listed or (isinstance(roles, str) and roles in variables)):
            raise AnsibleActionFail("look needs roles, a list of their names or the name of a variable that has it")
        asked = self._asked(roles, variables)
        ask = self._ask if self._connection.has_pipelining else self._ask_by_module
        with asking(self._connection.transport):
            answer = answers.look(ask(asked, variables))
        return {**result, "changed": False, **answer}

    def _asked(self, roles: list[str] | str, variables: dict[str, Any]) -> bytes:
        """Return the arguments of `looks`, as JSON; `roles` may name the variable that has them.

        Templating takes longer than looking, so hosts share its outcome where it can be no other.
        """
        given = self._task.args
        options = {
            name: str(given.get(of) or "") for name, of in (("when_busy", "busy"), ("log", "log"), ("fact", "fact"))
        }

        def make() -> bytes:
            known: dict[str, Any] = {}
            for name in itertools.takewhile(variables.__contains__, OFTEN):
                known[name] = self._templar.template(variables[name])
                self._templar.available_variables = {**variables, **known}
            chosen = self._templar.template(variables[roles]) if isinstance(roles, str) else roles
            wanted = {role: self._wanted(role, variables) for role in chosen}
            return json.dumps({"wanted": wanted, **options}, default=str).encode()

        # Which roles a variable has is not known before it is templated: then all of them count.
        wanted = [name for name in variables if name.endswith("_wanted")] if isinstance(roles, str) else roles
        names = [roles, *wanted] if isinstance(roles, str) else [f"{role}_wanted" for role in roles]
        same = all_that_is_read(names, variables)
        if same is None:
            return make()
        key = hashlib.sha256(json.dumps([options, names, same]).encode(errors="surrogateescape")).hexdigest()
        return once(Path(C.DEFAULT_LOCAL_TMP) / f"look-{key}", make)

    def _wanted(self, role: str, variables: dict[str, Any]) -> Any:
        name = f"{role}_wanted"
        if name not in variables:
            raise AnsibleActionFail(f"{name} is not set: look needs the variables of the roles that it looks for")
        return self._templar.template(variables[name])

    def _ask_by_module(self, asked: bytes, variables: dict[str, Any]) -> Any:
        """Have the module of this name look, and give its answer."""
        given = json.loads(asked)
        options = {"busy": given["when_busy"], "log": given["log"], "fact": given["fact"]}
        arguments = {"roles": list(given["wanted"]), "wanted": given["wanted"]}
        arguments |= {name: value for name, value in options.items() if value}
        return self._execute_module("provisioner.gpu_hosts.look", arguments, task_vars=variables)

    def _ask(self, asked: bytes, variables: dict[str, Any]) -> Any:
        """Have the host's Python look, and give its answer, which may be anything."""
        python = str(self._templar.template(C.config.get_config_value("INTERPRETER_PYTHON", variables=variables)))
        python = "python3" if python.startswith("auto") else python
        words = [self._compute_environment_string(), python, "-ISc", shlex.quote(STARTER)]
        given = marshal.dumps((code(), asked), PLAIN)
        said = self._low_level_execute_command(" ".join(filter(None, words)), in_data=given)
        lines = [line for line in said["stdout"].splitlines() if line.startswith("{")]
        if said["rc"] == 0 and lines:
            return answers.parse(lines[-1])
        spoken = [line for text in ("stdout", "stderr") for line in said[text].splitlines() if line.strip()]
        # Of what sudo says the first line is the cause; of what Python says the last.
        of_sudo = [line for line in spoken if "sudo" in line and "unable to resolve host" not in line]
        complaint = next(iter([*of_sudo, *reversed(spoken)]), f"code {said['rc']}")
        missing = said["rc"] in {126, 127} and not of_sudo
        raise AnsibleActionFail(NO_PYTHON if missing else f"the look failed: {printable(complaint)}")


@functools.cache
def code() -> bytes:
    """Return START and all probes, compressed.

    The probes travel compiled too, which spares a host whose Python is like this one a third of its work.
    """
    paths = {f"{PACKAGE}.{path.stem}": str(path) for path in PROBES.glob("*.py")}
    compiled = {name: SourceFileLoader(name, path).get_code(name) for name, path in paths.items()}
    sources = dict.fromkeys(itertools.accumulate(PACKAGE.split("."), "{}.{}".format), "")
    sources |= {name: Path(path).read_text(encoding="utf-8") for name, path in paths.items()}
    parts = [START, MAGIC_NUMBER, marshal.dumps(compiled), sources]
    return zlib.compress(marshal.dumps(parts, PLAIN), zlib.Z_BEST_SPEED)


@functools.cache
def shipped() -> frozenset[str]:
    """Return the texts that this checkout's roles, group_vars and plays give variables.

    Those of them that are templates read variables by their names, and nothing else that differs from host to host.
    """
    folders = [COLLECTION / "roles/wanted" / kind / "main" for kind in ("defaults", "vars")]
    files = [path for folder in folders for path in folder.glob("*.yml")]
    files += [COLLECTION / "playbooks" / name for name in ("group_vars/all.yml", "prepare.yml")]
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return frozenset(text for path in files for text in texts(yaml.load(path.read_bytes(), loader)))  # noqa: S506


def all_that_is_read(names: list[str], variables: dict[str, Any]) -> str | None:
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
        for text in texts(variables[name]):
            if text not in shipped() or not is_trusted_as_template(text):
                return None
            queue.extend(re.findall(r"[^\W\d]\w*", text))
    try:
        json.dumps(found)
    except (TypeError, ValueError):
        return None
    return repr(sorted(found.items()))  # which also tells 1 from "1" where JSON's keys do not


def texts(value: Any) -> Iterator[str]:
    """Yield the texts in `value` that may be templates, however deep."""
    if isinstance(value, str):
        if "{" in value:
            yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts(key)
            yield from texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item)


def once(path: Path, make: Callable[[], bytes]) -> bytes:
    """Return what `make` gives, made by the first of the processes that come here with this `path`."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            new = path.with_suffix(".new")
            new.write_bytes(make())
            new.rename(path)
        return path.read_bytes()


# Ansible loads this plugin before it forks a worker for each host: all of them have these from here.
code()
shipped()
