"""What a log proves of each phase: whether it was begun, how long it took, whether it went well."""

import re
from dataclasses import dataclass

from provisioner.runs import phases as known
from provisioner.runs.record import Phase
from provisioner.upstream.log import Log, LoggedCommand

__all__ = ["lines_of", "phases"]


@dataclass(frozen=True)
class Signs:
    """A phase that is one timed command: what the command looks like, and what it prints when it went well."""

    command: re.Pattern[str]
    success: str | None = None
    failure: str | None = None


# Where a pattern has several parts with anything between them, the first place of each is as good as any other, and no
# other is tried (?>): a line that repeats a part would take the square of its length.
TIMED = {
    "clone": Signs(re.compile(r"^(?>.*?git clone ).*/xformers(?:\.git)?(?:[\"' ]|$)"), failure=r"\bfatal: "),
    "compile": Signs(
        re.compile(r"^(?>.*?\bpip3? install\b)(?>.*? -e\b).*xformers"), success="Successfully installed xformers"
    ),
    "pre_commit": Signs(
        re.compile(r"^(?>.*?\bpip3? install\b).* pre-commit\b"),
        success="^(?>.*?Successfully installed ).*pre-commit|already satisfied: pre-commit",
    ),
    "attention_test": Signs(re.compile(r"\battention_test\.py\b"), success="Output shape: "),
}
LAY_DOWN = re.compile(r"^(?>.*?git clone ).*/xformers-devcontainer\.git")
UP = re.compile(r"devcontainer up\b")
BUILD = r"Run: docker (?:buildx )?build (?!.*/updateUID\.Dockerfile)"
"""How the Dev Container CLI names the build of the image; that which adapts user ids belongs to container_up."""


def phases(log: Log) -> list[Phase]:
    """Return every phase in order; one that the log does not show is skipped.

    `clean` and `lay_down` have no time: the log does not tell where they begin and end. `container_up` is the time of
    `devcontainer up` less the phases within it, as in runs of our own.
    """
    up = next((command for command in log.commands if UP.search(command.text)), None)
    found = {
        "clean": _between(log, "clean", "--- Cleaning the environment", "Starting benchmark run at"),
        "lay_down": _lay_down(log, up),
        "image_build": _image_build(log),
        **{name: _timed(log, name, signs) for name, signs in TIMED.items()},
    }
    if up:
        found["container_up"] = _container_up(log, up, found)
    return [found.get(name) or _phase(name, None, None, "skipped") for name in known.PHASES]


def lines_of(log: Log, name: str) -> list[str]:
    """Return what the last command of a phase printed; all of the log where the phase is no single command."""
    signs = TIMED.get(name)
    commands = [command for command in log.commands if signs and signs.command.search(command.text)]
    return list(log.lines[commands[-1].first + 1 : commands[-1].last] if commands else log.lines)


def _phase(name: str, started: float | None, seconds: float | None, outcome: str) -> Phase:
    return Phase.model_validate({"name": name, "started": started, "seconds": seconds, "outcome": outcome})


def _offset(log: Log, index: int) -> float | None:
    """Return the seconds from the run's start to a line; None where the log does not tell."""
    time = log.time_at(index)
    seconds = (time - log.started).total_seconds() if time else -1
    return round(seconds, 3) if seconds >= 0 else None


def _between(log: Log, name: str, begin: str, end: str) -> Phase | None:
    begun = log.find(begin)
    return _phase(name, None, None, "ok" if log.find(end) else "failed") if begun else None


def _lay_down(log: Log, up: LoggedCommand | None) -> Phase | None:
    begun = any(LAY_DOWN.search(command.text) for command in log.commands)
    return _phase("lay_down", None, None, "ok" if up else "failed") if begun else None


def _image_build(log: Log) -> Phase | None:
    begun = log.find(f"Start: {BUILD}")
    if not begun:
        return None
    stopped = log.find(rf"Stop \((\d{{1,12}}) ms\): {BUILD}")
    failed = not stopped or log.find(r"Error: Command failed: docker (?:buildx )?build", stopped[0])
    seconds = int(stopped[1][1]) / 1000 if stopped else None
    return _phase("image_build", _offset(log, begun[0]), seconds, "failed" if failed else "ok")


def _timed(log: Log, name: str, signs: Signs) -> Phase | None:
    commands = [command for command in log.commands if signs.command.search(command.text)]
    if not commands:
        return None
    seconds = [command.seconds for command in commands if command.seconds is not None]
    well = all(_went_well(log, signs, command) for command in commands)
    whole = round(sum(seconds), 3) if len(seconds) == len(commands) else None
    return _phase(name, _offset(log, commands[0].first), whole, "ok" if well else "failed")


def _went_well(log: Log, signs: Signs, command: LoggedCommand) -> bool:
    span = command.first + 1, command.last
    return (
        command.seconds is not None
        and (signs.success is None or log.find(signs.success, *span) is not None)
        and (signs.failure is None or log.find(signs.failure, *span) is None)
    )


def _container_up(log: Log, up: LoggedCommand, found: dict[str, Phase | None]) -> Phase:
    inner = [phase for name in ("image_build", *known.within("container_up")) if (phase := found[name])]
    well = log.find(r'^\{"outcome":"success"', up.first, up.last)
    # Where a phase within it failed, that is the phase to look at.
    outcome = "ok" if well or any(phase.outcome == "failed" for phase in inner) else "failed"
    within = [phase.seconds for phase in inner if phase.seconds is not None]
    seconds = None
    if up.seconds is not None and len(within) == len(inner):
        seconds = max(0.0, round(up.seconds - sum(within), 3))
    return _phase("container_up", _offset(log, up.first), seconds, outcome)
