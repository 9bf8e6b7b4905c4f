"""One of Ansible's programs, as `provisioner` starts it: `program.py playbook …`, quicker at its start and its end.

Python's garbage collection while Ansible is imported, and the freeing of objects one by one at the end, would take a
tenth of the time of a job that changes nothing, and a third of reading an inventory, for which every job waits. Only
the entry point of Ansible's command is used.
"""

import atexit
import gc
import importlib
import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run the program `ansible-NAME` with the arguments after NAME; ends the process with its exit code."""
    name = sys.argv.pop(1)
    code = 1  # that of an exception which nobody catches

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    atexit.register(leave)  # before what Ansible registers, which removes its temporary folder, and so called after it
    gc.disable()
    os.register_at_fork(before=_collect_from_now_on)
    program = importlib.import_module(f"ansible.cli.{name}")

    sys.argv[0] = f"ansible-{name}"
    try:
        program.main()
    except SystemExit as end:
        code = int(end.code or 0)
        raise


def _collect_from_now_on() -> None:
    """Have Python's garbage collector skip what is there before the first worker, which would copy what is searched."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


if __name__ == "__main__":
    main()
