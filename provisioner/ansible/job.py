"""Runs one playbook through ansible-runner and tells what came of it, host by host.

ansible-runner works in a thread of its own and does nothing there but put events on a queue: whoever looks at
them, however slowly or wrongly, cannot hold it up.
"""

import fcntl
import json
import os
import queue
import secrets
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from provisioner.ansible import events, passwords, program
from provisioner.ansible.environment import ansible_environment
from provisioner.ansible.target import Target
from provisioner.errors import Exit, ProvisionerError
from provisioner.runs.record_data import RecordData
from provisioner.system import files
from provisioner.system.paths import ansible_dir, ensure_state_dir

__all__ = ["Host", "Job", "Watcher", "run_playbook"]

KEEP = 10
"""So many job folders are kept."""
TICK = 0.25
"""Seconds between two looks at the clock while nothing happens."""
GRACE = 5.0
"""Seconds that Ansible has to stop by itself when it is interrupted."""
PAUSE = 0.005
"""Seconds between two looks of Ansible's whether a task has ended."""
PAUSE_MEASURED = 0.02
"""The same while hosts are measured: a thousand looks a second, as Ansible has it by itself, take a sixth of a core."""


class Watcher(Protocol):
    """Whoever wants to know how a job goes; called in the main thread."""

    def event(self, event: events.Event) -> None:
        """Take note of `event`."""

    def tick(self) -> None:
        """Do what has to be done from time to time; called several times a second."""


@dataclass
class Host:
    """What came of a job on one host; the counts are of tasks."""

    ok: int = 0
    changed: int = 0
    failed: int = 0
    unreachable: bool = False
    reboot_required: bool = False
    failure: events.TaskFailure | None = None


@dataclass
class Job:
    """What came of a job. `error` says why Ansible stopped where no host is to blame."""

    folder: Path
    hosts: dict[str, Host] = field(default_factory=dict)
    records: list[RecordData] = field(default_factory=list)
    findings: list[events.HostFinding] = field(default_factory=list)
    looks: dict[str, dict[str, events.Looked]] = field(default_factory=dict)
    """What was found off on each host that was looked at, by role, when it was last looked at."""
    busy: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What each host was busy with when it was first looked at."""
    planned: dict[str, events.Planned] = field(default_factory=dict)
    recovered: list[events.Recovered] = field(default_factory=list)
    running: dict[str, str] = field(default_factory=dict)
    """The run_id of each host on which a run was started and has not been seen to finish."""
    invalid: str = ""
    error: str = ""
    interrupted: bool = False
    uncounted: dict[str, events.TaskFailure] = field(default_factory=dict)
    """What failed on each host that Ansible takes for well."""
    counted: bool = False
    """Whether Ansible came to its end, where it counts."""

    @property
    def log(self) -> Path:
        """The file with Ansible's own output."""
        return self.folder / "artifacts" / "ansible" / "stdout"

    @property
    def failed(self) -> set[str]:
        """The hosts on which it failed, or that were not reached."""
        return {name for name, host in self.hosts.items() if host.failed or host.unreachable}

    @property
    def stopped(self) -> bool:
        """Whether it ended for another reason than what came of it on its hosts."""
        return bool(self.interrupted or self.invalid or self.error)

    @property
    def code(self) -> Exit:
        """The exit code: wrong inputs, else a failure, else a host that was not reached, else none of these."""
        if self.interrupted:
            return Exit.INTERRUPTED
        if self.invalid:
            return Exit.BAD_INPUT
        if self.error or any(host.failed for host in self.hosts.values()):
            return Exit.FAILED
        if any(host.unreachable for host in self.hosts.values()):
            return Exit.UNREACHABLE
        return Exit.DONE

    def note(self, event: events.Event) -> None:
        """Take `event` into account."""
        match event:
            case events.TaskFailure():
                self._fail(event)
            case events.Progress():
                if event.state == "finished":
                    self.running.pop(event.host, None)
                else:
                    self.running[event.host] = event.run_id
            case events.RecordFound():
                self.running.pop(event.host, None)
                self.records.append(event.record)
            case events.Recovered():
                self.recovered.append(event)
            case events.HostFinding():
                self.findings.append(event)
            case events.Looked() | events.Busy() | events.Planned():
                self._see(event)
            case events.RebootRequired():
                self.hosts.setdefault(event.host, Host()).reboot_required = True
            case events.Stats():
                self._count(event)

    def _see(self, event: events.Looked | events.Busy | events.Planned) -> None:
        """Take into account what a host was found to be."""
        match event:
            case events.Looked():
                self.looks.setdefault(event.host, {})[event.role] = event
            case events.Busy():
                self.busy.setdefault(event.host, event.what)
            case events.Planned():
                self.planned[event.host] = event

    def _fail(self, failure: events.TaskFailure) -> None:
        # The last failure is the one that ended the host: those before it were rescued.
        self.hosts.setdefault(failure.host, Host()).failure = failure
        if failure.uncounted:
            self.uncounted[failure.host] = failure
        if failure.invalid_inputs:
            self.invalid = failure.message

    def _count(self, stats: events.Stats) -> None:
        self.counted = True
        for name in {*stats.ok, *stats.failed, *stats.unreachable}:
            host = self.hosts.setdefault(name, Host())
            host.ok, host.changed = stats.ok.get(name, 0), stats.changed.get(name, 0)
            host.failed, host.unreachable = stats.failed.get(name, 0), bool(stats.unreachable.get(name))
            if name in self.uncounted:
                host.failed, host.failure = host.failed + 1, self.uncounted[name]
            if not host.failed and not host.unreachable:
                host.failure = None  # it was rescued


def run_playbook(
    playbook: str,
    target: Target,
    watchers: tuple[Watcher, ...] = (),
    extra_vars: dict[str, Any] | None = None,
    *,
    measured: bool = False,
) -> Job:
    """Run `playbook`, a name in playbooks/ or an absolute path, on `target` and return what came of it.

    `measured` says that hosts are measured meanwhile, of which this machine may be one, or take seconds for each task:
    Ansible then looks less often whether one has ended.
    An interrupt (Ctrl-C, SIGTERM, SIGHUP) stops Ansible and is told in the result; whatever was started detached
    on a host goes on there. Raise ProvisionerError where the job cannot be started.
    """
    path = ansible_dir() / "playbooks" / playbook
    if not path.is_file():
        raise ProvisionerError(f"the playbook {path} is missing", "install the package again")
    with _job_folder(target.state) as folder:
        job = Job(folder)
        environment = ansible_environment(PAUSE_MEASURED if measured else PAUSE, job=True)
        variables = passwords.for_job(environment.within(folder), folder / "env")
        with _environment(variables), _signals_interrupt():
            runner = _Runner(path, target, folder, {**target.extra_vars, **(extra_vars or {})})
            _follow(job, runner, list(watchers))
        if not job.interrupted:
            _explain(job, runner)
    return job


def _follow(job: Job, runner: "_Runner", watchers: list[Watcher]) -> None:
    """Pass the runner's events on until it has ended."""
    interrupted_at = None
    while not runner.ended:
        try:
            for event in events.translate(runner.next_event() or {}):
                job.note(event)
                _tell(watchers, event)
            _tell(watchers, None)
        except KeyboardInterrupt:
            job.interrupted = True
            # Once asks Ansible to stop, which lets it stop its workers; twice, or too slow, and it is killed.
            runner.stop(kill=interrupted_at is not None)
            interrupted_at = interrupted_at or time.monotonic()
        if interrupted_at and time.monotonic() - interrupted_at > GRACE:
            runner.stop(kill=True)


def _tell(watchers: list[Watcher], event: events.Event | None) -> None:
    """Give each watcher `event`, or a tick; one that fails is left out from then on: the job matters more."""
    for watcher in list(watchers):
        try:
            watcher.tick() if event is None else watcher.event(event)
        except Exception as error:
            watchers.remove(watcher)
            with suppress(OSError):
                print(f"provisioner: the display stopped: {error}; the job goes on", file=sys.stderr)


def _explain(job: Job, runner: "_Runner") -> None:
    """Say why Ansible failed where no host's task did."""
    if runner.error:
        job.error = runner.error
    elif job.counted and not job.hosts:
        job.invalid = "the playbook is for none of the inventory's hosts"
    elif not job.counted or (runner.rc and job.code == Exit.DONE):
        lines = job.log.read_text(encoding="utf-8", errors="replace").splitlines() if job.log.exists() else []
        errors = [line for line in lines if line.startswith(("ERROR!", "[ERROR]:"))]
        said = errors[-1].partition(" ")[2] if errors else f"ansible-playbook ended with {runner.rc}"
        if "leaves us with no hosts" in said:
            job.invalid = "--limit matches no host; give one of the inventory's"
        else:
            job.error = said


class _Runner:
    """ansible-runner in a thread."""

    def __init__(self, playbook: Path, target: Target, folder: Path, extra_vars: dict[str, Any]) -> None:
        self.rc: int | None = None
        self.error = ""
        # None is the last item: waiting for more would prolong each job.
        self._queue: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._pid: int | None = None
        self._kill = False
        self._over = False
        self._variables = folder / "env"
        self._settings = {
            "private_data_dir": str(folder),
            "ident": "ansible",
            "binary": sys.executable,
            # No module of ours (-P) may shadow one of Ansible's.
            "cmdline": shlex.join(["-P", program.__file__, "playbook", str(playbook)]),
            "project_dir": _here(),
            "inventory": list(target.inventory),  # a lone text that is no path would be taken for a file's content
            "limit": target.limit,
            "forks": target.forks,
            "verbosity": target.verbosity or None,
            "extravars": extra_vars,
            "settings": {"pexpect_timeout": 0.5},  # seconds until it looks whether it is cancelled
            "quiet": True,
            "event_handler": self._take,
            "status_handler": self._forget_environment,
            "cancel_callback": lambda: self._kill,
        }
        self._thread = threading.Thread(target=self._run, name="ansible-runner", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        # An interrupt can swallow the last event, but does not bring the thread back.
        return self._over or (not self._thread.is_alive() and self._queue.empty())

    def next_event(self) -> dict[str, Any] | None:
        """Return the next event, or None where none came for a moment, or none will come."""
        try:
            event = self._queue.get(timeout=TICK)
        except queue.Empty:
            return None
        self._over = event is None
        return event

    def stop(self, *, kill: bool) -> None:
        """Ask Ansible to stop, or kill it."""
        self._kill = self._kill or kill or self._pid is None
        if self._pid and not kill:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGTERM)

    def _run(self) -> None:
        try:
            # Slow to import, and not needed to refuse a bad input.
            import ansible_runner  # noqa: PLC0415

            self.rc = ansible_runner.run(**self._settings).rc
        except Exception as error:  # told in the main thread, by the job
            self.error = " ".join(f"ansible-runner: {type(error).__name__}: {error}".split())
        finally:
            self._forget_variables()
            self._queue.put(None)

    def _take(self, event: dict[str, Any]) -> bool:
        self._pid = event.get("pid") or self._pid
        if event.get("event") == "playbook_on_start":  # Ansible has read them
            self._forget_variables()
        self._queue.put(event)
        return False  # no file for each event

    def _forget_variables(self) -> None:
        """Remove what Ansible was given through files: the user's variables and settings may hold passwords."""
        shutil.rmtree(self._variables, ignore_errors=True)

    def _forget_environment(self, status: dict[str, Any], runner_config: Any) -> None:
        """Take the environment out of what ansible-runner keeps: it may hold secrets that are none of ours."""
        if status.get("status") == "running":
            command = Path(runner_config.artifact_dir) / "command"
            kept = json.loads(command.read_text(encoding="utf-8"))
            command.write_text(json.dumps({**kept, "env": {}}), encoding="utf-8")


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Have this process's environment be `variables`: ansible-runner adds to that one, and takes nothing out of it."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _here() -> str | None:
    """Return where this process is, as which a site's relative paths are meant; None where that is gone."""
    try:
        return str(Path.cwd())
    except OSError:
        return None


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Make SIGTERM and SIGHUP do what Ctrl-C does: Ansible is in a session of its own and would go on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _job_folder(state: Path) -> Iterator[Path]:
    """Make a folder for a job and lock it; of the older ones that no job holds, the newest are kept."""
    jobs = ensure_state_dir(state / "jobs")
    folder = jobs / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}"
    folder.mkdir(mode=0o700)
    with files.lock(folder / "lock"):
        for old in sorted(path for path in jobs.iterdir() if path != folder)[: -(KEEP - 1)]:
            _remove_unless_held(old)
        yield folder


def _remove_unless_held(folder: Path) -> None:
    with suppress(OSError), files.lock(folder / "lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
        shutil.rmtree(folder, ignore_errors=True)
