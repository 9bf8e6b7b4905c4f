"""Has the process that ansible-runner starts closed as soon as it has ended."""

from ansible_runner.runner import pexpect

__all__ = ["close_at_once"]


class Child(pexpect.spawn):  # type: ignore[misc] # pexpect has no types
    """pexpect's child, which waits 0.1 s when it is closed, in case its process is about to end."""

    def close(self, force: bool = True) -> None:
        """Close the connection to the process; without a pause where that has ended already."""
        if not self.isalive():
            self.ptyproc.delayafterclose = 0
        super().close(force)


def close_at_once() -> None:
    """Have ansible-runner take Child: it lets nobody choose."""
    pexpect.spawn = Child
