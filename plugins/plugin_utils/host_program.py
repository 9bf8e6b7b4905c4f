"""Our own code, run by a host's Python in one round trip: what actions `look` and `host_checks` ask with.

It travels as it is, in one compressed stream, instead of as a module of Ansible's: no temporary file there, no question
beforehand which Python there is, and nothing of Ansible's to unpack and import. Where a connection takes no input, the
module of the action's name asks the same. See docs/look.md.
"""

from __future__ import annotations

import functools
import itertools
import marshal
import shlex
import zlib
from importlib.machinery import SourceFileLoader
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import Any, cast

from ansible import constants as C  # noqa: N812 - as everywhere in Ansible
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.package import answers, printable
from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.same_for_hosts import once_for_all, template_often

__all__ = ["PLAIN", "STARTER", "AskingAction", "code", "stream"]

PROBES = Path(__file__).parents[1] / "module_utils"
PACKAGE = "ansible_collections.provisioner.gpu_hosts.plugins.module_utils"

STARTER = (
    "import marshal, sys, zlib; code, *asked = marshal.loads(sys.stdin.buffer.read());"
    " start, *given = marshal.loads(zlib.decompress(code)); exec(start)"
)
"""What the host's Python is given as a command; the rest comes through its standard input."""
PLAIN = 2
"""The version of marshal's format that every Python 3 reads: of texts, bytes and containers of them."""

START = (
    f"STARTER, PACKAGE = {STARTER!r}, {PACKAGE!r}"
    + '''
import gc, importlib.util, json, os

if sys.version_info < (3, 9):
    sys.exit("Python %d.%d is too old, 3.9 is needed" % sys.version_info[:2])
gc.disable()  # the program is short and makes little garbage
magic, compiled, sources = given
compiled = marshal.loads(compiled) if magic == importlib.util.MAGIC_NUMBER else {}


class Ours:
    """Imports what came along, under the names that it has in Ansible's modules."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in sources:
            return importlib.util.spec_from_loader(name, Ours, is_package=sources[name][0])

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        name = module.__name__
        exec(compiled.get(name) or compile(sources[name][1], name, "exec"), module.__dict__)


def again(*words, **question):
    """The answer to another question, of this Python as another user: `words` come before its command."""
    import subprocess

    stream = marshal.dumps((code, json.dumps(question)), 2)
    done = subprocess.run([*words, sys.executable, "-ISc", STARTER], input=stream, capture_output=True)
    lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.startswith("{")]
    if done.returncode == 0 and lines:
        return json.loads(lines[-1])
    said = done.stderr.decode(errors="replace").strip().splitlines() or ["code %d" % done.returncode]
    return {"failed": True, "msg": "the look failed: " + said[-1]}


question = {}
for part in asked:
    question.update(json.loads(part))
sys.meta_path.insert(0, Ours)
program = importlib.import_module(PACKAGE + "." + question.pop("program"))

print("\\n" + json.dumps(program.answer(again, **question)), flush=True)
os._exit(0)  # without freeing objects one by one: the process ends anyway
'''
)

NO_PYTHON = "no Python 3 on the host; install it there (apt-get install python3), or set ansible_python_interpreter"


class AskingAction(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """An action that asks the host by a program of ours."""

    TRANSFERS_FILES = False

    @property
    def _name(self) -> str:
        return str(self._task.action).rpartition(".")[2]

    def question(
        self, variables: dict[str, Any], roles: list[str] | str | None, of: dict[str, Any], **further: Any
    ) -> str:
        """Return a question as JSON: `further`, what the variables in `of` are by its keys, and what `roles` want.

        `roles` may be the name of the variable that has them. Hosts share what can be no other for them.
        """
        # Which roles a variable has is not known before it is templated: then all of them count.
        every = [roles, *(name for name in variables if name.endswith("_wanted"))] if isinstance(roles, str) else []
        names = [*of.values(), *(every or [f"{role}_wanted" for role in roles or ()])]

        def make() -> dict[str, Any]:
            template_often(self._templar, variables)
            asked = {key: self._variable(name, variables) for key, name in of.items()}
            chosen = self._variable(roles, variables) if isinstance(roles, str) else roles or ()
            wanted = {role: self._variable(f"{role}_wanted", variables) for role in chosen}
            return {**further, **asked, "wanted": wanted}

        return once_for_all(names, variables, make, list(of), roles, further)

    def _variable(self, name: str, variables: dict[str, Any]) -> Any:
        if name not in variables:
            raise AnsibleActionFail(
                f"{name} is not set: {self._name} needs the variables of the roles that it looks for"
            )
        return self._templar.template(variables[name])

    def listed_roles(self, variables: dict[str, Any]) -> list[str] | str | None:
        """Return the task's `roles`: their names, or the variable's that has them; None without. Raise for others."""
        roles = self._task.args.get("roles")
        listed = isinstance(roles, list) and roles and all(isinstance(role, str) for role in roles)
        if roles is None or listed or (isinstance(roles, str) and roles in variables):
            return cast("list[str] | str | None", roles)
        raise AnsibleActionFail(
            f"{self._name} needs roles, a list of their names or the name of a variable that has it"
        )

    def answer_of_host(self, program: bytes, variables: dict[str, Any]) -> Any:
        """Run `program` on the host and give its answer, which may be anything; raise AnsibleActionFail."""
        python = str(self._templar.template(C.config.get_config_value("INTERPRETER_PYTHON", variables=variables)))
        python = "python3" if python.startswith("auto") else python
        words = [self._compute_environment_string(), python, "-ISc", shlex.quote(STARTER)]
        said = self._low_level_execute_command(" ".join(filter(None, words)), in_data=program)
        lines = [line for line in said["stdout"].splitlines() if line.startswith("{")]
        if said["rc"] == 0 and lines:
            return answers.parse(lines[-1])
        spoken = [line for text in ("stdout", "stderr") for line in said[text].splitlines() if line.strip()]
        # Of what sudo says the first line is the cause; of what Python says the last.
        of_sudo = [line for line in spoken if "sudo" in line and "unable to resolve host" not in line]
        complaint = next(iter([*of_sudo, *reversed(spoken)]), f"code {said['rc']}")
        missing = said["rc"] in {126, 127} and not of_sudo
        raise AnsibleActionFail(NO_PYTHON if missing else f"the look failed: {printable(complaint)}")


def stream(packed: bytes, *question: str) -> bytes:
    """Return what STARTER reads: the code, and the parts of the question as JSON."""
    return marshal.dumps((packed, *question), PLAIN)


@functools.cache
def code(*folders: str) -> bytes:
    """Return START and all probes, compressed; with them what is in these folders beside them.

    They travel compiled too, which spares a host whose Python is like this one a third of its work.
    """
    paths = [path for folder in (".", *folders) for path in (PROBES / folder).glob("*.py")]
    names = {
        ".".join([PACKAGE, *path.relative_to(PROBES).with_suffix("").parts]).removesuffix(".__init__"): path
        for path in paths
    }
    compiled = {name: SourceFileLoader(name, str(path)).get_code(name) for name, path in names.items()}
    sources = dict.fromkeys(itertools.accumulate(PACKAGE.split("."), "{}.{}".format), (True, ""))
    sources |= {name: (path.stem == "__init__", path.read_text(encoding="utf-8")) for name, path in names.items()}
    parts = [START, MAGIC_NUMBER, marshal.dumps(compiled), sources]
    return zlib.compress(marshal.dumps(parts, PLAIN), zlib.Z_BEST_SPEED)
