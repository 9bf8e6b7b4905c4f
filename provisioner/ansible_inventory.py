"""ansible-inventory, as `provisioner` starts it: Ansible's own program, quicker at its start and at its end.

Every job waits for it, and a third of its time would go to Python's search for garbage and to taking objects to pieces,
as ansible_playbook.py tells. Of Ansible only the entry point of its command is used.
"""

import gc
import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run ansible-inventory with the process's own arguments; ends the process with its exit code."""
    gc.disable()  # it lives for a moment, with a limit on its memory
    from ansible.cli import inventory  # noqa: PLC0415 - see above

    sys.argv[0] = "ansible-inventory"
    try:
        inventory.main()
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(end.code or 0))


if __name__ == "__main__":
    main()
