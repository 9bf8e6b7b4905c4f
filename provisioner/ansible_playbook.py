"""ansible-playbook, as `provisioner` starts it: Ansible's own program, quicker at its start and at its end.

A job that changes nothing would spend a tenth of its time on what this leaves out: Python's search for garbage while
all of Ansible is imported, where there is none, and its taking to pieces, one by one, of what the end of the process
frees at once.
"""

import atexit
import gc
import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run ansible-playbook with the process's own arguments; ends the process with its exit code."""
    code = 1  # that of an exception which nobody catches

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    atexit.register(leave)  # the first that is registered is the last that is called
    gc.disable()
    from ansible.cli import playbook  # noqa: PLC0415 - what is imported before the line above is cleared up before it

    gc.freeze()  # what was imported stays: it need not be searched, nor copied into each worker for that
    gc.enable()
    sys.argv[0] = "ansible-playbook"
    try:
        playbook.main()
    except SystemExit as end:
        code = int(end.code or 0)
        raise


if __name__ == "__main__":
    main()
