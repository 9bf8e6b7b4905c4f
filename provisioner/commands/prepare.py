"""`provisioner prepare`: makes fresh hosts ready for a run."""

import sys
from argparse import Namespace
from typing import Any

from provisioner import inputs, progress
from provisioner.commands.common import (
    explain,
    idle,
    print_json,
    raise_if_stopped,
    remember_failures,
    say,
    say_each,
    say_looks,
    say_restarts,
    say_retry,
)
from provisioner.job import run_playbook
from provisioner.text import counted
from provisioner.view import alike, screen
from provisioner.view.tables import table

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Prepare the hosts and tell what was changed on each."""
    target = inputs.check(options, idle(options))
    with progress.show(target.hosts, verbosity=options.verbose, as_json=options.json) as view:
        job = run_playbook("prepare.yml", target, (view,))
    remember_failures(target, job)
    raise_if_stopped(job)
    hosts = {
        name: {
            "changed": host.changed,
            "failed": host.failed,
            "unreachable": host.unreachable,
            "reboot_required": host.reboot_required,
            "busy": list(job.busy.get(name, ())),
        }
        for name, host in sorted(job.hosts.items())
    }
    if options.json:
        print_json({"hosts": hosts})
    elif options.verbose or not screen.wide(sys.stderr):
        _show(hosts)
    explain(job)
    say_looks(job)
    say_restarts(job, target)
    if not options.json:
        _sum_up(hosts)
    say_retry(job)
    return job.code


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
