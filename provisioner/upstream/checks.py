"""Judges a log: the claims of the audit that a log can show, each with the line that shows it.

Only Scenario A claims that nothing was cached; b and c are there to show what caches save.
"""

from collections.abc import Callable
from datetime import timedelta

from provisioner.runs.record import Audit, Check, Phase
from provisioner.upstream.log import STAMP, Log
from provisioner.upstream.phases import TIMED

__all__ = ["judge"]

PASS, FAIL, SKIP = "pass", "fail", "skip"
LogFinding = tuple[str, str, int | None]
"""Outcome, detail, and the index of the line that shows it."""


def judge(log: Log, phases: list[Phase], log_name: str) -> Audit:
    """Return the verdict: rejected where a check fails, incomplete where one could not be made."""
    checks = []
    for check in (*ALWAYS, *(COLD if log.scenario == "a" else ())):
        outcome, detail, line = check(log, phases)
        where = log_name if line is None else f"{log_name}:{line + 1}"
        checks.append(
            Check.model_validate({"name": check.__name__, "outcome": outcome, "detail": detail, "evidence": where})
        )
    outcomes = {check.outcome for check in checks}
    return Audit(verdict="rejected" if FAIL in outcomes else "incomplete", checks=checks)


def run_went_well(log: Log, phases: list[Phase]) -> LogFinding:
    """The script came to its end with every phase done."""
    failed = next((phase.name for phase in phases if phase.outcome == "failed"), None)
    if failed:
        return SKIP, f"the run failed in {failed}", None
    if log.total is None:
        return SKIP, "the log ends before the run did", len(log.lines) - 1
    return PASS, "it ended, and no phase failed", len(log.lines) - 1


def times_agree(log: Log, phases: list[Phase]) -> LogFinding:
    """The total is the time from start to end, and the phases fit into it."""
    if log.total is None or log.ended is None:
        return SKIP, "the log does not tell when the run ended", None
    # Start, end and total are whole seconds, each cut off by itself.
    if abs(log.ended - log.started - timedelta(seconds=log.total)) > timedelta(seconds=1):
        return (
            FAIL,
            f"from start to end is {log.ended - log.started}, the total is {log.total:.0f} s",
            len(log.lines) - 1,
        )
    sum_of_phases = sum(phase.seconds or 0 for phase in phases)
    if sum_of_phases > log.total + 1:
        return FAIL, f"the phases take {sum_of_phases:.1f} s, the total is {log.total:.0f} s", len(log.lines) - 1
    return PASS, "start, end, total and phases agree", len(log.lines) - 1


def compiled_once(log: Log, _phases: list[Phase]) -> LogFinding:
    """xformers was compiled exactly once."""
    compiles = [command for command in log.commands if TIMED["compile"].command.search(command.text)]
    if not compiles:
        return SKIP, "the run did not get to it", None
    if len(compiles) > 1:
        return FAIL, f"{len(compiles)} commands install xformers", compiles[1].first
    return SKIP, "one command installs xformers; what that compiled is not in the log", compiles[0].first


def log_is_timestamped(log: Log, _phases: list[Phase]) -> LogFinding:
    """Every line of the log carries its time."""
    bare = [index for index, line in enumerate(log.lines) if line and not STAMP.match(line)]
    if bare:
        return FAIL, f"{len(bare)} lines carry no time", bare[0]
    return PASS, "every line does", None


def attention_test_passed(log: Log, phases: list[Phase]) -> LogFinding:
    """The attention test ran in the run itself, and passed."""
    commands = [command for command in log.commands if TIMED["attention_test"].command.search(command.text)]
    outcome = next(phase.outcome for phase in phases if phase.name == "attention_test")
    if not commands:
        return SKIP, "the run did not get to it", None
    if outcome == "failed":
        return FAIL, "it gave no result", commands[-1].first
    return PASS, "it printed its result", commands[-1].first


def configuration_has_no_shortcut(log: Log, _phases: list[Phase]) -> LogFinding:
    """The build was not told to take layers from another image."""
    build = log.find(r"Start: Run: docker (?:buildx )?build ")
    if not build:
        return SKIP, "the log shows no build", None
    shortcut = log.find(r"^(?>.*?Start: Run: docker (?:buildx )?build ).*--cache-from[ =](\S+)")
    if shortcut:
        return FAIL, f"the build takes layers from {shortcut[1][1]} where it can", shortcut[0]
    return PASS, "no --cache-from", build[0]


def no_cached_layer(log: Log, _phases: list[Phase]) -> LogFinding:
    """The build took no layer from a cache."""
    build = log.find(r"Start: Run: docker (?:buildx )?build ")
    if not build:
        return SKIP, "the log shows no build", None
    cached = log.find(r"---> Using cache|^(?:\[\S+\] )?#\d+ CACHED\b")
    if cached:
        return FAIL, "a layer came from the cache", cached[0]
    if "--no-cache" not in log.lines[build[0]]:
        return FAIL, "the build did not say --no-cache", build[0]
    return PASS, "built with --no-cache, no layer from a cache", build[0]


ALWAYS: tuple[Callable[[Log, list[Phase]], LogFinding], ...] = (
    run_went_well,
    times_agree,
    compiled_once,
    log_is_timestamped,
    attention_test_passed,
)
COLD: tuple[Callable[[Log, list[Phase]], LogFinding], ...] = (configuration_has_no_shortcut, no_cached_layer)
