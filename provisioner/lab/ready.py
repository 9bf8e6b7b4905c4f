"""Waits until hosts let us in and have finished booting."""

import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from provisioner.errors import Exit, ProvisionerError
from provisioner.lab.access import ssh_command
from provisioner.lab.model import LabHost, Report

__all__ = ["wait_until_ready"]

BASE_WAIT = 60.0  # s for one host; several that boot at once share this machine's cores
WAIT_PER_HOST = 5.0  # s more for each
PAUSE = 0.3  # s between two rounds of asking

BOOTED = ("running", "degraded")
ANSWER = "answer:"
# The first line ends what the login's shell may have said, as in the dress talkative-shell.
QUESTION = f"echo; echo {ANSWER}; systemctl is-system-running --wait; systemctl list-units --failed --plain --no-legend"


def wait_until_ready(hosts: Sequence[LabHost], folder: Path, report: Report) -> None:
    """Return once each host answers over SSH, its boot over; say so of each as it happens.

    Asking is the real login, by the key and the host key that the inventory names. Raise ProvisionerError (code 3)
    when some do not answer in time.
    """
    started = time.monotonic()
    deadline = started + BASE_WAIT + WAIT_PER_HOST * len(hosts)
    waiting = {host.name: host for host in hosts}
    said = dict.fromkeys(waiting, "no answer yet")
    while waiting:
        with _asked(waiting.values(), folder) as asked:
            for name, question in asked.items():
                answer, error = _answer(question, deadline)
                if not answer or answer[0] not in BOOTED:
                    said[name] = error or " ".join(answer) or said[name]
                    continue
                took = time.monotonic() - started
                report(f"{name} answers at {waiting.pop(name).address} ({took:.1f} s)")
                if failed := [line.split()[0] for line in answer[1:]]:
                    report(f"{name}: these units failed: {', '.join(failed)}")
        if waiting and time.monotonic() > deadline:
            name = next(iter(waiting))
            others = f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
            raise ProvisionerError(
                f"no answer over SSH within {deadline - started:.0f} s from {name} ({said[name]}){others}",
                "look at the load of this machine, and at the engine's log",
                Exit.UNREACHABLE,
            )
        if waiting:
            time.sleep(PAUSE)


@contextmanager
def _asked(hosts: Iterable[LabHost], folder: Path) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Ask all hosts at once; give the questions by host, which end with the context."""
    asked = {host.name: _ask(host, folder) for host in hosts}
    try:
        yield asked
    finally:
        for question in asked.values():
            question.kill()
            question.communicate()


def _ask(host: LabHost, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*ssh_command(folder, host), QUESTION],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _answer(question: subprocess.Popen[str], deadline: float) -> tuple[list[str], str]:
    """Return the lines of an answer, and the last line of what ssh had to complain of."""
    try:
        out, err = question.communicate(timeout=max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return [], "it lets us in, but its boot does not end"
    return out.rpartition(f"{ANSWER}\n")[2].splitlines(), (err.strip().splitlines() or [""])[-1]
