"""ansible-inventory, as `provisioner` starts it: Ansible's own program, quicker at its start and at its end.

Every job waits for it, and a third of its time would go to Python's search for garbage and to taking objects to pieces,
as ansible_playbook.py tells. Of Ansible only the entry point of its command is used.
"""

import atexit
import gc
import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run ansible-inventory with the process's own arguments; ends the process with its exit code."""
    code = 1  # that of an exception which nobody catches

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    atexit.register(leave)  # before what Ansible registers, which removes its temporary folder, and so called after it
    gc.disable()  # it lives for a moment, with a limit on its memory
    from ansible.cli import inventory  # noqa: PLC0415 - see above

    sys.argv[0] = "ansible-inventory"
    try:
        inventory.main()
    except SystemExit as end:
        code = int(end.code or 0)
        raise


if __name__ == "__main__":
    main()
