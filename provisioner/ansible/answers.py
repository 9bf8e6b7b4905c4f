"""The types of what hosts answer: an answer that does not fit them is refused.

Each function takes what a host's Python answered and returns what is known of it and nothing else, or raises
WrongAnswerError with a line that says what is wrong with it. The actions in plugins/action ask them before
Ansible sees an answer, so that a wrong one fails its host alone; `events` asks them again. Written by hand, since the
look of a host that needs nothing must not wait for the import of a library.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from provisioner.text import bounds, names
from provisioner.text.display import printable

__all__ = [
    "WrongAnswerError",
    "cancelled",
    "checks",
    "ended",
    "findings",
    "look",
    "mending",
    "module",
    "parse",
    "planned",
    "progress",
    "recovered",
    "run",
    "silent",
]

Parser = Callable[[Any], Any]

MUST_TELL = {
    "planned": ("run_id", "scenario_planned"),
    "started": ("run_id",),
    "finished": ("run_id",),
    "listed": ("run_id", "scenario_ended"),
    "cancelled": ("scenario_cancelled",),
    "packed": ("archive",),
    "collected": (),
}
"""What the module `scenario_run` answers at least, by what it is asked for."""
OF_THE_RUN = ("finished", "packed", "collected")
"""What it is asked for of one run, by its id; `finished` may be without one."""
OUTCOMES = ("ok", "failed", "interrupted")
CANCELLED = ("cancelled", "ended", "another", "none")
"""What became of a run that was to be cancelled: it, or its end before; that another is under way, or none."""
LONGEST_TIME = 1e9
"""Seconds: thirty years."""
LARGEST = 1e15
"""Of any number; a clock's, in seconds, is far below."""
LONG = 100_000
"""Characters of what a program printed, of which the last lines may say why it failed."""
PYTHON_FOUND = "discovered_interpreter_"
"""How the facts begin by which Ansible itself remembers which Python it found on a host."""


class WrongAnswerError(ValueError):
    """What a host answered is not what it was asked for."""


def parse(text: str) -> Any:
    """Return the value of an answer in JSON."""
    if len(text) > bounds.ANSWER:
        raise WrongAnswerError(f"it is larger than {bounds.ANSWER >> 20} MiB")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WrongAnswerError("it is not JSON") from error


def look(answer: Any) -> dict[str, Any]:
    """Return the answer to a look: `looks` by role, `off`, `busy`, `waiting_for`, `warnings` and `reboot_required`.

    With them is what a run would do, `scenario_planned`, where that was asked. A look that failed has found nothing,
    unless the host is refused for what was found.
    """
    answer = _object(answer)
    busy = _within("busy", texts, answer.get("busy"))
    refused = {"failed": True, "msg": text(answer.get("msg"))} if answer.get("failed") else {}
    if refused and "looks" not in answer:
        return {**refused, "busy": busy}
    found = _each("looks", answer.get("looks"), names.role, _look)
    run = answer.get("scenario_planned")
    return {
        "looks": found,
        "busy": busy,
        "off": [change for one in found.values() for change in one["changes"]],
        "waiting_for": _within("waiting_for", text, answer.get("waiting_for")),
        "warnings": _within("warnings", texts, answer.get("warnings")),
        "reboot_required": _within("reboot_required", flag, answer.get("reboot_required")),
        **refused,
    } | ({"scenario_planned": _within("scenario_planned", planned, run)} if run is not None else {})


def progress(answer: Any) -> dict[str, Any]:
    """Return where a run stands."""
    return _fields(
        answer,
        run_id=names.run_id,
        state=one_of("running", "finished"),
        phase=phase,
        elapsed=seconds,
        phase_elapsed=seconds,
        done=maybe(count),
        total=maybe(count),
        input_hash=text,
        said=text,
    )


def ended(answer: Any) -> list[dict[str, Any]]:
    """Return the runs that have ended on a host."""
    return _list(
        answer,
        lambda one: _fields(
            one,
            run_id=names.run_id,
            started_at=maybe(text),
            collected=flag,
            outcome=one_of(*OUTCOMES),
            phase=phase,
            cause=maybe(text),
        ),
    )


def cancelled(answer: Any) -> dict[str, Any]:
    """Return what became of a run that was to be cancelled."""
    state = one_of(*CANCELLED)(_object(answer).get("state"))
    return _fields(
        answer,
        state=str,
        # Where none is under way, it is of none.
        run_id=maybe(names.run_id) if state == "none" else names.run_id,
        by=text,
        outcome=one_of(*OUTCOMES) if state in {"cancelled", "ended"} else maybe(one_of(*OUTCOMES)),
        phase=phase,
    )


def recovered(answer: Any) -> list[dict[str, Any]]:
    """Return the runs that came along, each with its outcome and phase, or with why it cannot be collected."""
    return _list(
        answer,
        lambda one: (
            _fields(one, run_id=names.run_id, error=text)
            if isinstance(one, Mapping) and "error" in one
            else _fields(one, run_id=names.run_id, outcome=one_of(*OUTCOMES), phase=phase)
        ),
    )


def planned(answer: Any) -> dict[str, Any]:
    """Return what a run would do on a host: with the id of the run that is meant, or with why it would be refused."""
    would = _fields(answer, would=one_of("measure", "reuse", "attach", "refuse"))["would"]
    return _fields(answer, would=str, detail=names.run_id if would in {"reuse", "attach"} else text)


def silent(answer: Any) -> dict[str, Any]:
    """Return for how long a host has not answered, and why."""
    return _fields(answer, run_id=maybe(names.run_id), seconds=seconds, since=seconds, message=text)


def findings(answer: Any) -> list[dict[str, str]]:
    """Return what the doctor found on a host."""
    outcome = one_of("ok", "warn", "fail")
    return _list(answer, lambda one: _fields(one, check=text, outcome=outcome, detail=text, remedy=text))


def run(answer: Any, state: str, run_id: str = "", *, check_mode: bool = False) -> dict[str, Any]:
    """Return what the module `scenario_run` answers when it is asked for `state`, of a run or of all."""
    found = module(
        answer,
        MUST_TELL[state],
        # Where there is none, one was to be started.
        run_id=names.run_id if state == "started" and not check_mode else maybe(names.run_id),
        scenario_progress=progress,
        scenario_planned=planned,
        scenario_ended=ended,
        scenario_cancelled=cancelled,
        archive=_archive,
    )
    if found.get("failed"):
        return found
    told = found.get("run_id")
    if run_id and state in OF_THE_RUN and told != run_id:
        raise WrongAnswerError(f"it is not of run {run_id}")
    # `listed` names the newest run, and tells of the one under way.
    of = found.get("scenario_progress", {}).get("run_id", told)
    if state != "listed" and of != told:
        raise WrongAnswerError(f"its progress is of run {of}, not of {told}")
    return found


def checks(answer: Any, *, sources_only: bool) -> dict[str, Any]:
    """Return what the module `host_checks` answers; of sources only, it tells nothing where they answer."""
    needed = () if sources_only else ("host_findings", "host_clock")
    return module(answer, needed, host_findings=findings, host_clock=clock)


def clock(answer: Any) -> tuple[float, float]:
    """Return two readings of a host's clock, the earlier first, in seconds since 1970; a clock may be set to any."""
    readings = _list(answer, number)
    if len(readings) != 2:
        raise _unlike("two readings of a clock", answer)
    return readings[0], readings[1]


def mending(answer: Any, state: str) -> dict[str, Any]:
    """Return what the module `mending` answers when it is asked for `state`."""
    return module(
        answer,
        ("job", "waiting_for", "stale") if state == "begun" else (),
        job=names.job,
        waiting_for=text,
        stale=flag,
        holder=maybe(holder),
        provisioner_notes=texts,
    )


def holder(answer: Any) -> dict[str, Any]:
    """Return who has a host's lock: its job, and what its controller said of itself."""
    who = maybe(lambda one: _fields(one, seen_from=text, pid=count, began=text))
    return _fields(answer, job=names.job, identity=who)


def module(answer: Any, needed: Collection[str] = (), **parsers: Parser) -> dict[str, Any]:
    """Return a module's answer: what Ansible knows of every module's, and what `parsers` know, where it is there.

    What is `needed` must be there, unless the module failed. Whether it was skipped, or its host not reached, is not
    the host's to say.
    """
    answer = _object(answer)
    known = COMMON | parsers
    if not answer.get("failed"):
        for name in needed:
            if name not in answer:
                raise WrongAnswerError(f"it has no {name}")
    checked = {name: _within(name, known[name], answer[name]) for name in known if name in answer}
    # What a host says under such names, Ansible has taken out already: these are its own.
    checked |= {name: answer[name] for name in answer if str(name).startswith("_ansible_")}
    facts = answer.get("ansible_facts")
    own = {name: facts[name] for name in facts if name.startswith(PYTHON_FOUND)} if isinstance(facts, dict) else {}
    return checked | ({"ansible_facts": own} if own else {})


# --- parts of answers ---


def text(value: Any) -> str:
    """Return a text; one that is missing is empty, and a long one is cut."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _unlike("a text", value)
    return value if len(value) <= bounds.LINE else f"{value[: bounds.LINE]}…"


def output(value: Any) -> str:
    """Return the end of what a program printed."""
    return value[-LONG:] if isinstance(value, str) else text(value)


def texts(value: Any) -> list[str]:
    """Return a list of texts; a missing one is empty."""
    return _list([] if value is None else value, text)


def flag(value: Any) -> bool:
    """Return whether; what is missing is not so."""
    if value is None or isinstance(value, bool):
        return bool(value)
    raise _unlike("true or false", value)


def count(value: Any) -> int:
    """Return a whole number of things."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53:
        return value
    raise _unlike("a number of things", value)


def seconds(value: Any) -> float:
    """Return a length of time; a missing one is 0."""
    if value is None:
        return 0.0
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LONGEST_TIME:
        return float(value)  # NaN and infinity are in no range
    raise _unlike("a length of time", value)


def number(value: Any) -> float:
    """Return a finite number."""
    if isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST:
        return float(value)  # NaN and infinity are in no range
    raise _unlike("a number", value)


def phase(value: Any) -> str | None:
    """Return the phase that a run is in, or ended in; null or empty where that is none."""
    return value if value in (None, "") else names.phase(value)


def one_of(*words: str) -> Parser:
    """Return the parser of one of these words."""

    def parser(value: Any) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise _unlike(" or ".join(words), value)

    return parser


def maybe(parser: Parser) -> Parser:
    """Return the parser of what may be null, or missing."""
    return lambda value: None if value is None else parser(value)


def plain(value: Any, deep: int = 0, left: list[int] | None = None) -> Any:
    """Return a value of JSON that has finite numbers, is not too deep and not too large."""
    left = [bounds.VALUES] if left is None else left
    left[0] -= 1
    if left[0] < 0:
        raise WrongAnswerError(f"it has more than {bounds.VALUES} values")
    if deep > bounds.DEPTH:
        raise WrongAnswerError(f"it is nested deeper than {bounds.DEPTH}")
    if isinstance(value, dict):
        return {text(key): plain(inner, deep + 1, left) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner, deep + 1, left) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise _unlike("a finite number", value)
    return output(value) if isinstance(value, str) else value


def _warning(value: Any) -> str:
    """Return a warning's text; Ansible has made an object of it, with the text in its event. Others are empty."""
    said = getattr(getattr(value, "event", None), "msg", value)
    return text(said) if isinstance(said, str) else ""


COMMON: dict[str, Parser] = {
    "changed": flag,
    "failed": flag,
    "rc": lambda value: value if isinstance(value, int) else None,
    "msg": lambda value: value if isinstance(value, str) and len(value) <= LONG else printable(value, bounds.LINE),
    "warnings": lambda value: [said for said in _list(value, _warning) if said],
    "diff": plain,
    "changed_files": texts,
} | dict.fromkeys(("stdout", "stderr", "module_stdout", "module_stderr"), output)


def _look(answer: Any) -> dict[str, Any]:
    """Return what a probe found: what every probe tells, and plain values that its role's tasks need."""
    found: dict[str, Any] = plain(_object(answer))
    return found | {
        "changes": _within("changes", _changes, found.get("changes")),
        "notes": _within("notes", texts, found.get("notes")),
        "skipped": _within("skipped", text, found.get("skipped")),
    }


def _changes(value: Any) -> list[dict[str, Any]]:
    fields: dict[str, Parser] = {"what": text, "from": _scalar, "to": _scalar}
    return _list(value, lambda one: _fields(one, **fields))


def _scalar(value: Any) -> Any:
    if isinstance(value, dict | list):
        raise _unlike("a text", value)
    return value


def _archive(value: Any) -> str:
    if not isinstance(value, str):
        raise _unlike("an archive in base64", value)
    if len(value) > bounds.ARCHIVE * 4 // 3 + 4:
        raise WrongAnswerError(f"it is larger than {bounds.ARCHIVE >> 20} MiB")
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _unlike("an object", value)
    return dict(value)


def _fields(value: Any, **parsers: Parser) -> dict[str, Any]:
    """Return these fields of an object, each by its parser, and no others."""
    value = _object(value)
    return {name: _within(name, parser, value.get(name)) for name, parser in parsers.items()}


def _list(value: Any, parser: Parser) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise _unlike("a list", value)
    if len(value) > bounds.LISTED:
        raise WrongAnswerError(f"it has more than {bounds.LISTED} entries")
    return [parser(one) for one in value]


def _each(name: str, value: Any, key: Parser, parser: Parser) -> dict[str, Any]:
    """Return an object whose keys and values are all of one kind."""
    try:
        value = _object(value)
        return {key(one): _within(str(one), parser, inner) for one, inner in value.items()}
    except ValueError as error:
        raise WrongAnswerError(f"{name}: {error}") from error


def _within(name: str, parser: Parser, value: Any) -> Any:
    """Return what `parser` makes of a value; say where where it makes nothing of it."""
    try:
        return parser(value)
    except ValueError as error:
        raise WrongAnswerError(f"{name}: {error}") from error


def _unlike(wanted: str, value: Any) -> WrongAnswerError:
    if value is None:
        return WrongAnswerError(f"it is missing, and should be {wanted}")
    shown = printable(repr(value), 60) if isinstance(value, str | int | float) else _kind(value)
    return WrongAnswerError(f"{shown} is not {wanted}")


def _kind(value: Any) -> str:
    return "an object" if isinstance(value, Mapping) else "a list" if isinstance(value, list | tuple) else "a value"
