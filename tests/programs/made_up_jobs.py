"""A program: runs command lines of ours as if N hosts had answered, without any. `made_up_jobs.py N LINE…`.

Two hosts in a hundred are off in some way or other, and each says so with its own name, address or numbers.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import made_up  # noqa: E402

from provisioner.__main__ import main  # noqa: E402
from provisioner.ansible.events import (  # noqa: E402
    Busy,
    Ended,
    HostFinding,
    Looked,
    Planned,
    Progress,
    Recovered,
    Started,
    Stats,
    TaskFailure,
)
from provisioner.ansible.job import Job  # noqa: E402
from provisioner.commands import clean, doctor, plan, prepare, run, status  # noqa: E402

DRIFT = (
    {"what": "package docker.io", "from": "20.10.24+dfsg1-1+deb12u1", "to": "26.1.5+dfsg1-9+b9"},
    {"what": "package docker-cli", "from": "absent", "to": "26.1.5+dfsg1-9+b9"},
    {"what": "/etc/apt/sources.list.d/docker-of-the-site.list: content", "from": "other", "to": "as wanted"},
    {"what": "package docker-compose-of-the-site", "from": "1.29.2-3", "to": "removed"},
    {"what": "the Docker engine", "from": "runs with old settings", "to": "restarted with the site's"},
)
UNREACHABLE = "ssh: connect to host {} port 22: No route to host"
CLOCK = "its clock is {}.4 s from this machine's, more than a certificate or a package list may take"


def names(count):
    return [f"gpu-{number:03}.example.org" for number in range(1, count + 1)]


def of_host(number, name, command):
    """The events of a host."""
    kind = number % 100
    if kind == 7:
        return [TaskFailure(name, "Look", "Look at the host", unreachable=True, message=UNREACHABLE.format(name))]
    if kind == 9:
        refused = "installing docker-ce would remove docker.io, which runs 3 containers; move them away, or keep it"
        return [TaskFailure(name, "Look", "Look at the host", unreachable=False, message=refused)]
    changes = DRIFT if kind in {1, 19} else ()
    notes = (f"{number} containers of the site's stop when the engine is restarted; have them stopped",) * bool(changes)
    return [
        Looked(name, "docker_engine", changes, notes),
        Looked(name, "gpu_driver", (), skipped="no NVIDIA GPU"),
        *([Busy(name, (f"{number} pods of Kubernetes",))] if kind == 19 else []),
        Planned(name, "reuse", f"20261123T090807Z-{number:06x}"),
        HostFinding(name, "disk", "ok", f"{number}.1 GB free at /", ""),
        HostFinding(
            name, "clock", "warn" if kind == 19 else "ok", CLOCK.format(number), "set it by NTP: `timedatectl`"
        ),
        *(HostFinding(name, "prepare", "warn", *note.split("; ")) for note in notes),
        *([HostFinding(name, "root", "fail", "sudo asks for a password there", "allow it")] if kind == 20 else []),
        *(_of_runs(number, name) if command == "status" else []),
    ]


def _of_runs(number, name):
    left = {"run_id": f"left-{number}", "started_at": "2026-11-23T07:00:00Z", "outcome": "interrupted"}
    ended = (
        (left | {"phase": "compile", "cause": "the host restarted", "collected": False},) if number % 50 == 2 else ()
    )
    return [
        Ended(name, ended),
        Progress(name, f"20261123T090807Z-{number:06x}", "running", "compile", 60.0 + number, 30.0, number % 13, 13),
        Recovered(name, ()),
    ]


def answer(command, count):
    """Give what runs no playbook: its job is made up, and its watchers are told."""

    def run_playbook(playbook, target, watchers=(), extra_vars=None, *, measured=False):
        job = Job(Path("/nonexistent/jobs/20261130T000000Z-abcdef"))
        told = []
        for number, name in enumerate(target.hosts, 1):
            told += [Started(name, "Look at the hosts", "Look at the host"), *of_host(number, name, command)]
        fails = {event.host: event for event in told if isinstance(event, TaskFailure)}
        well = {name: 1 for name in target.hosts if name not in fails}
        bad = {name: 1 for name, event in fails.items() if not event.unreachable}
        away = {name: 1 for name, event in fails.items() if event.unreachable}
        changed = {name: 9 + number for number, name in enumerate(target.hosts) if number % 100 in {1, 19}}
        for event in [*told, Stats(well, changed, bad, away)]:
            job.note(event)
            for watcher in watchers:
                watcher.event(event)
        for watcher in watchers:
            watcher.tick()
        job.records = [one.record for one in made_up.runs(count, 1)] if command == "run" else []
        return job

    return run_playbook


if __name__ == "__main__":
    count = int(sys.argv[1])
    asking = {module.__name__.rpartition(".")[2]: module for module in (clean, doctor, plan, prepare, run, status)}
    for line in sys.argv[2:]:
        words = line.split()
        if words[0] in asking:
            asking[words[0]].run_playbook = answer(words[0], count)
            words += ["-i", ",".join([*names(count), ""])]
        print(f"$ {line}", flush=True)
        main(words)
