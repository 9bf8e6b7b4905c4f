"""`provisioner prepare`: makes fresh hosts ready for a run."""

import sys
from argparse import Namespace
from typing import Any

from provisioner.ansible import changes, inputs, plan_file
from provisioner.ansible.job import Job, run_playbook
from provisioner.ansible.plan_file import Plan
from provisioner.ansible.rollout import Rollout
from provisioner.ansible.target import Target
from provisioner.commands.common import (
    explain,
    print_json,
    raise_if_stopped,
    remember_failures,
    say,
    say_each,
    say_looks,
    say_not_begun,
    say_restarts,
    say_retry,
    worst,
)
from provisioner.commands.typed_options import idle, of_target
from provisioner.text.display import counted
from provisioner.view import alike, progress, screen
from provisioner.view.tables import table

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Prepare the hosts, batch after batch, and tell what was changed on each."""
    plan = plan_file.read(options.plan) if options.plan else None
    target = inputs.check(of_target(options), idle(options))
    if plan:
        target = plan_file.target_of(plan, target, limited=bool(options.limit))
    rollout = Rollout(target, options.batch, options.max_fail)
    jobs: list[Job] = []
    with progress.show(target.hosts, verbosity=options.verbose, as_json=options.json) as view:
        for batch in rollout:
            jobs.append(run_playbook("prepare.yml", batch, (view,), _planned(plan, batch)))
            remember_failures(target, jobs[-1])
            rollout.note(jobs[-1].failed, stopped=jobs[-1].stopped)
    if jobs[-1].stopped:
        say_not_begun(rollout)
        raise_if_stopped(jobs[-1])
    hosts = {name: host for job in jobs for name, host in _hosts(job).items()}
    if options.json:
        print_json({"hosts": hosts} | rollout.document())
    elif options.verbose or not screen.wide(sys.stderr):
        _show(hosts)
    for job in jobs:
        explain(job, told=_say_refused(plan, job) if plan else frozenset())
        say_looks(job)
        say_restarts(job, target)
    if not options.json:
        _sum_up(hosts)
    if not plan:  # which is of no host any more that failed
        say_retry(*jobs)
    say_not_begun(rollout)
    return worst(jobs)


def _hosts(job: Job) -> dict[str, Any]:
    """Return what came of a job on each host."""
    return {
        name: {
            "changed": host.changed,
            "failed": host.failed,
            "unreachable": host.unreachable,
            "reboot_required": host.reboot_required,
            "busy": list(job.busy.get(name, ())),
        }
        for name, host in sorted(job.hosts.items())
    }


def _planned(plan: Plan | None, batch: Target) -> dict[str, Any] | None:
    """Return what the look of each host must agree with: digests, for Ansible might take texts for templates."""
    if plan is None:
        return None
    return {"provisioner_planned": {name: changes.digest(plan.hosts[name]) for name in batch.hosts}}


def _say_refused(plan: Plan, job: Job) -> frozenset[str]:
    """Say of each host that has changed since the plan what is different there, and return those hosts."""
    said = {}
    for name, host in sorted(job.hosts.items()):
        if host.failure and host.failure.message == changes.CHANGED:
            now = [change for look in job.looks.get(name, {}).values() for change in look.changes]
            said[name] = "; ".join(changes.differences(plan.hosts[name], now))
    say_each(
        (name, f"left as it is, since it has changed after the plan: {what}; make a new plan of it")
        for name, what in said.items()
    )
    return frozenset(said)


def _show(hosts: dict[str, Any]) -> None:
    """Print a row for each host."""
    rows = [
        [
            name,
            host["changed"],
            host["failed"],
            *(("yes" if host[key] else "no") for key in ("unreachable", "reboot_required")),
        ]
        for name, host in hosts.items()
    ]
    header = ["host", "changed", "failed", "unreachable", "reboot required"]
    print(table(header, rows, sys.stderr), file=sys.stderr)


def _sum_up(hosts: dict[str, Any]) -> None:
    """Say what was changed, hosts with the same together where that is a terminal, and how many there are of each."""
    good = {name: host for name, host in hosts.items() if not (host["failed"] or host["unreachable"])}
    changed = {name: host for name, host in good.items() if host["changed"]}
    if screen.wide(sys.stderr):
        say_each((name, f"changed, by {counted(host['changed'], 'task')}") for name, host in changed.items())
        if len(changed) < len(good):
            say(f"{alike.counted([*(good.keys() - changed.keys())])}: nothing to change")
    counts = {
        "failed": sum(bool(host["failed"]) for host in hosts.values()),
        "not reached": sum(host["unreachable"] and not host["failed"] for host in hosts.values()),
        "changed": len(changed),
        "with nothing to change": len(good) - len(changed),
    }
    parts = [f"{number} {what}" for what, number in counts.items() if number]
    say(f"{counted(len(hosts), 'host')}: {', '.join(parts)}")
