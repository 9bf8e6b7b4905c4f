"""Ansible's own commands, imported once: what starts Ansible a hundred times would mostly wait for its imports.

Each call is a process of its own all the same, forked from one that has imported Ansible: it has its own arguments,
folder, umask, environment and output, and ends as the command does.
"""

import atexit
import base64
import functools
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SERVER = """
import json, os, sys
from importlib import import_module
from ansible import constants

command = import_module(f"ansible.cli.{sys.argv[1]}")
for line in sys.stdin:
    given = json.loads(line)
    if not (child := os.fork()):
        os.chdir(given["folder"])
        os.umask(given["umask"])
        os.environ.clear()
        os.environ.update(given["environment"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(given["out"], os.O_WRONLY), 1)
        os.dup2(os.open(given["err"], os.O_WRONLY), 2)
        os.makedirs(constants.DEFAULT_LOCAL_TMP, exist_ok=True)  # each removes it at its end
        sys.argv[1:] = given["arguments"]
        command.main()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@functools.cache
def _server(command: str, settings: frozenset[tuple[str, str]]) -> subprocess.Popen[str]:
    """Start what forks, with these settings of Ansible; it ends with the tests, whose pipe it reads."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, command],
        env=others | {"LC_ALL": "C.UTF-8"} | dict(settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.communicate)
    return server


def run(command: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `ansible-COMMAND` (playbook, inventory) in the present folder, with `environment` besides the present one."""
    variables = os.environ | {"LC_ALL": "C.UTF-8"} | environment
    # Ansible reads its settings when it is imported.
    server = _server(command, frozenset(entry for entry in variables.items() if entry[0].startswith("ANSIBLE_")))
    os.umask(umask := os.umask(0))  # there is no other way to read it
    with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
        given = {"folder": str(Path.cwd()), "umask": umask, "environment": variables, "out": out.name, "err": err.name}
        print(json.dumps(given | {"arguments": [*map(str, arguments)]}), file=server.stdin, flush=True)
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, out.read(), err.read())


def tell(variable: str) -> dict[str, Any]:
    """Return a task that tells what is registered as `variable`; unlike a copy to a file it starts nothing on hosts."""
    told = f"{{{{ [inventory_hostname, {variable}] | to_json | b64encode }}}}"
    return {"ansible.builtin.debug": {"msg": f"told:{told}"}}


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return what that task told of each host."""
    texts = re.findall(r"\btold:([\w+/=]+)", done.stdout)
    return dict(json.loads(base64.b64decode(text)) for text in texts)
