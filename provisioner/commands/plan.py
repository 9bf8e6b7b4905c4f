"""`provisioner plan`: says what `prepare` and `run` would change on each host, and changes nothing."""

from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import Any

from provisioner.ansible import inputs, plan_file
from provisioner.ansible.changes import once
from provisioner.ansible.job import Job, run_playbook
from provisioner.ansible.target import Target
from provisioner.commands.common import explain, print_json, raise_if_stopped, say, say_each, say_looks, say_restarts
from provisioner.commands.typed_options import of_target
from provisioner.errors import Exit
from provisioner.text import ranges
from provisioner.text.display import counted, printable
from provisioner.view import alike, progress, screen
from provisioner.view.fleet import Fleet
from provisioner.view.tables import table

__all__ = ["main"]

WOULD = {
    "measure": "`run` would measure: no finished run with these inputs is there",
    "reuse": "`run` would give run {} back as it is",
    "attach": "`run` would attach to run {}, which is under way; `provisioner cancel` stops it",
    "refuse": "`run` would refuse: {}",
}
OF_MANY = {
    "reuse": "`run` would return each host's finished run as it is",
    "attach": "`run` would attach to the run that is under way on each",
}
"""Where hosts are told together, whose runs have other names."""

INSTALL, CHANGE, REMOVE = "+ install", "~ change", "- remove"
NOT_THERE = {"absent", "not there"}
GONE = {"absent", "removed"}
PLAIN = {"present", "installed", "as wanted"}
"""What says no more of a thing than that it is there."""


def main(options: Namespace) -> int:
    """Look at the hosts and print what is off: the change that `prepare` would make of it is in the last column."""
    kept = plan_file.place(options.out) if options.out else None
    target = inputs.check(of_target(options))
    fleet = Fleet(target.hosts, notes=False)
    with progress.show(fleet, verbosity=options.verbose, as_json=options.json) as view:
        job = run_playbook("plan.yml", target, (view,))
    raise_if_stopped(job)
    hosts = document(job)
    explain(job)
    if kept:
        _keep(kept, target, {name: host["changes"] for name, host in hosts.items() if name not in job.failed})
    if options.json:
        print_json({"hosts": hosts})
    else:
        _say_notes(job, hosts)
        _show(hosts) if options.verbose or not screen.wide() else _show_together(hosts)
    say_looks(job)
    say_restarts(job, target)
    if not options.json:
        say(_total(job, hosts))
    return exit_code(job, hosts)


def document(job: Job) -> dict[str, Any]:
    """Return what was found on each host that was looked at: prepare's `changes`, what it is `busy` with, and `run`."""
    hosts: dict[str, Any] = {}
    for name, looks in sorted(job.looks.items()):
        planned = job.planned.get(name)
        hosts[name] = {
            "changes": once([{"role": look.role, **change} for look in looks.values() for change in look.changes]),
            "busy": list(job.busy.get(name, ())),
            "run": {"would": planned.would, "detail": planned.detail} if planned else None,
        }
    return hosts


def _keep(path: Path, target: Target, hosts: dict[str, Any]) -> None:
    """Write the plan of the hosts that could be looked at, and say of which that is."""
    if not hosts:
        say(f"{path} is not written: no host could be looked at")
        return
    plan_file.write(path, target, hosts)
    missed = len(target.hosts) - len(hosts)
    less = f", without {missed} that could not be looked at," if missed else ""
    say(f"the plan of {counted(len(hosts), 'host')}{less} is in {path}; `prepare --plan` does it, with these options")


def exit_code(job: Job, hosts: dict[str, Any]) -> int:
    """Return the job's own code where a host failed or was not reached; else 5 where `prepare` has something to do."""
    if job.code != Exit.DONE:
        return job.code
    return Exit.DRIFT if any(host["changes"] for host in hosts.values()) else Exit.DONE


def _say_notes(job: Job, hosts: dict[str, Any]) -> None:
    """Say what a person should read of the hosts before anything is changed there."""
    looks = ((name, look) for name, of_host in sorted(job.looks.items()) for look in of_host.values())
    say_each((name, note) for name, look in looks for note in look.notes)
    say_each((name, f"the host is busy: {'; '.join(host['busy'])}") for name, host in hosts.items() if host["busy"])


def _kind(change: dict[str, str]) -> str:
    """Return what is done to a thing: it is installed, changed or removed."""
    if str(change["from"]) in NOT_THERE:
        return INSTALL
    return REMOVE if str(change["to"]) in GONE else CHANGE


def _show(hosts: dict[str, Any]) -> None:
    """Print a row for each change of each host."""
    rows = [
        [name, change["role"], _kind(change), *(change[key] for key in ("what", "from", "to"))]
        for name, host in hosts.items()
        for change in host["changes"]
    ]
    if rows:
        print(table(["host", "role", "change", "what", "from", "to"], rows))
    say_each((name, "`prepare` would change nothing") for name, host in hosts.items() if not host["changes"])
    say_each(
        (name, WOULD[host["run"]["would"]].format(host["run"]["detail"])) for name, host in hosts.items() if host["run"]
    )


def _show_together(hosts: dict[str, Any]) -> None:
    """Print each set of changes once, with all the hosts that want it, and what `run` would do in the same way."""
    lines = {name: tuple(_line(change) for change in host["changes"]) for name, host in hosts.items()}
    by_changes = sorted(alike.groups(lines), key=lambda group: not group[0])
    for changes, names in by_changes:
        screen.show(f"{ranges.brief(names)}:" if changes else f"{alike.counted(names)}: nothing to change")
        for change in changes:
            screen.show(f"  {change}", indent=" " * 11)
    would = {name: host["run"]["would"] for name, host in hosts.items() if host["run"]}
    for kind, names in alike.groups(would):
        if kind == "refuse":
            say_each((name, WOULD[kind].format(hosts[name]["run"]["detail"])) for name in names)
        else:
            said = OF_MANY.get(kind) if len(names) > 1 else None
            say(f"{alike.counted(names)}: {said or WOULD[kind].format(hosts[names[0]]['run']['detail'])}")


def _line(change: dict[str, str]) -> str:
    """Return a change for a person: with versions, where they are known."""
    kind, what, before, after = _kind(change), *(printable(change[key]) for key in ("what", "from", "to"))
    said = {
        INSTALL: what if after in PLAIN else f"{what}: {after}",
        CHANGE: f"{what}: {before} -> {after}",
        REMOVE: what if before in PLAIN else f"{what}: {before}",
    }
    return f"{kind:<9} {said[kind]}"


def _total(job: Job, hosts: dict[str, Any]) -> str:
    """Return how many hosts would be changed and by what, and how many not."""
    counts = Counter(_kind(change) for host in hosts.values() for change in host["changes"])
    words = {INSTALL: "to install", CHANGE: "to change", REMOVE: "to remove"}
    what = ", ".join(f"{counts[kind]} {word}" for kind, word in words.items() if counts[kind])
    changed = sum(bool(host["changes"]) for host in hosts.values())
    told = [f"{changed} would change: {what}"] if changed else []
    told += [f"{len(hosts) - changed} with nothing to change"] if changed < len(hosts) else []
    told += [f"{missed} could not be looked at"] if (missed := len(job.hosts.keys() - hosts.keys())) else []
    return f"{counted(len(job.hosts.keys() | hosts.keys()), 'host')}: {'; '.join(told)}"
