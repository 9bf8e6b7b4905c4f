"""What Ansible says while a job runs, as types: one of ansible-runner's dictionaries in, a few events out."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from provisioner.ansible import answers
from provisioner.runs.record_data import RecordData
from provisioner.text import bounds, names
from provisioner.text.display import printable

__all__ = [
    "Busy",
    "Cancelled",
    "Ended",
    "Event",
    "HostFinding",
    "InputsNoted",
    "Looked",
    "Noted",
    "Output",
    "Planned",
    "Progress",
    "RebootRequired",
    "RecordFound",
    "Recovered",
    "Said",
    "Silent",
    "Started",
    "Stats",
    "TaskFailure",
    "Waiting",
    "translate",
]

INPUT_CHECK = "valid_inputs"
"""The action that looks at nothing but what a person set, on the controller, before any host is touched."""

PATIENT = (
    "base_image",
    "dkms_module",
    "host_packages",
    "npm_package",
    "python_venv",
    "signed_repository",
    "source_repository",
)
"""The modules that say what their programs say: module_utils/patience.py of the collection."""

NO_SUDO = "sudo asks for a password there; allow it without, or set ansible_become_password in the inventory"
NO_PYTHON = "no Python 3 on the host; install it there (apt-get install python3), or set ansible_python_interpreter"
EXPLAINED = {
    r"REMOTE HOST IDENTIFICATION HAS CHANGED": "its SSH host key is not the one in known_hosts; find out why, and"
    " where it is another machine now, remove the old key with `ssh-keygen -R ADDRESS`",
    r"Host key verification failed": "its SSH host key is not in known_hosts; log in to it by hand once, or add it",
    r"must have a tty to run sudo": "sudo requires a terminal there; turn requiretty off for this user, by"
    " 'Defaults:USER !requiretty' in sudoers",
    r"sudoers.*(syntax|parse) error|no valid sudoers|sudoers is (world writable|owned)": "sudo refuses its own sudoers"
    " there; mend what `visudo -c` says as root",
    r"sudo.*(setuid bit set|nosuid|effective uid)": "sudo cannot become root there; have it owned by root"
    " with mode 4755, on a file system without nosuid",
    r"not in the sudoers file|is not allowed to execute": "sudo does not let this user there; have a rule in sudoers"
    " that lets it run all as root",
    r"sudo['\"]?: (command )?not found": "there is no sudo there; install it and let this user use it, log in as root,"
    " or set ansible_become_method in the inventory",
    r"Missing sudo password|sudo: a password is required": NO_SUDO,
    r"python[\d.]*['\"]?: (command )?not found|python[\d.]*: No such file": NO_PYTHON,
    r"Timed out after \d+ second": "it did not answer in time; see what it is doing, and run the command again",
}
"""What the programs below say at length or in riddles, and what is said instead."""
ANSWERED = frozenset({"runner_on_ok", "runner_on_failed", "runner_retry", "runner_item_on_ok"})
"""The events of ansible-runner that have what a task answers."""
NO_ROOM = re.compile(r".*(?:No space left on device|Disk quota exceeded).*")
LONGEST = 100_000
"""Characters of what a failed task said that are looked at: the last ones."""


@dataclass(frozen=True)
class Output:
    """A piece of what Ansible itself prints."""

    text: str


@dataclass(frozen=True)
class Started:
    """A host begins a task; `role` is '' where the task is of none."""

    host: str
    play: str
    task: str
    role: str = ""


@dataclass(frozen=True)
class TaskFailure:
    """A task failed on a host, or the host could not be reached; `message` is one line.

    `invalid_inputs` says that what a person set was wrong, and that no host was touched. `uncounted` says that Ansible
    takes the task for done: what the host answered is wrong all the same.
    """

    host: str
    play: str
    task: str
    unreachable: bool
    message: str
    invalid_inputs: bool = False
    uncounted: bool = False


@dataclass(frozen=True)
class Progress:
    """Where a run on a host stands; times in seconds, `done` of `total` objects inside the compile.

    Runs of the same inputs have one `input_hash`; `said` is the last line of its log, where nothing can be counted.
    """

    host: str
    run_id: str
    state: str
    phase: str | None
    elapsed: float
    phase_elapsed: float
    done: int | None = None
    total: int | None = None
    input_hash: str = ""
    said: str = ""


@dataclass(frozen=True)
class Silent:
    """A host whose run is watched has not answered for `seconds`; the run goes on there, if the host does."""

    host: str
    run_id: str
    seconds: float
    message: str


@dataclass(frozen=True)
class Ended:
    """The runs that have ended on a host: run_id, started_at, outcome, phase, cause and collected of each."""

    host: str
    runs: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Cancelled:
    """What became of a run that was to be cancelled on a host.

    `state` is cancelled, ended (it was over), another (that one is under way, and was left alone) or none.
    """

    host: str
    state: str
    run_id: str | None
    by: str = ""
    outcome: str | None = None
    phase: str | None = None


@dataclass(frozen=True)
class Recovered:
    """Earlier runs of a host that nobody had collected: run_id, and outcome and phase, or error, of each."""

    host: str
    runs: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class RecordFound:
    """A host gave the record of a run, not validated yet."""

    host: str
    record: RecordData


@dataclass(frozen=True)
class HostFinding:
    """What the doctor found on a host: `outcome` is ok, warn or fail."""

    host: str
    check: str
    outcome: str
    detail: str
    remedy: str


@dataclass(frozen=True)
class Looked:
    """What is off about a role on a host; each change has what, from and to. No changes: nothing is.

    `notes` are what a person should read; `skipped` says why the host is none of the role's business.
    """

    host: str
    role: str
    changes: tuple[dict[str, str], ...]
    notes: tuple[str, ...] = ()
    skipped: str = ""


@dataclass(frozen=True)
class Noted:
    """What a person should read of a host, beside what a look tells."""

    host: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class InputsNoted:
    """What a person should know of the inputs, of whichever host they are."""

    notes: tuple[str, ...]


@dataclass(frozen=True)
class Busy:
    """What a host is busy with that is not ours, a line for each kind."""

    host: str
    what: tuple[str, ...]


@dataclass(frozen=True)
class Planned:
    """What `run` would do on a host: `would` is measure, reuse, attach or refuse; `detail` the run's id, or why."""

    host: str
    would: str
    detail: str


@dataclass(frozen=True)
class RebootRequired:
    """A host needs a restart before it can do what was asked of it."""

    host: str


@dataclass(frozen=True)
class Waiting:
    """A host cannot go on before `what` is over."""

    host: str
    what: str


@dataclass(frozen=True)
class Said:
    """What a program that a task waits for printed last."""

    host: str
    what: str


@dataclass(frozen=True)
class Stats:
    """Ansible's counts at its end, each by host."""

    ok: Mapping[str, int]
    changed: Mapping[str, int]
    failed: Mapping[str, int]
    unreachable: Mapping[str, int]


Event = (
    Output
    | Started
    | TaskFailure
    | Progress
    | Silent
    | Ended
    | Cancelled
    | Recovered
    | RecordFound
    | HostFinding
    | Looked
    | Noted
    | InputsNoted
    | Busy
    | Planned
    | RebootRequired
    | Waiting
    | Said
    | Stats
)


def translate(raw: Mapping[str, Any]) -> Iterator[Event]:
    """Yield what an event of ansible-runner's means to us; nothing for most of them.

    An answer that is not of the types it must be is a failure of its host.
    """
    kind = raw.get("event", "")
    data = raw.get("event_data") or {}
    result = data.get("res")
    result = result if isinstance(result, dict) else {}
    action = str(data.get("task_action", "")).rpartition(".")[2]
    if raw.get("stdout"):
        yield Output(str(raw["stdout"]))
    yield from _of_ansible(kind, data, action, result)
    if kind in ANSWERED:
        host = str(data.get("host", ""))
        try:
            yield from TELLING.get(action, _nothing)(host, result)
        except ValueError as error:
            said = f"its answer is not what was asked for: {printable(error)}; look at the host"
            play, task = (str(data.get(name, "")) for name in ("play", "task"))
            yield TaskFailure(host, play, task, unreachable=False, message=said, uncounted=True)


def _of_ansible(kind: str, data: Mapping[str, Any], action: str, result: Mapping[str, Any]) -> Iterator[Event]:
    """Yield what Ansible itself says of a task: that it begins, that it failed; and at the end of all."""
    host, play, task = (str(data.get(name, "")) for name in ("host", "play", "task"))
    if kind == "playbook_on_stats":
        yield Stats(*(data.get(key) or {} for key in ("ok", "changed", "failures", "dark")))
    elif kind == "runner_on_start" and action != INPUT_CHECK:
        yield Started(host, play, task, str(data.get("role") or "").rpartition(".")[2])
    elif kind in {"runner_on_failed", "runner_on_unreachable"} and not data.get("ignore_errors"):
        # Said by the action, here; from a host it would mean nothing.
        invalid = action == INPUT_CHECK and bool(result.get("invalid_inputs"))
        yield TaskFailure(host, play, task, kind == "runner_on_unreachable", message(result), invalid_inputs=invalid)


def _nothing(_host: str, _result: Mapping[str, Any]) -> Iterator[Event]:
    """Return nothing: a task that is not ours has nothing to tell us, whatever its host answers."""
    return iter(())


def _run(host: str, result: Mapping[str, Any]) -> Iterator[Event]:
    """Yield what is told of a host's runs."""
    if "scenario_ended" in result:
        yield Ended(host, tuple(answers.ended(result["scenario_ended"])))
    if "scenario_cancelled" in result:
        yield Cancelled(host, **answers.cancelled(result["scenario_cancelled"]))
    if "scenario_silent" in result:
        silent = answers.silent(result["scenario_silent"])
        yield Silent(host, silent["run_id"] or "", silent["seconds"], silent["message"])
    if "scenario_progress" in result:
        yield Progress(host, **answers.progress(result["scenario_progress"]))
    if "scenario_planned" in result:
        yield Planned(host, **answers.planned(result["scenario_planned"]))


def _collect(host: str, result: Mapping[str, Any]) -> Iterator[Event]:
    """Yield the runs that came to this machine."""
    if recovered := answers.recovered(result.get("scenario_recovered") or ()):
        yield Recovered(host, tuple(recovered))
    facts = result.get("ansible_facts")
    record = facts.get("scenario_a_record") if isinstance(facts, dict) else None
    if isinstance(record, dict):
        names.run_id(record.get("run_id"))
        yield RecordFound(host, cast("RecordData", record))


def _checks(host: str, result: Mapping[str, Any]) -> Iterator[Event]:
    """Yield what the doctor found."""
    for finding in answers.findings(result.get("host_findings") or ()):
        yield HostFinding(host, **finding)


def _look(host: str, result: Mapping[str, Any]) -> Iterator[Event]:
    """Yield what the host is busy with, though it was refused for that, and what is off."""
    if busy := answers.texts(result.get("busy")):
        yield Busy(host, tuple(busy))
    if "looks" not in result:
        return
    answer = answers.look(result)
    for role, found in answer["looks"].items():
        yield Looked(host, role, tuple(found["changes"]), tuple(found["notes"]), found["skipped"])
    if answer["reboot_required"]:
        yield RebootRequired(host)
    if "scenario_planned" in answer:
        yield Planned(host, **answer["scenario_planned"])


def _lock(host: str, result: Mapping[str, Any]) -> Iterator[Event]:
    """Yield what has to be over before the host can be mended, or apt be used; who waited in vain fails with it."""
    waiting_for = answers.text(result.get("waiting_for"))
    if waiting_for and not result.get("failed"):
        yield Waiting(host, waiting_for)


def _said(host: str, result: Mapping[str, Any]) -> Iterator[Event]:
    """Yield what the programs of a task say before it is over."""
    if says := answers.text(result.get("says")):
        yield Said(host, says)


def _mending(host: str, result: Mapping[str, Any]) -> Iterator[Event]:
    """Yield what there is to say of the host's lock and log."""
    yield from _lock(host, result)
    if notes := answers.texts(result.get("provisioner_notes")):
        yield Noted(host, tuple(notes))


def _inputs(_host: str, result: Mapping[str, Any]) -> Iterator[Event]:
    """Yield what there is to know of the inputs."""
    if notes := answers.texts(result.get("input_notes")):
        yield InputsNoted(tuple(notes))


TELLING = {
    INPUT_CHECK: _inputs,
    "scenario_run": _run,
    "scenario_collect": _collect,
    "host_checks": _checks,
    "look": _look,
    "apt_lock": _lock,
    "mending": _mending,
    **dict.fromkeys(PATIENT, _said),
}
"""What the tasks of ours tell, by the action of each."""


def _full(line: str) -> str:
    """Return what is said of a disk of a host's that Ansible itself, or a program, found to be full, by that `line`."""
    path = re.search(r"['\u2018](/[^'\u2019]+)", line)
    where = f" for {path[1]}" if path else ""
    return (
        f"no space is left on the host{where}; make room there ('df' and 'df -i' show where) and run the command again"
    )


def message(result: Mapping[str, Any]) -> str:
    """Return the one line that says why a task failed, from its result.

    A loop's result says only that an item failed: then that item's own line is given.
    """
    if item := _failed_item(result.get("results")):
        return message({**item, "results": None})
    errors = result.get("argument_errors")  # of a role's variables; `msg` says only that there are some
    if isinstance(errors, list) and errors:
        return printable(f"{'; '.join(map(str, errors))}; mend it in the inventory or in -e")
    parts = ("msg", "stderr", "module_stderr", "exception", "censored")
    said = [str(result.get(key) or "").strip()[-LONGEST:] for key in parts]
    for pattern, words in EXPLAINED.items():
        if any(re.search(pattern, text) for text in said):
            return words
    text = _line(said)
    if "make room" not in text and (line := NO_ROOM.search("\n".join(said))):
        return printable(_full(line[0]))
    text = re.sub(r"^Task failed: |Data could not be sent to remote host .* over ssh: ", "", text[: bounds.LINE])
    return printable(text)


def _failed_item(items: object) -> dict[str, Any] | None:
    """Return the first result of a loop's that is a failure; None where there is none, or no loop."""
    results = items if isinstance(items, list) else []
    return next((item for item in results if isinstance(item, dict) and item.get("failed")), None)


def _line(said: list[str]) -> str:
    """Return the line that says most of why a task failed; the second and third of the texts are what it printed."""
    text = next((text.splitlines()[0] for text in said if text), "no reason given")
    # Of a command Ansible says only that it failed; the last line that it printed mostly says why.
    printed = (said[1] or said[2]).splitlines()[-1:]
    if printed and text.startswith(("non-zero return code", "MODULE FAILURE", "Module result deserialization failed")):
        return printed[0].strip()
    return text
