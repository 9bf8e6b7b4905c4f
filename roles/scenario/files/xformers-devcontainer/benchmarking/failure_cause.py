"""Say in one line why a run failed, and what mends it, where that shows; print nothing where it does not.

    failure_cause.py EVIDENCE --runtime NAME --exit-code N [--max-jobs N] [--oom-kills-before N] [--engine-lost]

Looks at the run's logs and at the host as it is right after the failure. Standard library only: it runs on the
benchmarked host, beside scenario_a.sh.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import failure_log

TAIL_BYTES = 8 * 1024**2
"""So much of the end of each log is read: compilers say much after one of them was killed."""
LOG, COMPILE_LOG = "run.log", "container/pip.log"
LONGEST_NAME = 200
"""Characters of who cancelled a run."""
LITTLE = 16 * 1024**2
"""A file system with fewer bytes free than this is full: programs give up before the last block."""

NO_SPACE = re.compile(r"No space left on device|ENOSPC|Disk quota exceeded", re.IGNORECASE)
# gcc (since 9, and before), nvcc, clang, and a shell or a program's parent, of a process that ended by SIGKILL.
KILLED = re.compile(
    r"Killed signal terminated program (?P<gcc>[\w.+-]+)"
    r"|internal compiler error: Killed \(program (?P<old_gcc>[\w.+-]+)\)"
    r"|'(?P<nvcc>[\w.+-]+)' died due to signal 9"
    r"|(?P<clang>[\w.+-]+): .*unable to execute command: Killed"
    r"|(?:^|line \d+: +\d+ |[\dZ\]] ) *Killed\b|exit (?:code|status)[ :]+(?:137|-9)\b|SIGKILL",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Seen:
    """What a cause is told from."""

    text: str
    """The log of the phase that failed, and that of the compile."""
    exit_code: int
    max_jobs: str
    oom_kills: int
    """Processes that the kernel killed for lack of memory since the run began, on the whole host."""
    engine_lost: bool
    """The container engine went away during the run."""
    engine_answers: bool
    full: tuple[str, ...]
    """What has no room: one phrase for each file system."""
    cancelled_by: str | None = None
    """Who cancelled the run; empty where that is not known, None where nobody did."""


def cause(seen: Seen) -> str | None:
    """Return why the run failed, and the remedy, in one line; None where nothing shows it."""
    return (
        stopped(seen)
        or no_room(seen)
        or no_memory(seen)
        or no_engine(seen)
        or no_gpus(seen)
        or killed(seen)
        or failure_log.cause(seen.text)
    )


def stopped(seen: Seen) -> str | None:
    """A signal to the script itself, by the convention that a shell exits with 128 + the signal."""
    number = seen.exit_code - 128
    if number not in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        return None
    if seen.cancelled_by is not None:
        return f"{f'cancelled by a person: {seen.cancelled_by}'.rstrip(': ')}; run again, which measures anew"
    if output("systemctl", "is-system-running") == "stopping":
        return "the host was shut down or restarted; run again, which cleans up and measures anew"
    return f"the run was stopped on its host by {signal.Signals(number).name}; run again, which measures anew"


def no_room(seen: Seen) -> str | None:
    """A full file system."""
    if not seen.full and not NO_SPACE.search(seen.text):
        return None
    where = " and ".join(seen.full) or "a file system that has room again now"
    return f"no space left on device: {where}; free some, then run again"


def no_memory(seen: Seen) -> str | None:
    """A process that the kernel killed because memory was short, in the container's control group or on the host."""
    what = victim(seen)
    if not what or not seen.oom_kills:
        return None
    more = "give the host, or the group that its containers are in, more memory"
    if seen.max_jobs == "1":
        return f"the kernel killed {what} for lack of memory, with one compiler at a time: {more}"
    jobs = f" (it was {seen.max_jobs})" if seen.max_jobs else ""
    return f"the kernel killed {what} for lack of memory: lower --max-jobs{jobs}, or {more}"


def no_engine(seen: Seen) -> str | None:
    """A container engine that went away."""
    if not seen.engine_answers:
        return "the Docker daemon does not answer; start it (systemctl start docker), then run again"
    if seen.engine_lost:
        return "the Docker daemon went away during the run; `journalctl -u docker` on the host may say why"
    return None


def no_gpus(seen: Seen) -> str | None:
    """Return what container_gpus.py said, which has the remedy in it."""
    found = re.search(r"GPUs in containers: ([^\n]+)", seen.text)
    return found[1] if found else None


def killed(seen: Seen) -> str | None:
    """A process that something else killed."""
    what = victim(seen)
    return what and f"{what} was killed by signal 9, and not by the kernel for lack of memory: look for who did"


def victim(seen: Seen) -> str | None:
    """Say what ended by SIGKILL; None where nothing shows that anything did."""
    found = KILLED.search(seen.text)
    if found:
        name = next(filter(None, found.groupdict().values()), None)
        return f"a compiler ({name})" if name else "a process"
    return "a process" if seen.exit_code == 128 + signal.SIGKILL else None


# ---- looking -------------------------------------------------------------------------------------------------------


def look(evidence: Path, options: argparse.Namespace) -> Seen:
    """Look at the run's logs and at the host."""
    phase = failure_log.of_phase(tail(evidence / LOG))
    needs_engine = options.runtime == "devcontainer"
    engine = output("docker", "info", "--format", "{{.DockerRootDir}}") if needs_engine else None
    folders = [evidence, Path(engine or "/var/lib/docker")] if needs_engine else [evidence]
    return Seen(
        # Of a compile that went well nothing says why what came after it failed.
        text="\n".join(
            [phase, tail(evidence / COMPILE_LOG) if "=== compile ===" in phase else "", index_answer(phase)]
        ),
        exit_code=options.exit_code,
        max_jobs=options.max_jobs,
        oom_kills=oom_kills() - options.oom_kills_before,
        engine_lost=options.engine_lost,
        engine_answers=bool(engine) or not needs_engine,
        full=tuple(dict.fromkeys(filter(None, map(full, folders)))),
        cancelled_by=cancelled_by(evidence),
    )


def cancelled_by(evidence: Path) -> str | None:
    """Return who cancelled the run, by the note that is laid beside its evidence before it is told to end."""
    note = evidence.with_name(f"{evidence.name}.cancelled")
    if not note.exists():
        return None
    return "".join(char if char.isprintable() else "?" for char in tail(note).strip()[:LONGEST_NAME])


def index_answer(phase: str) -> str:
    """Return what a package index says now where pip found no version of a package: pip itself says no more than that.

    Empty where that is not why the phase failed, and where the index answers well.
    """
    url = failure_log.page_without_versions(phase)
    if not url or "***@" in url:  # whose password the log does not have
        return ""
    question = urllib.request.Request(url, method="HEAD")  # noqa: S310 - it is one of http or https
    try:
        with urllib.request.urlopen(question, timeout=10):  # noqa: S310
            return ""
    except urllib.error.HTTPError as error:
        return f"\nHTTP status {error.code} of {url}\n"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"\n{url}: {getattr(error, 'reason', error)}\n"


def tail(path: Path) -> str:
    """Return the end of a file; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def full(folder: Path) -> str:
    """Say how little room the folder's file system has; empty where there is some."""
    try:
        there = os.statvfs(folder)
    except OSError:
        return ""
    free = there.f_bavail * there.f_frsize
    if free < LITTLE:
        return f"{free / 1e6:.0f} MB are free at {folder}"
    # Some file systems have no fixed number of inodes, and count none.
    return f"no inode is free at {folder}" if there.f_files and not there.f_favail else ""


def oom_kills() -> int:
    """Return how many processes the kernel has killed for lack of memory since it booted, in any control group."""
    counts = dict(line.split() for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines())
    return int(counts.get("oom_kill", 0))


def output(*command: str) -> str | None:
    """Return what the command prints, stripped, also where it fails; None where there is nothing, or it hangs."""
    if not shutil.which(command[0]):
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def main() -> None:
    """Print the cause."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("evidence", type=Path)
    parser.add_argument("--runtime", required=True)
    parser.add_argument("--exit-code", type=int, required=True)
    parser.add_argument("--max-jobs", default="")
    parser.add_argument("--oom-kills-before", type=int, default=0)
    parser.add_argument("--engine-lost", action="store_true")
    options = parser.parse_args()
    print(cause(look(options.evidence, options)) or "")


if __name__ == "__main__":
    main()
