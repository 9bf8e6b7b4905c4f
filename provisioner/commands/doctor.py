"""`provisioner doctor`: says what is missing on the controller and the hosts, each with its remedy."""

from argparse import Namespace
from collections import Counter
from dataclasses import asdict

from provisioner.ansible import inputs
from provisioner.ansible.events import HostFinding
from provisioner.ansible.job import Job, run_playbook
from provisioner.commands import controller_checks
from provisioner.commands.common import print_json, raise_if_stopped, say
from provisioner.commands.typed_options import of_target
from provisioner.errors import Exit
from provisioner.text import ranges
from provisioner.text.display import counted
from provisioner.view import alike, progress, screen
from provisioner.view.fleet import Fleet
from provisioner.view.tables import table

__all__ = ["main"]

WORST_FIRST = ("fail", "warn", "ok")


def main(options: Namespace) -> int:
    """Look at everything, change nothing, and print what was found, problems first."""
    target = inputs.check(of_target(options), root=False)
    findings = controller_checks.controller(target)
    fleet = Fleet(target.hosts, notes=False)
    with progress.show(fleet, verbosity=options.verbose, as_json=options.json) as view:
        # Hosts take seconds to ask their sources: to look more often whether they have would be what costs most.
        job = run_playbook("doctor.yml", target, (view,), measured=True)
    raise_if_stopped(job)
    findings += controller_checks.of_job(job)
    if options.json:
        ok = all(finding.outcome != "fail" for finding in findings)
        print_json({"ok": ok, "findings": [asdict(finding) for finding in findings]})
    else:
        _show(findings, whole=bool(options.verbose))
    return exit_code(job, findings)


def exit_code(job: Job, findings: list[HostFinding]) -> int:
    """Return 1 where something fails, 3 where nothing is wrong but that a host was not reached, else 0."""
    unreachable = {name for name, host in job.hosts.items() if host.unreachable}
    if any(finding.outcome == "fail" and finding.host not in unreachable for finding in findings):
        return Exit.FAILED
    return Exit.UNREACHABLE if unreachable else Exit.DONE


def _show(findings: list[HostFinding], *, whole: bool) -> None:
    """Print the findings; on a terminal, unless the whole is wanted, only what is off, hosts with the same together."""
    ordered = sorted(findings, key=lambda finding: WORST_FIRST.index(finding.outcome))
    if whole or not screen.wide():
        rows = [[f.host, f.check, f.outcome, f.detail, f.remedy] for f in ordered]
        print(table(["host", "check", "outcome", "detail", "remedy"], rows))
    elif rows := _grouped([finding for finding in ordered if finding.outcome != "ok"]):
        print(table(["outcome", "hosts", "check", "detail", "remedy"], rows))
    say(_total(findings))


def _grouped(findings: list[HostFinding]) -> list[list[str]]:
    """Return a row for each outcome, check and remedy whose details are alike, with all hosts that it was found on."""
    kinds: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for found in findings:
        kinds.setdefault((found.outcome, found.check, found.remedy), []).append((found.host, found.detail))
    return [
        [outcome, ranges.brief(hosts), check, detail, remedy]
        for (outcome, check, remedy), said in kinds.items()
        for detail, hosts in alike.lines(said)
    ]


def _total(findings: list[HostFinding]) -> str:
    """Return how many hosts have a problem, how many a warning only, and how many neither."""
    worst: dict[str, str] = {}
    for found in sorted(findings, key=lambda finding: WORST_FIRST.index(finding.outcome)):
        worst.setdefault(found.host, found.outcome)
    outcome = worst.pop(controller_checks.CONTROLLER, "ok")
    here = {"fail": "has a problem", "warn": "has a warning", "ok": "is well"}[outcome]
    counts = Counter(worst.values())
    words = {"fail": "with a problem", "warn": "with a warning", "ok": "well"}
    parts = [f"{counts[outcome]} {words[outcome]}" for outcome in WORST_FIRST if counts[outcome]]
    hosts = f"{counted(len(worst), 'host')}: {', '.join(parts) or 'none looked at'}"
    return f"{hosts}; the controller {here} (-v tells all {len(findings)} findings)"
