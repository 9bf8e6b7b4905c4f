"""`provisioner run`: prepares the hosts, runs the scenario on each, and brings the records back."""

from __future__ import annotations

import io
import shlex
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from provisioner.ansible import given_variables, inputs
from provisioner.ansible.job import Job, Watcher, run_playbook
from provisioner.ansible.rollout import Rollout
from provisioner.ansible.runs_in_flight import Notes
from provisioner.ansible.target import Target
from provisioner.audit.names import LOG
from provisioner.audit.verdict import reasons, sentence
from provisioner.commands.common import (
    explain,
    print_json,
    raise_if_stopped,
    remember_failures,
    say,
    say_looks,
    say_not_begun,
    say_plain,
    say_recovered,
    say_restarts,
    say_retry,
    worst,
)
from provisioner.commands.typed_options import idle, of_target
from provisioner.errors import Exit, ProvisionerError, of_option
from provisioner.report import document
from provisioner.store import Run, Store
from provisioner.store.selection import Selection
from provisioner.system import person
from provisioner.system.paths import state_dir
from provisioner.view import history, progress
from provisioner.view.fleet import Fleet

if TYPE_CHECKING:
    from provisioner.comparison.repetition import Like
    from provisioner.runs.record_data import RecordData

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Run the scenario; see the table in cli.py for the options."""
    repeated = _like(options)
    target = _target(options, repeated)
    store = Store(target.state)
    store.check()
    rollout = Rollout(target, options.batch, options.max_fail)
    done: list[list[Job]] = []
    fleet = Fleet(target.hosts, history.of_store(store))
    with progress.show(fleet, verbosity=options.verbose, as_json=options.json) as view:
        if rollout.sizes:
            _check_all(target, view)
        for batch in rollout:
            done.append(_measure(batch, options.repeat, (view, Notes(target.state))))
            rollout.note(_bad(done[-1], require_gpu=options.require_gpu), stopped=done[-1][-1].stopped)
    jobs = [job for of_batch in done for job in of_batch]
    runs = _runs(store, jobs)
    failed = [run for run in runs if run.record["outcome"] != "ok"]
    # Where stderr has events for a program, whatever else is there must not be taken for one.
    tell = say if options.json else say_plain
    _show(runs, tell)
    for run in failed:
        _show_failure(run, tell)
    if options.json:
        print_json(document.of([run.record for run in runs]) | rollout.document())
    if jobs[-1].stopped:
        say_not_begun(rollout)
        raise_if_stopped(jobs[-1])
    _say_failed_since(store, runs)
    _explain(done, target, failed)
    if repeated:
        _say_how_to_compare(options.like, runs)
    without_gpu = _without_gpu(runs) if options.require_gpu else []
    say_not_begun(rollout)
    return exit_code(jobs, runs, gpu_missing=bool(without_gpu))


def _explain(done: list[list[Job]], target: Target, failed: list[Run]) -> None:
    """Say what came of each batch's jobs beside its runs: looks, others that came along, restarts, failures."""
    for of_batch in done:
        say_looks(of_batch[-1])
    jobs = [job for of_batch in done for job in of_batch]
    for job in jobs:
        say_recovered(job)
        say_restarts(job, target)
        explain(job, told=frozenset(run.host for run in failed))
    say_retry(*jobs)


def _say_how_to_compare(like: str, runs: list[Run]) -> None:
    """Say how the runs are set against the one that they repeat."""
    for run in runs:
        say(f"{run.host}: `provisioner compare {like} {run.run_id}` says of which phases it repeats the times")


def _without_gpu(runs: list[Run]) -> list[Run]:
    """Return the runs on hosts without a GPU, and say that one was required."""
    found = [run for run in runs if not run.record["machine"]["gpus"]]
    for run in found:
        say(f"{run.host}: no GPU in run {run.run_id}, and --require-gpu was given")
    return found


def exit_code(jobs: list[Job], runs: list[Run], *, gpu_missing: bool = False) -> int:
    """Return the exit code of jobs and their runs: the first of these that holds.

    130 interrupted, 2 wrong inputs, 1 anything that failed, 3 a host that was not reached, 4 a run that the
    audit rejected. So 3 and 4 promise that nothing worse happened.
    """
    code = worst(jobs)
    if code not in {Exit.DONE, Exit.UNREACHABLE}:
        return code
    if gpu_missing or any(run.record["outcome"] != "ok" for run in runs):
        return Exit.FAILED
    if code == Exit.UNREACHABLE:
        return code
    if any(run.record["audit"]["verdict"] == "rejected" for run in runs):
        return Exit.REJECTED
    return Exit.DONE


def _check_all(target: Target, view: Watcher) -> None:
    """Check the inputs of all hosts before any is touched: a batch's job checks only those of its own.

    Raise ProvisionerError where they are wrong.
    """
    job = run_playbook("validate.yml", target, (view,), {"scenario_collect": True})
    raise_if_stopped(job)
    for name in sorted(job.failed):
        failure = job.hosts[name].failure
        said = failure.message if failure else "its inputs cannot be checked"
        raise ProvisionerError(f"{name}: {said}", "mend that; no host was touched", job.code)


def _measure(target: Target, repeat: int, watchers: tuple[Watcher, ...]) -> list[Job]:
    """Run the scenario on each host `repeat` times; one that fails is told of at the end, and holds nobody up."""
    jobs: list[Job] = []
    limit = target.limit
    for _ in range(repeat):
        jobs.append(run_playbook("site.yml", replace(target, limit=limit), watchers, measured=True))
        remember_failures(target, jobs[-1])
        good = [name for name in jobs[-1].hosts if name not in jobs[-1].failed]
        if jobs[-1].stopped or not good:
            break
        if len(good) < len(jobs[-1].hosts):
            limit = ",".join(good)
    return jobs


def _bad(jobs: list[Job], *, require_gpu: bool) -> set[str]:
    """Return the hosts without a good result: failed or not reached, or with a run that failed or was rejected."""
    records = [record for job in jobs for record in job.records]
    return {name for job in jobs for name in job.failed} | {
        str(record["host"])
        for record in records
        if record["outcome"] != "ok"
        or record["audit"]["verdict"] == "rejected"
        or (require_gpu and not record["machine"]["gpus"])
    }


def _target(options: Namespace, repeated: Like | None) -> Target:
    """Return what the run is done to; of a run that is repeated, its profile and variables."""
    asked = of_target(options)
    if repeated:
        asked = replace(asked, profile=repeated.profile)
    return inputs.check(asked, _variables(options), like=repeated.variables if repeated else None)


def _like(options: Namespace) -> Like | None:
    """Return the run that is to be repeated, if one is, and say first what of it cannot be the same."""
    if options.like is None:
        return None
    from provisioner.comparison import repetition  # noqa: PLC0415 - most runs are like no other

    by_hand = given_variables.of_options(options.extra_vars) | _variables(options)
    if options.runtime is not None:
        by_hand["scenario_runtime"] = options.runtime
    with of_option("--like"):
        found = repetition.of_text(options.like, Store(state_dir(options.state_dir)), by_hand)
    profile = options.profile or by_hand.get("provisioner_profile", found.profile)
    if profile != found.profile:
        raise ProvisionerError(
            f"--like names a run of profile {found.profile}, and --profile is {profile}", "give one", Exit.BAD_INPUT
        )
    for line in found.lines():
        say(line)
    found.check()
    return found


def _variables(options: Namespace) -> dict[str, Any]:
    """Return the command's own options as Ansible variables; what was not given is left to the inventory."""
    given = {
        "scenario_username": options.username,
        "scenario_xformers_url": options.xformers_url,
        "scenario_xformers_ref": options.xformers_ref,
        "scenario_arch_list": options.arch_list,
        "scenario_max_jobs": options.max_jobs,
        "scenario_fresh": options.fresh or options.repeat > 1 or None,
        "scenario_cold_base": options.cold_base or None,
    }
    return {name: value for name, value in given.items() if value is not None} | idle(options)


def _runs(store: Store, jobs: list[Job]) -> list[Run]:
    """Return the runs that came back from `jobs`, newest first."""
    wanted = {(str(record.get("host")), str(record.get("run_id"))) for job in jobs for record in job.records}
    found = store.list(Selection(run_ids=tuple({run_id for _, run_id in wanted})))
    # A host may call its run as another's is called.
    runs = [run for run in found if (run.host, run.run_id) in wanted]
    for line in store.warnings:
        say(line)
    missing = wanted - {(run.host, run.run_id) for run in runs}
    if missing:
        ids = ", ".join(sorted(run_id for _, run_id in missing))
        raise ProvisionerError(
            f"the record of run {ids} came back but is not in {store.state}",
            "look at the evidence there; the same command fetches it again",
        )
    return runs


def _show(runs: list[Run], tell: Callable[[str], None]) -> None:
    if not runs:
        return
    records = [run.record for run in runs]
    if tell is say:
        for line in document.runs_table(records, io.StringIO()).splitlines():
            say(line)
    else:
        print(document.runs_table(records, sys.stderr), file=sys.stderr)
    for run in runs:
        tell(f"evidence of {run.run_id} on {run.host}: {run.folder}")
        if again := _tried_again(run.record):
            tell(f"  tried again, as part of its time: {again}")
        if run.record["outcome"] != "ok":
            continue  # what such a run did not come to is no news beside why
        if run.record["audit"].get("remarks"):
            tell(f"  {sentence(run.record['audit'])}")
        for reason in reasons(run.record["audit"]):
            tell(f"  {run.record['audit']['verdict']}: {reason}")


def _tried_again(record: RecordData) -> str:
    """Return the downloads that a run tried again, in words; '' where there was none."""
    return ", ".join(
        f"{one['what']} {one['times']} {'time' if one['times'] == 1 else 'times'} in {one['phase']}"
        for one in record.get("retries") or ()
    )


def _say_failed_since(store: Store, runs: list[Run]) -> None:
    """Tell where the run that serves a host is older than one with the same inputs that failed."""
    # Runs of before had no hash.
    told = [run for run in runs if run.record["outcome"] == "ok" and run.record["inputs"].get("input_hash")]
    if not told:
        return
    fields = ("outcome", "failure", "inputs.input_hash")
    later = store.list(Selection(since=min(run.started for run in told)), fields)
    for run in told:
        for other in later:
            inputs = other.record["inputs"] or {}
            same = other.host == run.host and inputs.get("input_hash") == run.record["inputs"]["input_hash"]
            if same and other.started > run.started and other.record["outcome"] != "ok":
                failure = other.record["failure"]
                phase = (failure and failure["phase"]) or "no phase"
                say(
                    f"{run.host}: this is run {run.run_id}; {other.run_id}, of the same inputs and newer, "
                    f"{other.record['outcome']} in {phase}; --fresh measures anew"
                )
                break


def _log(run: Run) -> str:
    """Return where a run's log is, or what prints it."""
    from provisioner.runs.evidence import Evidence  # noqa: PLC0415 - most runs go well

    evidence = Evidence(run.folder)
    packed, log = evidence.archive, evidence.called(LOG)
    if packed is None:
        return str(run.folder / log)
    return f"`tar -xOf {shlex.quote(str(packed))} {run.run_id}/{log}`"


def _show_failure(run: Run, tell: Callable[[str], None]) -> None:
    failure: Mapping[str, Any] = run.record.get("failure") or {}
    phase = failure.get("phase") or "unknown"
    if (failure.get("cause") or "").startswith(person.CANCELLED):
        say(f"{run.host}: run {run.run_id} interrupted in {phase}: {failure['cause']}")
        return  # nothing in its log says more
    say(f"{run.host}: the run {run.record['outcome']} in phase {phase}; see {_log(run)}")
    if failure.get("cause"):
        say(f"{run.host}: {failure['cause']}")
    if failure.get("first_error"):
        say(f"{run.host}: the first error: {failure['first_error']}")
    for line in failure.get("last_lines") or ():
        tell(f"  {line}")
