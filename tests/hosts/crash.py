"""Crashes runs of the short workload on a lab host at random moments, and checks what must be true afterwards.

    PYTHONPATH=. .venv/bin/python tests/hosts/crash.py --controller 30 --sshd 10 --restart 5 [--seed N] [--name LAB]

Each crash begins a run with inputs of its own and, at a moment of it that a seeded generator picks,

  controller  kills `provisioner run` by SIGKILL, alone or with all that it started
  sshd        kills the host's sshd and every connection by SIGKILL; it is back after up to 20 s
  restart     restarts the host: by `systemctl reboot`, or at once, as a power cut does

Then the same command is given until it is done, at most three times. After each: one compile at most in every run by
its ledger; exactly one run went well, and none was repeated that went on; each run that the host knows is in the store;
the audit accuses none of them; the store is readable; nothing is left running. The process exits with 1 where any of it
was not so.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import short
from docker.models.containers import Container

from provisioner import lab as labs
from provisioner.store import Store

ROOT = Path(__file__).resolve().parents[2]
RUNS = "/var/lib/provisioner/scenario_a/runs"
KINDS = ("controller", "sshd", "restart")
ATTEMPTS = 3
AWAY_SECONDS = 20
"""So long at most does a host go without sshd."""


@dataclass
class Crash:
    """One crash and what came of it."""

    number: int
    kind: str
    how: str
    after_seconds: float
    """Between the command's start and the crash."""
    phase: str | None = None
    """The run's phase right then; None before it began and after its end."""
    codes: list[int] = field(default_factory=list)
    """Exit code of each command, that of the crashed one first."""
    outcomes: list[str] = field(default_factory=list)
    """Of the host's runs with this crash's inputs, oldest first."""
    compiles: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """What must be true and is not."""


class Crasher:
    """Crashes runs on one host, whose runs are short."""

    def __init__(self, host: Container, inventory: Path, state: Path, seed: int) -> None:
        self.host, self.inventory, self.state = host, inventory, state
        self.random = random.Random(seed)  # noqa: S311 - moments, not secrets
        self.tag = f"crash{seed}"
        self.usual_seconds = 0.0
        self.number = 0

    def warm_up(self) -> None:
        """One run without a crash, to know how long one takes; raises RuntimeError where even that fails."""
        began = time.monotonic()
        process = self._command("warm")
        _, said = process.communicate()
        if process.returncode:
            raise RuntimeError(said)
        self.usual_seconds = time.monotonic() - began

    def crash(self, kind: str) -> Crash:
        """Crash one run and give what came of it."""
        self.number += 1
        label = f"{self.tag}-{self.number}"
        crash = Crash(self.number, kind, "", round(self.random.uniform(0, self.usual_seconds), 1))
        process = self._command(label)
        time.sleep(crash.after_seconds)
        crash.phase = self.phase()
        crash.how = getattr(self, f"_{kind}")(process)
        said = [process.communicate()[1]]
        crash.codes.append(process.returncode)
        while (not crash.codes[1:] or crash.codes[-1]) and len(crash.codes) <= ATTEMPTS:
            self._await_ssh()
            process = self._command(label)
            said.append(process.communicate()[1])
            crash.codes.append(process.returncode)
        self._judge(crash, label)
        if crash.wrong:
            print("\n".join(said), file=sys.stderr)
        return crash

    # ---- what crashes ------------------------------------------------------------------------------------------------

    def _controller(self, process: subprocess.Popen[str]) -> str:
        with_all = self.random.random() < 0.5
        victims = [process.pid, *(_descendants(process.pid) if with_all else [])]
        for pid in victims:
            _kill(pid)
        return "all of its processes" if with_all else "alone"

    def _sshd(self, _: subprocess.Popen[str]) -> str:
        seconds = round(self.random.uniform(0, AWAY_SECONDS), 1)
        self.on_host("systemctl stop ssh; pkill -KILL sshd")
        time.sleep(seconds)
        self.on_host("systemctl start ssh")
        return f"away for {seconds} s"

    def _restart(self, _: subprocess.Popen[str]) -> str:
        if self.random.random() < 0.5:
            self.on_host("systemctl reboot")
            return "systemctl reboot"
        self.host.restart(timeout=0)
        return "power cut"

    # ---- what must be true -------------------------------------------------------------------------------------------

    def _judge(self, crash: Crash, label: str) -> None:
        on_host = self.runs_of(label)
        store = Store(self.state)
        kept = {run.run_id: run for run in store.list()}
        crash.wrong += [f"the store: {line}" for line in store.warnings]
        for run in on_host:
            if run not in kept:
                crash.wrong.append(f"run {run} is lost: its host has it and the store has not")
                continue
            crash.outcomes.append(kept[run].record["outcome"])
            crash.compiles.append(kept[run].record["compile"]["count"])
            accused = [check for check in kept[run].record["audit"]["checks"] if check["outcome"] == "fail"]
            crash.wrong += [f"the audit: {check['name']}: {check['detail']}" for check in accused]
        if crash.codes[-1]:
            crash.wrong.append(f"no command brought it to its end: exit codes {crash.codes}")
        if any(count > 1 for count in crash.compiles):
            crash.wrong.append("a run compiled more than once")
        if crash.outcomes.count("ok") != 1:
            crash.wrong.append(f"{crash.outcomes.count('ok')} runs went well")
        if crash.kind != "restart" and len(on_host) != 1:
            crash.wrong.append(f"{len(on_host)} runs where nothing ended the first")
        if len(self.on_host("docker ps --all --quiet").split()) > 1:
            crash.wrong.append("containers of an earlier run are left")

    def runs_of(self, label: str) -> list[str]:
        """Give the ids of the host's runs with this label, oldest first."""
        found = self.on_host(f"cat {RUNS}/*/run.json").replace("}{", "}\n{")
        runs = list(_documents(found))
        return [run["run_id"] for run in sorted(runs, key=lambda run: run["started_at"]) if run["username"] == label]

    def phase(self) -> str | None:
        """Give the phase of the run under way."""
        said = self.on_host(
            f"flock --nonblock --shared {RUNS}/../lock true || cat {RUNS}/$(cat {RUNS}/../lock)/events.jsonl "
            f"{RUNS}/$(cat {RUNS}/../lock)/container/events.jsonl"
        )
        begun = []
        for event in sorted(_documents(said), key=lambda event: event["uptime"]):
            if event["event"] == "begin":
                begun.append(event["phase"])
            elif event["phase"] in begun:
                begun.remove(event["phase"])
        return begun[-1] if begun else None

    # ---- tools -------------------------------------------------------------------------------------------------------

    def _command(self, label: str) -> subprocess.Popen[str]:
        """Begin `provisioner run` with inputs that only `label` has."""
        command = [str(ROOT / "bin/provisioner"), "run", "-i", str(self.inventory), *short.OPTIONS]
        command += ["--state-dir", str(self.state), "--username", label]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def on_host(self, command: str) -> str:
        """Ask the host, not over SSH; what it prints on stdout."""
        return self.host.exec_run(["sh", "-c", command], stderr=False).output.decode(errors="replace")

    def _await_ssh(self) -> None:
        """Wait until the host is up, as a person does who has seen it restart; a minute at most."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            self.host.reload()
            if self.host.status == "running" and "active" in self.on_host("systemctl is-active ssh").split():
                return
            time.sleep(0.5)


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """Give the JSON documents that follow one another in `text`; what is cut off is left out."""
    decoder, at = json.JSONDecoder(), 0
    while (at := text.find("{", at)) >= 0:
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError:
            return
        yield value


def _descendants(pid: int) -> list[int]:
    """Give the processes that `pid` started, and those that they did."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue
        children.setdefault(int(rest.split()[1]), []).append(int(name.split()[0]))
    found = list(children.get(pid, []))
    for child in found:
        found += children.get(child, [])
    return found


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def prepared(lab: labs.Lab, folder: Path, seed: int) -> Crasher:
    """Make the lab's first host ready to be crashed; `folder` is for the state and the inventory."""
    host = short.container(lab.hosts[0].name)
    short.install(host)
    if host.exec_run(["sh", "-c", f"docker image inspect {short.WARM_IMAGE}"]).exit_code != 0:
        cold = Crasher(host, short.inventory(lab.inventory, folder / "cold.yml"), folder / "state", seed)
        cold.warm_up()
        short.warm(host)
    inventory = short.inventory(lab.inventory, folder / "hosts.yml", **short.WARM)
    crasher = Crasher(host, inventory, folder / "state", seed)
    crasher.warm_up()
    return crasher


def main() -> int:
    """Crash as often as asked, and print what came of each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for kind in KINDS:
        parser.add_argument(f"--{kind}", type=int, default=0, metavar="N", help=f"so many crashes of kind {kind}")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--name", default="crash", help="the lab's name (default: crash)")
    parser.add_argument("--folder", type=Path, help="keep state here, and the lab up (default: neither is kept)")
    options = parser.parse_args()
    kinds = [kind for kind in KINDS for _ in range(getattr(options, kind))]
    with tempfile.TemporaryDirectory(prefix="provisioner-crash-") as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        lab = labs.up(options.name, 1, 12, "root", folder / "state", _say)
        try:
            crasher = prepared(lab, folder, options.seed)
            crasher.random.shuffle(kinds)
            _say(f"seed {options.seed}; a run takes {crasher.usual_seconds:.1f} s")
            crashes = []
            for kind in kinds:
                crashes.append(crasher.crash(kind))
                print(json.dumps(asdict(crashes[-1])), flush=True)
        finally:
            if not options.folder:
                labs.down(options.name, folder / "state", report=_say)
    wrong = [crash for crash in crashes if crash.wrong]
    counted = ", ".join(f"{sum(crash.kind == kind for crash in crashes)} {kind}" for kind in KINDS)
    _say(f"{counted}: {len(wrong)} wrong")
    return 1 if wrong else 0


def _say(line: str) -> None:
    print(f"crash: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
