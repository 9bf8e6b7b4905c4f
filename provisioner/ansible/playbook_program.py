"""ansible-playbook, as `provisioner` starts it: Ansible's own program, quicker at its start and at its end.

A job that changes nothing would else spend a tenth of its time on Python's search for garbage, while Ansible is
imported and reads what it needs, and on taking to pieces, object by object, what the end of the process frees at once.
Of Ansible only the entry point of its command is used.
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

    atexit.register(leave)  # before whatever Ansible registers, and so called after it
    gc.disable()
    os.register_at_fork(before=_collect_from_now_on)
    from ansible.cli import playbook  # noqa: PLC0415 - see above

    sys.argv[0] = "ansible-playbook"
    try:
        playbook.main()
    except SystemExit as end:
        code = int(end.code or 0)
        raise


def _collect_from_now_on() -> None:
    """Before the first worker: what is there stays. To search it would make each worker a copy of it."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


if __name__ == "__main__":
    main()
