"""What an action of ours does in the process that Ansible has made for one task on one host."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ansible.errors import AnsibleActionFail

from provisioner.ansible.answers import WrongAnswerError
from provisioner.text import bounds

__all__ = ["asking"]


@contextmanager
def asking(transport: str) -> Iterator[None]:
    """Have a host asked within the bounds: what is wrong with its answer fails the task, and so its host alone.

    `transport` is what the connection calls itself.
    """
    if transport == "ssh":  # programs on this very machine would inherit the limit
        _bound_memory()
    try:
        yield
    except WrongAnswerError as error:
        raise AnsibleActionFail(f"its answer is not what was asked for: {error}; look at the host") from None
    except (MemoryError, RecursionError):
        raise AnsibleActionFail("its answer is larger or deeper than any that is taken; look at the host") from None


def _bound_memory() -> None:
    """Have this process, which ends with its task, take no more than so much beside what it has."""
    with suppress(OSError, ValueError):  # no /proc here, or a lower limit is set already
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + bounds.MEMORY, hard))
