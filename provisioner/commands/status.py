"""`provisioner status`: the runs in flight, those that have ended and wait to be collected, and those kept here."""

import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provisioner.ansible import events, inputs, runs_in_flight
from provisioner.ansible.job import Job, run_playbook
from provisioner.commands.common import SECONDS_TO_ANSWER, explain, raise_if_stopped, say
from provisioner.commands.typed_options import of_target
from provisioner.errors import Exit
from provisioner.report import document, formats
from provisioner.runs.record_data import RecordData
from provisioner.store import Store, Text
from provisioner.system.paths import state_dir
from provisioner.text.display import counted
from provisioner.view import progress, runs, screen

__all__ = ["main"]

SCENARIO = Path("/var/lib/provisioner/scenario_a")
"""Where runs of this machine are, by the roles' defaults."""


@dataclass
class _StatusAnswers:
    """A watcher that keeps what the hosts answer."""

    in_flight: dict[str, events.Progress] = field(default_factory=dict)
    ended: dict[str, tuple[dict[str, Any], ...]] = field(default_factory=dict)

    def event(self, event: events.Event) -> None:
        """Take note of `event`."""
        match event:
            case events.Ended():
                self.ended[event.host] = event.runs
            case events.Progress(state="running"):
                self.in_flight[event.host] = event

    def tick(self) -> None:
        """Do nothing between events."""


def main(options: Namespace) -> int:
    """List the runs. Without an inventory only this machine is asked, and only where it has had a run."""
    state = state_dir(options.state_dir)
    answers = _StatusAnswers()
    store = Store(state)
    ask = not options.offline and (options.inventory or SCENARIO.is_dir())
    job = _ask(store, options, answers) if ask else None
    records = [] if options.json else store.records(fields=document.TABLE_FIELDS)
    texts = store.texts() if options.json else []
    for line in store.warnings:
        say(line)
    kept = _ids(records, texts)
    flying = _flying(state, kept)
    waiting = _waiting(answers.ended, kept)
    unanswered = _unanswered(job) if job else {}
    if job is not None:
        explain(job)
    if options.json:
        noted = [note | {"answered": note["host"] in answers.in_flight} for note in flying]
        told = {"in_flight": noted, "uncollected": waiting, "unanswered": unanswered}
        formats.of(formats.FACTS)["json"].write(told | {"runs": list(texts[: options.last])}, sys.stdout)
    elif flying or waiting or records:
        _show(options, flying, waiting, answers, records)
        say(_total(flying, waiting, records, unanswered))
    else:
        say(f"no runs in {state}; `provisioner run` makes one")
    return Exit.DONE if job is None else job.code


def _ids(records: Iterable[RecordData], texts: Iterable[Text]) -> set[tuple[str, str]]:
    """Return the host and the id of each run: a host may call its run as it likes, as another has called one."""
    return {(record["host"], record["run_id"]) for record in records} | {(text.host, text.run_id) for text in texts}


def _flying(state: Path, kept: Collection[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return the runs under way as they were last seen, of hosts that did not answer or were not asked as well."""
    return [note for note in runs_in_flight.seen(state) if (note["host"], note["run_id"]) not in kept]


def _waiting(ended: Mapping[str, Iterable[dict[str, Any]]], kept: Collection[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return the runs that have ended on their hosts, and that nobody has collected or keeps here."""
    return [
        {"host": host, **run}
        for host, runs_there in sorted(ended.items())
        for run in runs_there
        if not run["collected"] and (host, run["run_id"]) not in kept
    ]


def _ask(store: Store, options: Namespace, answers: _StatusAnswers) -> Job:
    """Ask all hosts at once, for a bounded time."""
    store.check()  # better told now than after they have answered
    target = inputs.check(of_target(options), {"ansible_ssh_timeout": SECONDS_TO_ANSWER}, root=False)
    with progress.show(target.hosts, verbosity=options.verbose, as_json=options.json) as view:
        job = run_playbook("status.yml", target, (view, runs_in_flight.Notes(target.state), answers))
    raise_if_stopped(job)
    return job


def _unanswered(job: Job) -> dict[str, str]:
    """Return the hosts that did not answer, by name, with what was said instead."""
    failures = {name: job.hosts[name].failure for name in sorted(job.failed)}
    return {name: failure.message if failure else "" for name, failure in failures.items()}


def _show(
    options: Namespace,
    flying: list[dict[str, Any]],
    waiting: list[dict[str, Any]],
    answers: _StatusAnswers,
    records: Sequence[RecordData],
) -> None:
    """Print the runs that are not kept here, and those that are; on a terminal, those that stand alike together."""
    together = screen.wide() and not options.verbose
    if flying:
        print(runs.in_flight(flying, answers.in_flight, together=together), end="\n\n")
        say("`provisioner cancel` stops a run in flight; its evidence is kept")
    if waiting:
        print(runs.uncollected(waiting, together=together), end="\n\n")
        say("`provisioner run` or `provisioner clean` collects what is not collected yet")
    if options.all or options.last is not None:
        print(document.runs_table(records[: options.last]))
    elif records:
        newest = document.newest(records)
        print(runs.kept(newest) if together else document.runs_table(newest))


def _total(
    flying: Collection[Any], waiting: Collection[Any], records: Iterable[RecordData], unanswered: Collection[Any]
) -> str:
    kept = Counter(record["host"] for record in records)
    parts = [f"{len(unanswered)} did not answer"] if unanswered else []
    parts += [f"{len(flying)} in flight"] if flying else []
    parts += [f"{len(waiting)} not collected yet"] if waiting else []
    parts.append(f"{counted(kept.total(), 'run')} of {counted(len(kept), 'host')} kept here")
    older = " (--all shows each)" if kept.total() > len(kept) else ""
    return f"{', '.join(parts)}{older}"
