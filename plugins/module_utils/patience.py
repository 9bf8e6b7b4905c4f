"""A module that says what its programs say before it is done.

Ansible hears of a task when it is over. With `report_every` the work is done by a process of its own, and the module
answers after so many seconds, with `finished: false` and the last line in `says`. Called again with the same options it
goes on waiting for that process, and answers as soon as it ends. A task does that with `until`:

    until: installed.finished | default(true)
    retries: 1600
    delay: 0

Without it, and in check mode, a module does its work itself, as any other.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.installers import without_login

FOLDER = Path("/run/provisioner-work")
# In a module's argument_spec.
REPORT = {"report_every": {"type": "int", "default": 0}}
# An answer for which nobody has come for so many seconds is of a play that was broken off.
KEPT = 60
# Of what is said, in bytes: so much of its end is looked at.
END = 4096
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x1f\x7f]")
MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
KILLED = "the work was killed on the host: see there what 'journalctl -k' says of memory, and run this again"
# Runs a program, and copies what it prints to a file as well: python3 -c COPYING FILE WORDS...
COPYING = """
import os, selectors, subprocess, sys
try:
    program = subprocess.Popen(sys.argv[2:], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
except OSError as error:
    sys.exit(f"{error.filename}: {error.strerror}")
copy = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
with selectors.DefaultSelector() as outputs:
    outputs.register(program.stdout, selectors.EVENT_READ, 1)
    outputs.register(program.stderr, selectors.EVENT_READ, 2)
    while outputs.get_map():
        ready = outputs.select(timeout=0.2)
        if not ready and program.poll() is not None:  # what it left running keeps its outputs open
            break
        for output, _unused in ready:
            piece = os.read(output.fd, 1 << 16)
            if not piece:
                outputs.unregister(output.fileobj)
                continue
            os.write(output.data, piece)
            try:
                os.write(copy, piece)
            except OSError:  # no room: the work matters more
                pass
code = program.wait()
sys.exit(code if code >= 0 else 128 - code)
"""


class PatientModule(AnsibleModule):
    """An AnsibleModule whose `argument_spec` has REPORT."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._copy: Path | None = None
        seconds = self.params["report_every"]
        if seconds > 0 and not self.check_mode:
            place = FOLDER / _key(self.params)
            try:
                works = begin(place)
            except OSError:  # no room: it works without reporting
                return
            if not works:
                wait(place, seconds)
            self._copy = place / "said"

    def run_command(self, args: list[str], **options: Any) -> tuple[int, str, str]:
        """Do as AnsibleModule does."""
        copying = [sys.executable, "-IS", "-c", COPYING, str(self._copy)] if self._copy else []
        code, out, errors = super().run_command([*copying, *args], **options)
        return code, out, errors

    def exit_json(self, **answer: Any) -> None:
        """Do as AnsibleModule does."""
        super().exit_json(**{"finished": True, **answer})

    def fail_json(self, msg: str, **answer: Any) -> None:
        """Do as AnsibleModule does."""
        super().fail_json(msg, **{"finished": True, **answer})


def _key(options: dict[str, Any]) -> str:
    """Return what the work is known by: the options, and the play that it is done for."""
    same = {name: value for name, value in options.items() if name not in REPORT}
    known = json.dumps([same, os.environ.get("PROVISIONER_PREPARE", "")], sort_keys=True, default=str)
    return hashlib.sha256(known.encode()).hexdigest()[:32]


def begin(place: Path) -> bool:
    """Have a process work, with its output in `place`, if none does. Return whether this is that process.

    Raise OSError where that cannot be; then nothing was begun.
    """
    for folder in (FOLDER, place):
        folder.mkdir(mode=0o700, exist_ok=True)
    with (place / "working").open("a") as lock:
        if not _locked(lock) or _is_answered(place / "answer"):
            return False
        for name in ("answer", "errors", "said"):
            (place / name).write_bytes(b"")
        _load_all()
        if os.fork():
            return False
        os.dup(lock.fileno())  # held until this process ends, however it does
        _detach(place)
        return True


def _is_answered(answer: Path) -> bool:
    """Return whether the work has ended since it was last asked about."""
    return answer.exists() and answer.stat().st_size > 0 and time.time() - answer.stat().st_mtime < KEPT


def wait(place: Path, seconds: float) -> None:
    """Wait for the work in `place`, tell its answer or what it says so far, and end this process."""
    with (place / "working").open("a") as lock:
        ended = _locked(lock, seconds)
    if not ended:
        _tell({"changed": False, "finished": False, "says": last_line(place / "said")})
    answer, errors = ((place / name).read_text(encoding="utf-8") for name in ("answer", "errors"))
    shutil.rmtree(place)
    if not answer:
        _tell({"failed": True, "finished": True, "msg": KILLED, "stderr": errors})
    sys.stderr.write(errors)
    print(answer, end="")
    sys.exit()


def _tell(answer: dict[str, Any]) -> None:
    """Answer Ansible, and end this process."""
    print(json.dumps(answer))
    sys.exit(bool(answer.get("failed")))


def _locked(lock: IO[str], seconds: float = 0) -> bool:
    """Return whether the lock was got, which a process holds that works; it is waited for so long."""

    def late(_number: int, _frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if seconds else fcntl.LOCK_NB))
    except (BlockingIOError, TimeoutError):
        return False
    else:
        return True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _load_all() -> None:
    """Import all that was sent with the module: it is removed when the first answer was given."""
    archive = getattr(__loader__, "archive", None)
    for name in zipfile.ZipFile(archive).namelist() if archive else ():
        if name.endswith(".py") and "/modules/" not in name:
            with suppress(ImportError):  # what this host has no use for
                importlib.import_module(name[:-3].replace("/__init__", "").replace("/", "."))


def _detach(place: Path) -> None:
    """Have this process go on when that which asked, and its session, have ended."""
    os.setsid()
    for number, name, flags in ((0, os.devnull, os.O_RDONLY), (1, "answer", os.O_WRONLY), (2, "errors", os.O_WRONLY)):
        file = os.open(place / name, flags)  # a device's path stays what it is
        os.dup2(file, number)
        os.close(file)
    # logind may end what is left of a session, by its processes' unit.
    unit = f"provisioner-work-{place.name}.scope"
    scope = ["StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "fail", "1", "PIDs", "au", "1", str(os.getpid()), "0"]
    if Path("/run/systemd/system").is_dir():
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(["busctl", "call", *MANAGER, *scope], capture_output=True, check=False, timeout=10)


def last_line(said: Path) -> str:
    """Return the last line of several words in a file, without the logins in its addresses; '' where there is none."""
    try:
        with said.open("rb") as file:
            file.seek(max(0, said.stat().st_size - END))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = (CONTROL.sub(" ", line).strip() for line in reversed(re.split(r"[\r\n]+", text)))
    return without_login(next((line for line in lines if " " in line), ""))
