"""Starts the process of Ansible before it is known what it is to do.

Ansible takes longer to import than anything that a job without changes does, and so do our own checks and
ansible-runner, one after the other. So the process is there from the first moment, on another core, importing what
does not depend on the job (`ansible_playbook.BEFOREHAND`), and is told the rest by `Started.tell`. Where it is never
told, since the input was wrong, it ends with this process.
"""

import json
import os
import pty
import signal
import sys
from contextlib import suppress
from pathlib import Path

from provisioner.environment import ansible_environment

__all__ = ["PROGRAM", "Started", "begin", "take"]

PROGRAM = [sys.executable, "-P", str(Path(__file__).with_name("ansible_playbook.py"))]
"""The command that Ansible's program is started with. No module of ours (-P) may shadow one of Ansible's."""


class Started:
    """A process that waits to be told, in a terminal of its own: `pid`, and `fd` to that terminal."""

    def __init__(self) -> None:
        wait, self._tell = os.pipe()
        command, environment = [*PROGRAM, "--early", str(wait)], ansible_environment()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
                os.set_inheritable(wait, True)
                os.execve(command[0], command, environment)  # noqa: S606 - a shell would have nothing to do
            finally:
                os._exit(127)
        os.close(wait)

    def tell(self, arguments: list[str], environment: dict[str, str], folder: str) -> None:
        """Have it go on as ansible-playbook with `arguments`, in `folder`; raises OSError where it is gone."""
        told = json.dumps({"arguments": arguments, "environment": environment, "folder": folder})
        with os.fdopen(self._tell, "w", encoding="utf-8") as pipe:
            pipe.write(told)


_started: list[Started] = []


def begin() -> None:
    """Start the process, where none waits already and the system lets us; the next `take` gives it."""
    if not _started:
        with suppress(OSError):
            _started.append(Started())


def take() -> Started | None:
    """Give the process that was started and not taken yet."""
    return _started.pop() if _started else None
