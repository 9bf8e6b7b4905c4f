"""A place on the host in which one run at a time makes something, and commands whose failures take one line."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import full_by, obstacle
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import refuse_if
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.installers import ANY_USER, failure

# Where what is called below writes to, beside what it names when it fails.
PLACES = ("/var/lib/provisioner", "/var/lib/docker", "/var/lib/containerd", "/var/lib/apt/lists", tempfile.gettempdir())


@contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """Yield `folder`, empty, for as long as the block runs; nothing of it stays.

    The lock beside it is the kernel's: it goes when its process does, however that ends. Where a controller was
    killed its module may live on here, and the next run's waits for it, then finds the work done.
    What is made there everybody may read, whatever root's umask is.
    """
    os.umask(0o022)
    folder.parent.mkdir(parents=True, exist_ok=True)
    refuse_if(obstacle(folder, "directory") or obstacle(folder.with_suffix(".lock"), "file"))
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove(folder)
        folder.mkdir(mode=0o755)
        try:
            yield folder
        finally:
            remove(folder)


def put(made: Path, place: Path) -> None:
    """Have the folder `made` at `place`, in place of what is there; whole or not at all, on another disk too."""
    new = place.with_name(f".{place.name}.new")
    remove(new)
    shutil.move(made, new)
    remove(place)
    new.rename(place)


def remove(folder: Path) -> None:
    """Remove `folder` and all in it, if it is there, but nothing that is mounted in it."""
    subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=True)


def pip_install(module: Any, work: Path, lock: str, what: str, setting: str, *options: str) -> None:
    """Install wheels into a virtual environment in `work`, or where `options` say: those of `lock`, by their sums.

    Where that fails the module fails: of `what`, whose version `setting` decides.
    """
    (work / "lock.txt").write_text(lock, encoding="utf-8")
    pip = [str(work / "venv/bin/pip"), "--disable-pip-version-check", "install", "--no-cache-dir"]
    locked = ["--only-binary=:all:", "--require-hashes", "--requirement", str(work / "lock.txt")]
    for command in (["/usr/bin/python3", "-m", "venv", str(work / "venv")], [*pip, *options, *locked]):
        code, out, err = module.run_command(command, environ_update=ANY_USER)
        if code:
            module.fail_json(msg=failure(what, "pip", err or out, setting, work), stderr=err)


def run(module: Any, doing: str, command: list[str], remedy: str, **options: Any) -> str:
    """Run `command` and give what it prints; where it fails the module fails: `doing`, its last words, `remedy`."""
    code, out, err = module.run_command(command, **options)
    if code:
        no_room = full_by(f"{err}\n{out}", PLACES)
        if no_room:
            module.fail_json(msg=f"{doing} failed: {no_room}", stderr=err)
        # mmdebstrap says what it is doing, too.
        words = [line.strip() for line in (err or out).splitlines() if line.strip() and not line.startswith("I: ")]
        module.fail_json(msg=f"{doing} failed: {words[-1] if words else f'exit code {code}'}; {remedy}", stderr=err)
    return str(out)


def piped(reading: list[str], taking: list[str]) -> tuple[int, subprocess.CompletedProcess]:
    """Pipe one command into another; return the exit code of the first, and the second as it ended."""
    with subprocess.Popen(reading, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as first:
        second = subprocess.run(taking, stdin=first.stdout, capture_output=True, text=True, check=False)
    return first.returncode, second
