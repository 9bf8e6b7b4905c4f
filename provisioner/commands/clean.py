"""`provisioner clean`: removes from the hosts what a scenario left there, and only that."""

from argparse import Namespace

from provisioner.ansible import inputs
from provisioner.ansible.job import run_playbook
from provisioner.commands.common import explain, print_json, raise_if_stopped, say_each, say_recovered
from provisioner.commands.typed_options import of_target
from provisioner.view import progress

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Clean the hosts; the runs kept on this machine stay."""
    target = inputs.check(of_target(options))
    with progress.show(target.hosts, verbosity=options.verbose, as_json=options.json) as view:
        job = run_playbook("clean.yml", target, (view,))
    raise_if_stopped(job)
    if options.json:
        hosts = {
            name: {"changed": host.changed, "failed": host.failed, "unreachable": host.unreachable}
            for name, host in sorted(job.hosts.items())
        }
        print_json({"hosts": hosts})
    say_recovered(job)
    say_each(
        (name, "cleaned" if host.changed else "nothing to clean")
        for name, host in sorted(job.hosts.items())
        if not host.failed and not host.unreachable
    )
    explain(job)
    return job.code
