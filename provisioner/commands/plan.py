"""`provisioner plan`: says what `prepare` and `run` would change on each host, and changes nothing."""

from argparse import Namespace
from typing import Any

from provisioner import inputs, progress
from provisioner.commands.common import explain, print_json, raise_if_stopped, say, say_looks, say_restarts
from provisioner.errors import Exit
from provisioner.job import Job, run_playbook
from provisioner.text import table

__all__ = ["main"]

WOULD = {
    "measure": "`run` would measure: no finished run with these inputs is there",
    "reuse": "`run` would give run {} back as it is",
    "attach": "`run` would attach to run {}, which is under way; `provisioner cancel` stops it",
    "refuse": "`run` would refuse: {}",
}


def main(options: Namespace) -> int:
    """Look at the hosts and print what is off: the change that `prepare` would make of it is in the last column."""
    target = inputs.check(options)
    with progress.show(target.hosts, verbosity=options.verbose, as_json=options.json) as view:
        job = run_playbook("plan.yml", target, (view,))
    raise_if_stopped(job)
    hosts = document(job)
    if options.json:
        print_json({"hosts": hosts})
    else:
        _show(hosts)
    say_looks(job)
    say_restarts(job, target)
    explain(job)
    return exit_code(job, hosts)


def document(job: Job) -> dict[str, Any]:
    """Give what was found on each host that was looked at: prepare's `changes`, what it is `busy` with, and `run`."""
    hosts: dict[str, Any] = {}
    for name, looks in sorted(job.looks.items()):
        planned = job.planned.get(name)
        hosts[name] = {
            "changes": _once([{"role": look.role, **change} for look in looks.values() for change in look.changes]),
            "busy": list(job.busy.get(name, ())),
            "run": {"would": planned.would, "detail": planned.detail} if planned else None,
        }
    return hosts


def _once(changes: list[dict[str, str]]) -> list[dict[str, str]]:
    """Leave out what a role before has told: a package that two roles need comes once."""
    told: dict[tuple[str, ...], dict[str, str]] = {}
    for change in changes:
        told.setdefault((change["what"], change["from"], change["to"]), change)
    return list(told.values())


def exit_code(job: Job, hosts: dict[str, Any]) -> int:
    """Give the job's own code where a host failed or was not reached; else 5 where `prepare` has something to do."""
    if job.code != Exit.DONE:
        return job.code
    return Exit.DRIFT if any(host["changes"] for host in hosts.values()) else Exit.DONE


def _show(hosts: dict[str, Any]) -> None:
    rows = [
        [name, *(change[key] for key in ("role", "what", "from", "to"))]
        for name, host in hosts.items()
        for change in host["changes"]
    ]
    if rows:
        print(table(["host", "role", "what", "from", "to"], rows))
    for name, host in hosts.items():
        if not host["changes"]:
            say(f"{name}: `prepare` would change nothing")
        if host["run"]:
            say(f"{name}: {WOULD[host['run']['would']].format(host['run']['detail'])}")
