"""The process that ansible-runner runs Ansible in: the one that was started early, closed as soon as it has ended."""

import os
from contextlib import suppress
from typing import Any

from ansible_runner.runner import pexpect
from ptyprocess import PtyProcess

from provisioner import early

__all__ = ["use_ours"]


class Child(pexpect.spawn):  # type: ignore[misc] # pexpect has no types
    """pexpect's child, but started already and closed without a pause, where that can be."""

    def _spawnpty(self, args: list[bytes], **options: Any) -> Any:
        """Give the process with its terminal; what pexpect calls for that."""
        program, arguments = [os.fsdecode(arg) for arg in args[:3]], [os.fsdecode(arg) for arg in args[3:]]
        if program == early.PROGRAM and (started := early.take()):
            with suppress(OSError):  # it was killed: then one is started now
                process = PtyProcess(started.pid, started.fd)
                process.setwinsize(24, 80)
                process.setecho(options["echo"])
                started.tell(arguments, options["env"], options["cwd"])
                return process
        return super()._spawnpty(args, **options)

    def close(self, force: bool = True) -> None:
        """Close the connection to the process; pexpect waits 0.1 s here, in case its process is about to end."""
        if not self.isalive():
            self.ptyproc.delayafterclose = 0
        super().close(force)


def use_ours() -> None:
    """Have ansible-runner take Child: it lets nobody choose."""
    pexpect.spawn = Child
