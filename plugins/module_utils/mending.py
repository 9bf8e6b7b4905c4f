"""What goes with a `prepare` on its host: the lock that one at a time holds, and the log of what was changed.

Each task of a play is another process, so none of them can hold a lock for all. This file, run as a program, holds it:
it is started before the first task and told to end after the last. It ends by itself too, or a controller that died
would lock the host for ever: once no process of that `prepare` has been at work for a while. It knows them by a
variable in their environment, which the play sets; so the lock outlasts a controller that was killed while apt works.

    python3 THIS_FILE JOB LOCK ABOUT     ABOUT is JSON: `controller`, `since`, `wanted`, the changes, and `log`

SIGTERM: give the lock back. SIGHUP: the controller is gone; give it back as soon as nothing of it works.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO

LOCK = Path("/var/lib/provisioner/prepare.lock")
VARIABLE = "PROVISIONER_PREPARE"
# In seconds: between two looks at the host's processes; how long none may be at work, since a controller with many
# hosts leaves one alone for a while; how long a lock lasts, since a daemon that was started may keep the variable.
PAUSE, IDLE, LONGEST = 5, 600, 4 * 3600
# How long the holder may take to start, on a busy host.
PATIENCE = 60
BROKEN_OFF = " (begun; the prepare was broken off)"


# --- the log ---


def append(path: str, controller: str, changes: Iterable[dict], remark: str = "") -> None:
    """Add a line for each of `changes`, each with role, what, from and to. Raise OSError."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    said = [f"{now} {controller} {one['role']}: {one['what']}: {one['from']} -> {one['to']}{remark}" for one in changes]
    if not said or not path:
        return
    if Path(path).exists() and not Path(path).is_file():  # a pipe would be waited for
        raise OSError(errno.EINVAL, "Is a directory" if Path(path).is_dir() else "it is not a file", path)
    if not Path(path).parent.exists():
        Path(path).parent.mkdir(parents=True)
        Path(path).parent.chmod(0o750)
    new = not Path(path).exists()
    # Opened for each time, so that logrotate may move it away.
    with Path(path).open("a", encoding="utf-8", errors="replace") as file:
        if new:
            os.fchmod(file.fileno(), 0o640)
        file.write("".join(f"{plain(line)}\n" for line in said))


def plain(line: str) -> str:
    """Return `line` without line breaks and other control characters, and without the logins in its addresses."""
    return re.sub(r"(?<=//)[^/@\s]+@", "", re.sub(r"[\x00-\x1f\x7f]+", " ", line))


def made(before: list[dict], after: list[dict]) -> list[dict]:
    """Return the changes that were wanted at first, and are not any more."""
    left = {(one["role"], one["what"]) for one in after}
    return [one for one in before if (one["role"], one["what"]) not in left]


def log_what_was_begun(lock: Path) -> None:
    """Log what is left in a lock that was not given back. A log that cannot be written is told by who comes next."""
    about = read(lock)
    with suppress(OSError):
        append(about.get("log", ""), about.get("controller", ""), about.get("wanted", ()), BROKEN_OFF)


# --- the lock ---


def read(lock: Path) -> dict:
    """Return what is in the lock; {} where nothing is."""
    try:
        return dict(json.loads(lock.read_bytes()))
    except (OSError, ValueError):
        return {}


def held(lock: Path) -> dict:
    """Return what the process that holds the lock has put into it; {} where none does."""
    about = read(lock)
    with suppress(OSError, KeyError):
        if about["job"].encode() in Path(f"/proc/{about['pid']}/cmdline").read_bytes():
            return about
    return {}


def take(lock: Path, job: str, about: dict) -> dict:
    """Have a process hold the lock. Return what is in it: with `job` it is ours, else another's. Raise OSError."""
    lock.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    started = False
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = held(lock)
        if found:
            return found
        # Here, not before: who has held it may give it back at any moment.
        if not started:
            start([sys.executable, "-IS", __file__, job, str(lock), json.dumps(about)], job)
            started = True
        time.sleep(0.02)
    raise OSError("no process can hold it; is there room on that disk?")


def start(command: list[str], job: str) -> None:
    """Start `command`, detached from the session that asks for it, and without its environment."""
    environment = {"PATH": os.environ.get("PATH", os.defpath)}
    if Path("/run/systemd/system").is_dir():
        # A unit of its own: logind ends what is left of a session when the session ends.
        # systemd takes $ for a variable, and $$ for $.
        words = [word.replace("$", "$$") for word in command]
        unit = ["systemd-run", "--quiet", "--collect", f"--unit=provisioner-prepare-{job}", *words]
        with suppress(subprocess.SubprocessError):
            subprocess.run(unit, env=environment, check=True, capture_output=True, timeout=PATIENCE)
            return
    nowhere = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    subprocess.Popen(command, env=environment, start_new_session=True, cwd="/", **nowhere)


def tell(lock: Path, job: str, number: int) -> None:
    """Send a signal to the process that holds the lock with `job`, if there is one."""
    about = held(lock)
    if about.get("job") == job:
        with suppress(ProcessLookupError):
            os.kill(about["pid"], number)


def at_work(job: str) -> str:
    """Return a process, for people, that has `job` in its environment; '' where none has."""
    mark = f"{VARIABLE}={job}".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it may have ended
            if mark in environment.read_bytes().split(b"\0"):
                return f"{(environment.parent / 'comm').read_text().strip()} (process {environment.parent.name})"
    return ""


def locked(lock: IO[str], path: Path) -> bool:
    """Return whether the lock was got; one whose holder has just given it back, and not ended yet, is waited for."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and not held(path):
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.02)
    return False


def hold(job: str, path: Path, about: dict) -> None:
    """Hold the lock until it is to be given back; return at once where another has it."""
    signals = {signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    os.umask(0o077)
    with path.open("a") as lock:
        if not locked(lock, path):
            return
        log_what_was_begun(path)
        lock.truncate(0)
        lock.write(json.dumps({**about, "job": job, "pid": os.getpid()}))
        lock.flush()
        began = last = time.monotonic()
        gone = False
        while time.monotonic() - began < LONGEST:
            came = signal.sigtimedwait(signals, PAUSE)
            if came and came.si_signo == signal.SIGTERM:
                lock.truncate(0)
                return
            gone = gone or bool(came)
            if at_work(job):
                last = time.monotonic()
            elif gone or time.monotonic() - last > IDLE:
                break
        log_what_was_begun(path)
        lock.truncate(0)


if __name__ == "__main__":
    hold(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]))
