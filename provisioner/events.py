"""What Ansible says while a job runs, as types: one of ansible-runner's dictionaries in, a few events out."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Busy",
    "Ended",
    "Event",
    "Failure",
    "Finding",
    "Looked",
    "Noted",
    "Output",
    "Planned",
    "Progress",
    "RebootRequired",
    "RecordFound",
    "Recovered",
    "Silent",
    "Started",
    "Stats",
    "Waiting",
    "translate",
]

INPUT_CHECK = "valid_inputs"
"""The action that looks at nothing but what a person set, on the controller, before any host is touched."""

NO_SUDO = "sudo asks for a password there; allow it without, or set ansible_become_password in the inventory"
NO_PYTHON = "no Python 3 on the host; install it there (apt-get install python3), or set ansible_python_interpreter"
EXPLAINED = {
    r"REMOTE HOST IDENTIFICATION HAS CHANGED": "its SSH host key is not the one in known_hosts; find out why, and"
    " where it is another machine now, remove the old key with `ssh-keygen -R ADDRESS`",
    r"Host key verification failed": "its SSH host key is not in known_hosts; log in to it by hand once, or add it",
    r"must have a tty to run sudo": "sudo wants a terminal there; take requiretty from this user, by"
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
}
"""What the programs below say at length or in riddles, and what is said instead."""


@dataclass(frozen=True)
class Output:
    """A piece of what Ansible itself prints."""

    text: str


@dataclass(frozen=True)
class Started:
    """A host begins a task."""

    host: str
    play: str
    task: str


@dataclass(frozen=True)
class Failure:
    """A task failed on a host, or the host could not be reached; `message` is one line.

    `invalid_inputs` says that what a person set was wrong, and that no host was touched.
    """

    host: str
    play: str
    task: str
    unreachable: bool
    message: str
    invalid_inputs: bool = False


@dataclass(frozen=True)
class Progress:
    """Where a run on a host stands; times in seconds, `done` of `total` objects inside the compile."""

    host: str
    run_id: str
    state: str
    phase: str | None
    elapsed: float
    phase_elapsed: float
    done: int | None = None
    total: int | None = None


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
class Recovered:
    """Earlier runs of a host that nobody had collected: run_id, and outcome and phase, or error, of each."""

    host: str
    runs: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class RecordFound:
    """A host gave the record of a run, not validated yet."""

    host: str
    record: dict[str, Any]


@dataclass(frozen=True)
class Finding:
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
class Stats:
    """Ansible's counts at its end, each by host."""

    ok: Mapping[str, int]
    changed: Mapping[str, int]
    failed: Mapping[str, int]
    unreachable: Mapping[str, int]


Event = (
    Output
    | Started
    | Failure
    | Progress
    | Silent
    | Ended
    | Recovered
    | RecordFound
    | Finding
    | Looked
    | Noted
    | Busy
    | Planned
    | RebootRequired
    | Waiting
    | Stats
)


def translate(raw: Mapping[str, Any]) -> Iterator[Event]:
    """Give what an event of ansible-runner's means to us; nothing for most of them."""
    kind = raw.get("event", "")
    data = raw.get("event_data") or {}
    host = data.get("host", "")
    if raw.get("stdout"):
        yield Output(str(raw["stdout"]))
    if kind == "playbook_on_stats":
        yield Stats(*(data.get(key) or {} for key in ("ok", "changed", "failures", "dark")))
    elif kind == "runner_on_start" and data.get("task_action", "").rpartition(".")[2] != INPUT_CHECK:
        yield Started(host, data.get("play", ""), data.get("task", ""))
    elif kind in {"runner_on_failed", "runner_on_unreachable"} and not data.get("ignore_errors"):
        result = data.get("res") or {}
        unreachable, invalid = kind == "runner_on_unreachable", bool(result.get("invalid_inputs"))
        yield Failure(host, data.get("play", ""), data.get("task", ""), unreachable, message(result), invalid)
    if kind == "runner_retry" and (waiting_for := (data.get("res") or {}).get("waiting_for")):
        yield Waiting(host, str(waiting_for))
    if kind in {"runner_on_ok", "runner_on_failed", "runner_retry", "runner_item_on_ok"}:
        yield from _results(host, data.get("res") or {})


def _results(host: str, result: Mapping[str, Any]) -> Iterator[Event]:
    """Give what our own roles and modules put into a task's result."""
    if "scenario_a_ended" in result:
        yield Ended(host, tuple(result["scenario_a_ended"]))
    if silent := result.get("scenario_a_silent"):
        yield Silent(host, str(silent["run_id"]), float(silent["seconds"]), str(silent["message"]))
    if recovered := result.get("scenario_a_recovered"):
        yield Recovered(host, tuple(recovered))
    progress = result.get("scenario_a_progress")
    if isinstance(progress, dict):
        yield Progress(
            host=host,
            run_id=str(progress.get("run_id") or ""),
            state=str(progress.get("state") or ""),
            phase=progress.get("phase"),
            elapsed=float(progress.get("elapsed") or 0.0),
            phase_elapsed=float(progress.get("phase_elapsed") or 0.0),
            done=progress.get("done"),
            total=progress.get("total"),
        )
    for finding in result.get("host_findings") or ():
        yield Finding(host, finding["check"], finding["outcome"], finding["detail"], finding["remedy"])
    for role, found in (result.get("looks") or {}).items():
        yield Looked(host, role, tuple(found["changes"]), tuple(found.get("notes") or ()), found.get("skipped") or "")
    if notes := result.get("provisioner_notes"):
        yield Noted(host, tuple(map(str, notes)))
    if busy := result.get("busy"):
        yield Busy(host, tuple(busy))
    if planned := result.get("scenario_a_planned"):
        yield Planned(host, planned["would"], planned["detail"])
    facts = result.get("ansible_facts") or {}
    record = facts.get("scenario_a_record")
    if isinstance(record, dict):
        yield RecordFound(host, record)
    if facts.get("provisioner_reboot_required"):
        yield RebootRequired(host)


def message(result: Mapping[str, Any]) -> str:
    """Give the one line that says why a task failed, from its result.

    A loop's result says only that an item failed: then that item's own line is given.
    """
    for item in result.get("results") or ():
        if isinstance(item, dict) and item.get("failed"):
            return message(item)
    if errors := result.get("argument_errors"):  # of a role's variables; `msg` says only that there are some
        return f"{'; '.join(map(str, errors))}; mend it in the inventory or in -e"
    said = [str(result.get(key) or "").strip() for key in ("msg", "stderr", "module_stderr", "exception", "censored")]
    for pattern, words in EXPLAINED.items():
        if any(re.search(pattern, text) for text in said):
            return words
    text = next((text.splitlines()[0] for text in said if text), "no reason given")
    # Of a command Ansible says only that it failed; the last line that it printed mostly says why.
    printed = (said[1] or said[2]).splitlines()[-1:]
    if printed and text.startswith(("non-zero return code", "MODULE FAILURE", "Module result deserialization failed")):
        text = printed[0].strip()
    text = re.sub(r"^Task failed: |Data could not be sent to remote host .* over ssh: ", "", text)
    return text if len(text) <= 500 else f"{text[:500]}…"
