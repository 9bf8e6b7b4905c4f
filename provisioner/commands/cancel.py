"""`provisioner cancel`: stops runs under way on their hosts, and brings their evidence here."""

from argparse import Namespace
from dataclasses import dataclass, field
from typing import Any

from provisioner.ansible import events, inputs, runs_in_flight
from provisioner.ansible.job import Job, run_playbook
from provisioner.ansible.target import Target
from provisioner.commands.common import SECONDS_TO_ANSWER, explain, print_json, raise_if_stopped, say, say_recovered
from provisioner.commands.typed_options import of_target
from provisioner.errors import Exit, ProvisionerError
from provisioner.store import Store
from provisioner.store.selection import Selection
from provisioner.text import names, ranges
from provisioner.view import alike, progress

__all__ = ["main"]


@dataclass
class _CancelAnswers:
    """A watcher that keeps what became of the run on each host."""

    hosts: dict[str, events.Cancelled] = field(default_factory=dict)

    def event(self, event: events.Event) -> None:
        """Take note of `event`."""
        if isinstance(event, events.Cancelled):
            self.hosts[event.host] = event

    def tick(self) -> None:
        """Do nothing between events."""


def main(options: Namespace) -> int:
    """Cancel the runs, or only the one that is named."""
    wanted = _named(options.run)
    target = inputs.check(of_target(options), {"ansible_ssh_timeout": SECONDS_TO_ANSWER})
    if wanted in target.hosts:
        raise ProvisionerError(f"{wanted} is a host, not a run", f"give -l {wanted}", Exit.BAD_INPUT)
    answers = _CancelAnswers()
    with progress.show(target.hosts, verbosity=options.verbose, as_json=options.json) as view:
        watchers = (view, runs_in_flight.Notes(target.state), answers)
        job = run_playbook("cancel.yml", target, watchers, {"provisioner_cancel_run_id": wanted})
    if job.interrupted:
        raise ProvisionerError(
            "interrupted; the hosts that were asked already go on cancelling their runs",
            "`provisioner status` shows what is left",
            Exit.INTERRUPTED,
        )
    raise_if_stopped(job)
    if options.json:
        print_json({"hosts": _document(job, answers)})
    _show(job, answers, wanted, target)
    if job.code == Exit.DONE and wanted and not _found(answers):
        _raise_unless_known(wanted, target)
    return job.code


def _named(run: str | None) -> str:
    """Return the id of the run that is named, '' where none is. Raise ProvisionerError (code 2)."""
    try:
        return "" if run is None else names.run_id(run)
    except ValueError as error:
        raise ProvisionerError(str(error), "`provisioner status` shows those under way", Exit.BAD_INPUT) from error


def _found(answers: _CancelAnswers) -> list[events.Cancelled]:
    """Return what became of the runs that were under way, or had ended, of those that were asked for."""
    return [said for _, said in sorted(answers.hosts.items()) if said.state in {"cancelled", "ended"}]


def _document(job: Job, answers: _CancelAnswers) -> dict[str, Any]:
    """Return for each host what became of its run; the verdict is that of its record, where it came."""
    verdicts = {(record["host"], record["run_id"]): record["audit"]["verdict"] for record in job.records}
    hosts: dict[str, Any] = {}
    for name, host in sorted(job.hosts.items()):
        said = answers.hosts.get(name) or events.Cancelled(name, "unknown", None)
        told = {key: value for key, value in vars(said).items() if key != "host"}
        told["verdict"] = verdicts.get((name, str(said.run_id)))
        hosts[name] = told | {"failed": host.failed, "unreachable": host.unreachable}
    return hosts


def _show(job: Job, answers: _CancelAnswers, wanted: str, target: Target) -> None:
    """Say what became of each run; of hosts without one, that there is none."""
    for said in _found(answers):
        say(f"{said.host}: run {said.run_id} {_became(said)}")
    for record in job.records:
        say(f"{record['host']}: its evidence: {target.state / 'runs' / record['host'] / record['run_id']}")
    say_recovered(job)
    for name, said in sorted(answers.hosts.items()):
        if said.state == "another":
            say(f"{name}: run {said.run_id} is under way there, and was left alone")
    idle = [name for name, said in sorted(answers.hosts.items()) if said.state == "none"]
    if idle:
        say(f"{alike.counted(idle)}: {f'no run {wanted}' if wanted else 'no run'} is under way")
    explain(job)
    silent = [name for name, host in sorted(job.hosts.items()) if host.unreachable]
    if silent:
        say(
            f"{ranges.brief(silent)}: no answer, so a run there may go on, and nothing cancels it later: "
            "run the command again when the host answers"
        )


def _became(said: events.Cancelled) -> str:
    """Return what became of a run that was under way, or had ended."""
    if said.state == "cancelled":
        return f"was cancelled in {said.phase or 'no phase'} by {said.by or 'a person'}"
    by = f", cancelled by {said.by}" if said.by and said.outcome == "interrupted" else ""
    return f"had ended already: {said.outcome}{by}"


def _raise_unless_known(wanted: str, target: Target) -> None:
    """Raise ProvisionerError (code 2) where no host that was asked knows the run, and no record here says it ended."""
    for run in Store(target.state).list(Selection(run_ids=(wanted,)), ("outcome",)):
        say(f"{run.host}: run {wanted} had ended already: {run.record['outcome']}")
        return
    seen = [note["host"] for note in runs_in_flight.seen(target.state) if note["run_id"] == wanted]
    where = f"; it was last seen on {', '.join(seen)}" if seen else ""
    raise ProvisionerError(
        f"no host that was asked knows a run {wanted}{where}",
        "give its host's inventory by -i, and the whole id: `provisioner status` shows it",
        Exit.BAD_INPUT,
    )
