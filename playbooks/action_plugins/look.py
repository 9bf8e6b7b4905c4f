"""Action `look`: what is not as it is wanted on a host, for several roles in one round trip. See docs/look.md.

The probes travel as they are, in one compressed stream to the host's Python, instead of as a module of Ansible's: no
temporary file there, no question beforehand which Python there is, and nothing of Ansible's to unpack and import.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import marshal
import re
import shlex
import sys
import zlib
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import Any

from ansible import constants as C  # noqa: N812 - as everywhere in Ansible
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

sys.path.append(str(Path(__file__).resolve().parents[2]))  # where the package is not installed
from provisioner import answers
from provisioner.text import printable
from provisioner.worker import asking

PROBES = Path(__file__).parents[1] / "module_utils"

STARTER = (
    "import marshal, sys, zlib; start, *given = marshal.loads(zlib.decompress(sys.stdin.buffer.read())); exec(start)"
)
"""What the host's Python is given as a command; the rest comes through its standard input."""
PLAIN = 2
"""The version of marshal's format that every Python 3 reads: of texts, bytes and containers of them."""

START = '''
import gc, importlib.util, json, os

if sys.version_info < (3, 9):
    sys.exit("Python %d.%d is too old, 3.9 is needed" % sys.version_info[:2])
gc.disable()  # it is soon over, and finds nothing
magic, compiled, sources, wanted = given
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
from ansible.module_utils import provisioner_look

print("\\n" + json.dumps(provisioner_look.looks(json.loads(wanted))), flush=True)
os._exit(0)  # without taking to pieces, one by one, what goes with the process
'''

OFTEN = ("profile",)
"""Variables that many others read: templated once, before them, and not again for each of them."""

NO_PYTHON = "no Python 3 on the host; install it there (apt-get install python3), or set ansible_python_interpreter"


class ActionModule(ActionBase):
    """Looks at one host."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset({"roles"})

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Give the probes' answers; fails with what a probe refuses."""
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        roles = self._task.args.get("roles")
        listed = isinstance(roles, list) and roles and all(isinstance(role, str) for role in roles)
        if not (listed or (isinstance(roles, str) and roles in variables)):
            raise AnsibleActionFail("look needs roles, a list of their names or the name of a variable that has it")
        if not self._connection.has_pipelining:
            raise AnsibleActionFail(f"connection {self._connection.transport} takes no input; use ssh or local")
        program = self._program(roles, variables)
        with asking(self._connection.transport):
            answer = answers.look(self._ask(program, variables))
        return {**result, "changed": False, **answer}

    def _program(self, roles: list[str] | str, variables: dict[str, Any]) -> bytes:
        """What the host's Python is to do. Templating takes longer than looking, so equal hosts share its outcome."""
        # Which roles a variable has is not known before it is templated: then all of them count.
        wanted = [name for name in variables if name.endswith("_wanted")] if isinstance(roles, str) else roles
        names = [roles, *wanted] if isinstance(roles, str) else [f"{role}_wanted" for role in roles]
        settings = read_by([name for name in names if name in variables], variables)
        key = hashlib.sha256(repr((names, sorted(settings.items()))).encode(errors="surrogateescape")).hexdigest()

        def make() -> bytes:
            known = {name: self._templar.template(variables[name]) for name in OFTEN if name in variables}
            self._templar.available_variables = {**variables, **known}
            chosen = self._templar.template(variables[roles]) if isinstance(roles, str) else roles
            return program({role: self._wanted(role, variables) for role in chosen})

        return once(Path(C.DEFAULT_LOCAL_TMP) / f"look-{key}", make)

    def _wanted(self, role: str, variables: dict[str, Any]) -> Any:
        name = f"{role}_wanted"
        if name not in variables:
            raise AnsibleActionFail(f"{name} is not set: look needs the variables of the roles that it looks for")
        return self._templar.template(variables[name])

    def _ask(self, program: bytes, variables: dict[str, Any]) -> Any:
        """Run `program` on the host and give its answer, which may be anything."""
        python = str(self._templar.template(C.config.get_config_value("INTERPRETER_PYTHON", variables=variables)))
        python = "python3" if python.startswith("auto") else python
        words = [self._compute_environment_string(), python, "-ISc", shlex.quote(STARTER)]
        said = self._low_level_execute_command(" ".join(filter(None, words)), in_data=program)
        lines = [line for line in said["stdout"].splitlines() if line.startswith("{")]
        if said["rc"] == 0 and lines:
            return answers.parse(lines[-1])
        lines = [line for text in ("stdout", "stderr") for line in said[text].splitlines() if line.strip()]
        complaint = lines[-1] if lines else f"code {said['rc']}"
        raise AnsibleActionFail(NO_PYTHON if said["rc"] in {126, 127} else f"the look failed: {printable(complaint)}")


def program(wanted: dict[str, Any]) -> bytes:
    """What STARTER reads: START, all probes, and the wanted state of each role.

    The probes travel compiled too, which spares a host whose Python is like this one a third of its work.
    """
    paths = {f"ansible.module_utils.{path.stem}": str(path) for path in PROBES.glob("provisioner_*.py")}
    compiled = {name: SourceFileLoader(name, path).get_code(name) for name, path in paths.items()}
    sources = {"ansible": "", "ansible.module_utils": ""} | {
        name: Path(path).read_text(encoding="utf-8") for name, path in paths.items()
    }
    parts = [START, MAGIC_NUMBER, marshal.dumps(compiled), sources, json.dumps(wanted, default=str)]
    return zlib.compress(marshal.dumps(parts, PLAIN), zlib.Z_BEST_SPEED)


def read_by(names: list[str], variables: dict[str, Any]) -> dict[str, Any]:
    """The variables, as they are before templating, that templating those of `names` may read.

    A template reads a variable by its name, so these are all that its text has words for, and all that those have.
    Where it can make up a name as it goes, nothing less than the host tells what it reads.
    """
    found: dict[str, Any] = {}
    queue = list(names)
    while queue:
        name = queue.pop()
        if name in {"vars", "hostvars", "varnames"}:
            return {"inventory_hostname": variables["inventory_hostname"]}
        if name in variables and name not in found:
            found[name] = variables[name]
            queue.extend(word for text in texts(variables[name]) for word in re.findall(r"[^\W\d]\w*", text))
    return found


def texts(value: Any) -> Iterator[str]:
    """Yield the texts in `value` that may be templates, however deep."""
    if isinstance(value, str):
        if "{" in value:
            yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item)


def once(path: Path, make: Callable[[], bytes]) -> bytes:
    """What `make` gives, made by the first of the processes that come here with this `path`, and read by the others."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            new = path.with_suffix(".new")
            new.write_bytes(make())
            new.rename(path)
        return path.read_bytes()
