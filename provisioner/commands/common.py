"""What several commands say in the same way."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from provisioner.ansible import failed_hosts
from provisioner.errors import Exit, ProvisionerError
from provisioner.store.selection import EVERYTHING, Selection
from provisioner.text import bounds, jsontext, ranges
from provisioner.text.display import counted, printable
from provisioner.text.suggestions import did_you_mean
from provisioner.view import alike, screen

if TYPE_CHECKING:  # commands that only read the store need not pay for them
    from collections.abc import Iterable, Sized

    from provisioner.ansible.job import Job
    from provisioner.ansible.rollout import Rollout
    from provisioner.ansible.target import Target
    from provisioner.store import Store

__all__ = [
    "explain",
    "print_json",
    "raise_if_stopped",
    "remember_failures",
    "say",
    "say_each",
    "say_looks",
    "say_not_begun",
    "say_plain",
    "say_recovered",
    "say_restarts",
    "say_retry",
    "say_why_none",
    "worst",
]


SECONDS_TO_ANSWER = 10
"""Of a command that only asks for runs: a host that takes longer to let us in counts as one that does not answer."""
ATTACHES = "the same command attaches to it again, and `provisioner cancel` stops it"
"""What is said of a run that goes on without its command."""


def say(line: str) -> None:
    """Tell a person something, on one line: on stderr, where it is in no program's way. A terminal has it folded."""
    print(screen.fold(f"provisioner: {printable(line, bounds.LINE)}", sys.stderr), file=sys.stderr, flush=True)


def say_plain(line: str) -> None:
    """Tell a person something that belongs to the line before it, as say() does but without the prefix."""
    print(screen.fold(printable(line, bounds.LINE), sys.stderr), file=sys.stderr)


def say_each(said: Iterable[tuple[str, str]]) -> None:
    """Tell a person what there is to tell of hosts, pairs of host and text; on a terminal what is alike is one line."""
    if screen.wide(sys.stderr):
        for text, hosts in alike.lines(said):
            say(f"{ranges.brief(hosts)}: {text}")
    else:
        for host, text in said:
            say(f"{host}: {text}")


def print_json(value: Any) -> None:
    """Print the result of a command for a program: on stdout, alone."""
    print(jsontext.dumps(value))


def raise_if_stopped(job: Job) -> None:
    """Raise ProvisionerError where a job was interrupted, its inputs were wrong or Ansible itself failed."""
    if job.interrupted:
        if job.running:
            where = ", ".join(f"{host} (run {run_id})" for host, run_id in sorted(job.running.items()))
            raise ProvisionerError(
                f"interrupted; the run goes on detached on {where}",
                ATTACHES,
                Exit.INTERRUPTED,
            )
        # Which runs are there nobody knows of a host that was not asked yet.
        raise ProvisionerError(
            "interrupted; no run was seen to begin",
            "one that was there before goes on: see `provisioner status`, or stop it by `provisioner cancel`",
            Exit.INTERRUPTED,
        )
    if job.invalid:
        raise ProvisionerError(job.invalid, code=Exit.BAD_INPUT)
    if job.error:
        raise ProvisionerError(job.error, f"Ansible's own output is in {job.log}", Exit.FAILED)


def explain(job: Job, told: frozenset[str] = frozenset()) -> None:
    """Say for each host that failed why it did; not for those in `told`, of which more is known."""
    said = []
    for name in sorted(job.failed):
        host = job.hosts[name]
        if host.failure is None:
            said.append((name, "failed"))
        elif host.unreachable:
            said.append((name, f"unreachable: {host.failure.message}"))
            if name in job.running:
                said.append((name, f"run {job.running[name]} goes on there; {ATTACHES}"))
        elif name not in told:
            said.append((name, f"failed in '{host.failure.task}': {host.failure.message}"))
    say_each(said)
    if job.failed:
        say(f"Ansible's own output is in {job.log}")


def remember_failures(target: Target, job: Job) -> None:
    """Remember what did not go well, for --limit @failed; where that cannot be kept, the result matters more."""
    try:
        failed_hosts.remember(target, job)
    except ProvisionerError as error:
        say(f"{error}; --limit {failed_hosts.FAILED} will not know how this went")


def worst(jobs: Iterable[Job]) -> Exit:
    """Return the exit code of several jobs: the first of these that one of them has."""
    codes = {job.code for job in jobs}
    order = (Exit.INTERRUPTED, Exit.BAD_INPUT, Exit.FAILED, Exit.UNREACHABLE)
    return next((code for code in order if code in codes), Exit.DONE)


def say_not_begun(rollout: Rollout) -> None:
    """Say which hosts no batch has begun, and how to go on with them; with --batch only. They are remembered."""
    if not rollout.sizes:
        return
    try:
        failed_hosts.remember_not_begun(rollout.target, rollout.not_begun)
    except ProvisionerError as error:
        say(f"{error}; --limit {failed_hosts.NOT_BEGUN} will not know which hosts were not begun")
    if rollout.not_begun:
        which = ", ".join(ranges.folded(rollout.not_begun))
        failed = f"{counted(len(rollout.failed), 'host')} failed; " if rollout.failed else ""
        say(f"{failed}not begun: {which}; the same command with --limit {failed_hosts.NOT_BEGUN} goes on with them")


def say_retry(*jobs: Job) -> None:
    """Say how to do the same again where it did not go well, if it went well somewhere."""
    hosts = {name for job in jobs for name in job.hosts}
    bad = {name for job in jobs for name in job.failed}
    if bad and len(bad) < len(hosts):
        say(f"the same command with --limit {failed_hosts.FAILED} does it again where it did not go well")


def say_looks(job: Job) -> None:
    """Say which roles are not for which hosts; what else there is to know was said as it was seen."""
    skipped: dict[str, dict[str, list[str]]] = {}
    for name, looks in sorted(job.looks.items()):
        for look in looks.values():
            if look.skipped:
                skipped.setdefault(look.skipped, {}).setdefault(name, []).append(look.role)
    for reason, hosts in skipped.items():
        roles = sorted({role for skipping in hosts.values() for role in skipping})
        who = alike.counted(list(hosts)) if screen.wide(sys.stderr) else ", ".join(hosts)
        say(f"{who}: {reason}; skipped: {', '.join(roles)}")


def say_recovered(job: Job) -> None:
    """Say which earlier runs came along that nobody had collected."""
    said = []
    for found in job.recovered:
        for run in found.runs:
            where = f" in {run['phase']}" if run.get("phase") else ""
            what = run.get("error") or f"run {run['run_id']} {run['outcome']}{where}: not collected before, kept now"
            said.append((found.host, what))
    say_each(said)


def say_restarts(job: Job, target: Target) -> None:
    """Say which hosts want a restart; provisioner restarts none, least of all the machine that it runs on."""
    which = dict.fromkeys(target.local, "this machine, which provisioner never restarts")
    say_each(
        (name, f"its packages or its driver want a restart; restart {which.get(name, 'it')}, then run this again")
        for name, host in sorted(job.hosts.items())
        if host.reboot_required
    )


def say_why_none(store: Store, which: Selection, found: Sized) -> None:
    """Say what the store warns of, and why no run was found where none was.

    Raise ProvisionerError (code 2) where it is for a host that there never was one on.
    """
    for line in store.warnings:
        say(line)
    if found:
        return
    if which.hosts and not store.records(Selection(hosts=which.hosts), fields=()):
        known = {record["host"] for record in store.records(fields=())}
        meant = did_you_mean(which.hosts[0], known) or "`provisioner facts` lists those there are"
        said = f"no run on a host {' or '.join(which.hosts)}"
        raise ProvisionerError(": ".join(filter(None, (" and ".join(which.named_by), said))), meant, Exit.BAD_INPUT)
    if which == EVERYTHING:
        say(f"no runs in {store.state}; `provisioner run` makes one")
    else:
        say("no run matches; `provisioner facts` lists the runs that there are")
