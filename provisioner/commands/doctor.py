"""`provisioner doctor`: says what is missing on the controller and the hosts, each with its remedy."""

from argparse import Namespace
from dataclasses import asdict

from provisioner import doctor, inputs, progress
from provisioner.commands.common import print_json, raise_if_stopped
from provisioner.errors import Exit
from provisioner.events import Finding
from provisioner.job import Job, run_playbook
from provisioner.text import table

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Look at everything, change nothing, and print what was found."""
    target = inputs.check(options, root=False)
    findings = doctor.controller(target)
    with progress.show(target.hosts, verbosity=options.verbose, as_json=options.json) as view:
        # Hosts take seconds to ask their sources: to look more often whether they have would be what costs most.
        job = run_playbook("doctor.yml", target, (view,), measured=True)
    raise_if_stopped(job)
    findings += doctor.of_job(job)
    if options.json:
        ok = all(finding.outcome != "fail" for finding in findings)
        print_json({"ok": ok, "findings": [asdict(finding) for finding in findings]})
    else:
        rows = [[f.host, f.check, f.outcome, f.detail, f.remedy] for f in findings]
        print(table(["host", "check", "outcome", "detail", "remedy"], rows))
    return exit_code(job, findings)


def exit_code(job: Job, findings: list[Finding]) -> int:
    """Give 1 where something fails, 3 where nothing is wrong but that a host was not reached, else 0."""
    unreachable = {name for name, host in job.hosts.items() if host.unreachable}
    if any(finding.outcome == "fail" and finding.host not in unreachable for finding in findings):
        return Exit.FAILED
    return Exit.UNREACHABLE if unreachable else Exit.DONE
