"""`provisioner compare A B`: sets two groups of runs against each other, with statistics."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from provisioner.commands.common import print_json, say
from provisioner.commands.typed_options import of_runs
from provisioner.comparison import comparable, run_sets
from provisioner.comparison.run_sets import Side
from provisioner.errors import Exit, ProvisionerError
from provisioner.runs.phases import PHASES
from provisioner.store import Store
from provisioner.system.paths import state_dir
from provisioner.text.display import counted, printable
from provisioner.text.suggestions import did_you_mean
from provisioner.view import screen
from provisioner.view.tables import table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from provisioner.comparison.statistics import Comparison
    from provisioner.runs.record_data import RecordData

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Compare; the exit code is 1 where --fail-if-slower was given and B is slower by more than that."""
    share = _share(options.fail_if_slower)
    if options.phase not in {*PHASES, "total"}:
        meant = did_you_mean(options.phase, (*PHASES, "total"))
        raise _bad(f"--phase {options.phase} is not a phase", meant or f"there are {', '.join(PHASES)} and total")
    if options.b is None and (options.save_baseline is None or share is not None):
        raise _bad("there is nothing to compare A with", "give B, or --save-baseline NAME alone")
    store = Store(state_dir(options.state_dir))
    asked = of_runs(options)
    a = run_sets.of_text(options.a, store, asked)
    for line in store.warnings:
        say(line)
    if options.save_baseline is not None:
        path = run_sets.save_baseline(store, options.save_baseline, a)
        say(f"{counted(len(a.records), 'run')} kept as the baseline {options.save_baseline}, in {path}")
        if options.b is None:
            return Exit.DONE
    both = (a, run_sets.of_text(options.b, store, asked))
    a, b = (_once(_honest(_verified(_judged_since(side, options.min_rules), options), options)) for side in both)
    _say_shared(a, b)
    differences = comparable.differences(a.records, b.records)
    if differences and not options.allow_different:
        raise _bad(
            f"{a.name} and {b.name} did not measure the same: {', '.join(map(str, differences))}",
            "--allow-different compares them anyway",
        )
    return _compare(a, b, differences, options, share)


def _compare(
    a: Side, b: Side, differences: list[comparable.Difference], options: Namespace, share: float | None
) -> int:
    statistics = _statistics()
    phases = statistics.compare(a.records, b.records)
    slower = None if share is None else _is_slower(phases, options.phase, share)
    remarks = comparable.remarks(a.records, b.records)
    differing = {difference.what for difference in differences}
    unknown = [what for what in comparable.unknown([*a.records, *b.records]) if what not in differing]
    if options.json:
        print_json(
            {
                "a": _described(a),
                "b": _described(b),
                "differences": [asdict(difference) for difference in differences],
                "remarks": [asdict(remark) for remark in remarks],
                "unknown": unknown,
                "methods": statistics.METHODS,
                "phases": {name: asdict(phase) for name, phase in phases.items()},
                "reproduces": {name: statistics.reproduces(phase) for name, phase in phases.items()},
                "slower": slower,
            }
        )
    else:
        _show(a, b, phases, statistics.METHODS)
        for remark in (*differences, *remarks):
            say(f"not the same: {remark}")
        if unknown:
            say(f"may differ, not all runs tell: {', '.join(unknown)}")
    if slower:
        say(f"{options.phase} is slower by more than {options.fail_if_slower}")
    return Exit.FAILED if slower else Exit.DONE


def _statistics() -> ModuleType:
    """Return the module of the statistics; raise ProvisionerError (code 2) where what it needs is not installed."""
    try:
        from provisioner.comparison import statistics  # noqa: PLC0415 - it imports numpy and scipy, and nothing so far needed them
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"numpy", "scipy"}:
            raise
        raise _bad(
            f"the statistics need numpy and scipy, and {error.name} is not installed",
            f"`{sys.executable} -m pip install numpy scipy` installs them, as the extra `compare` does",
        ) from error
    return statistics


def _is_slower(phases: dict[str, Comparison], name: str, share: float) -> bool:
    """Return whether B is slower in a phase by more than the share. Raise ProvisionerError where not both have it."""
    judged = phases.get(name)
    if judged is None or judged.ratio is None:
        raise _bad(f"--fail-if-slower: not both sides have {name}", "name another with --phase")
    slower: bool = _statistics().is_slower(judged, share)
    return slower


def _show(a: Side, b: Side, phases: dict[str, Comparison], methods: Mapping[str, str]) -> None:
    """Show the two sides, the table of phases, and what is to be said of it."""
    for letter, side in (("A", a), ("B", b)):
        screen.show(f"{letter}: {printable(side.name)}, {counted(len(side.records), 'run')}, {_judged_by(side)}")
    print(_table(phases))
    told = (f"{name}: {how}" for name, how in methods.items())
    for line in (*_reproduced(phases), *_outliers(phases), *_few(phases), *told):
        screen.show(line)


def _table(phases: dict[str, Comparison]) -> str:
    header = ["phase", "n A", "median A", "IQR A", "n B", "median B", "IQR B", "B/A", "95 % interval", "p"]
    rows = []
    for name, phase in phases.items():
        figures = [value for side in (phase.a, phase.b) for value in (side.n, _digits(side.median), _digits(side.iqr))]
        interval = "-".join(f"{end:.3f}" for end in phase.interval) if phase.interval else None
        rows.append([name, *figures, _digits(phase.ratio, 3), interval, _digits(phase.p, 3)])
    return table(header, rows)


def _digits(value: float | None, digits: int = 2) -> str | None:
    return None if value is None else f"{value:.{digits}f}"


def _outliers(phases: dict[str, Comparison]) -> list[str]:
    found: dict[str, list[str]] = {}
    for name, phase in phases.items():
        for side, summary in (("A", phase.a), ("B", phase.b)):
            for run_id, seconds in summary.outliers.items():
                found.setdefault(f"outlier: {run_id} ({side})", []).append(f"{name} {seconds:.2f} s")
    return [f"{run}: {', '.join(times)}" for run, times in found.items()]


def _reproduced(phases: dict[str, Comparison]) -> list[str]:
    """Return the lines that say of which phases B has the times of A, and of which not."""
    from provisioner.comparison import statistics  # noqa: PLC0415 - it is there by now

    found: dict[str, list[str]] = {}
    for name, phase in phases.items():
        if (state := statistics.reproduces(phase)) is not None:
            found.setdefault(state, []).append(name if state == "same" else f"{name} ({_digits(phase.ratio)})")
    words = {"same": f"B has A's times within {statistics.TOLERANCE:.0%}", "slower": "slower", "faster": "faster"}
    return [f"{word}: {', '.join(found[state])}" for state, word in words.items() if state in found]


def _few(phases: dict[str, Comparison]) -> list[str]:
    few = [name for name, phase in phases.items() if phase.too_few]
    return [f"too few samples to tell from chance: {', '.join(few)}; `run --repeat` makes more"] if few else []


def _judged_since(side: Side, number: int | None) -> Side:
    """Return the side without the runs that rules older than `number` judged."""
    kept = [record for record in side.records if number is None or (record["audit"].get("rules") or 0) >= number]
    left_out = len(side.records) - len(kept)
    if left_out:
        say(f"{side.name}: left out {counted(left_out, 'run')} that rules older than {number} judged")
    if not kept:
        raise _bad(f"older rules than {number} judged every run of {side.name}", "leave out --min-rules, or run anew")
    return replace(side, records=kept)


def _verified(side: Side, options: Namespace) -> Side:
    """Return the side without the runs that came without evidence: nobody can judge what they claim."""
    unverified = [record for record in side.records if record.get("unverified")]
    if not unverified or options.unverified:
        return side
    kept = [record for record in side.records if not record.get("unverified")]
    if not kept:
        raise _bad(f"every run of {side.name} came without evidence", "--unverified compares them anyway")
    say(f"{side.name}: left out {counted(len(unverified), 'run')} that came without evidence: unverified")
    return replace(side, records=kept)


def _once(side: Side) -> Side:
    """Return the side with each evidence once, the same under another host or id too; without one, each run once."""
    kept: dict[object, RecordData] = {}
    for record in side.records:
        first = kept.setdefault(record.get("evidence_sha256") or (record["host"], record["run_id"]), record)
        if first is not record:
            ours, other = (f"{each['run_id']} on {each['host']}" for each in (record, first))
            why = "is there twice" if ours == other else f"is of the same evidence as {other}"
            say(f"{side.name}: left out {ours}, which {why}")
    return replace(side, records=list(kept.values()))


def _say_shared(a: Side, b: Side) -> None:
    """Say of which evidence both sides are: a run that is set against itself repeats nothing."""
    ours = {record["evidence_sha256"]: record["run_id"] for record in a.records if record.get("evidence_sha256")}
    shared = [ours[sum_] for record in b.records if (sum_ := record.get("evidence_sha256")) in ours]
    if shared:
        say(f"{a.name} and {b.name} have the same evidence in {', '.join(shared)}: that does not repeat it")


def _honest(side: Side, options: Namespace) -> Side:
    """Return the side without the runs that the audit rejected: their times are not what they claim to be."""
    rejected = {record["run_id"] for record in side.records if record["audit"]["verdict"] == "rejected"}
    if not rejected or options.allow_different:
        return side
    say(f"{side.name}: left out {len(rejected)} that the audit rejected: {', '.join(sorted(rejected))}")
    kept = [record for record in side.records if record["run_id"] not in rejected]
    if not kept:
        raise _bad(f"the audit rejected every run of {side.name}", "--allow-different compares them anyway")
    return replace(side, records=kept)


def _described(side: Side) -> dict[str, Any]:
    return {"name": side.name, "runs": [record["run_id"] for record in side.records], "rules": _rules(side)}


def _rules(side: Side) -> list[int | None]:
    """Return the numbers of the rules that a side's runs were judged by, newest first; None for before they had one."""
    numbers = {record["audit"].get("rules") for record in side.records}
    return sorted(numbers, key=lambda number: number or 0, reverse=True)


def _judged_by(side: Side) -> str:
    return f"rules {', '.join('without a number' if one is None else str(one) for one in _rules(side))}"


def _share(text: str | None) -> float | None:
    """Read --fail-if-slower: 10% is 0.1."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text)
    if not found:
        raise _bad(f"--fail-if-slower {text!r} is not a percentage", "try --fail-if-slower 10%")
    return float(found[1]) / 100


def _bad(message: str, remedy: str) -> ProvisionerError:
    return ProvisionerError(message, remedy, Exit.BAD_INPUT)
