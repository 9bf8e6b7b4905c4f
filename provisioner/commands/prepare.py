"""`provisioner prepare`: makes fresh hosts ready for a run."""

import sys
from argparse import Namespace

from provisioner import inputs, progress
from provisioner.commands.common import (
    explain,
    idle,
    print_json,
    raise_if_stopped,
    remember_failures,
    say_looks,
    say_restarts,
    say_retry,
)
from provisioner.job import run_playbook
from provisioner.text import table

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
    else:
        rows = [
            [
                name,
                h["changed"],
                h["failed"],
                *(("yes" if h[key] else "no") for key in ("unreachable", "reboot_required")),
            ]
            for name, h in hosts.items()
        ]
        print(table(["host", "changed", "failed", "unreachable", "reboot required"], rows), file=sys.stderr)
    say_looks(job)
    say_restarts(job, target)
    explain(job)
    say_retry(job)
    return job.code
