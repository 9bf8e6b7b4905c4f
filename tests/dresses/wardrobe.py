"""Dressed lab hosts, some at a time, each taken through doctor, plan, prepare, plan and prepare."""

import json
import os
import shlex
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from differences import Snapshot
from lab_hosts import ROOT, passing_labs
from sample import TODAY, release

from provisioner.errors import ProvisionerError
from provisioner.lab import Lab, dress

__all__ = ["TOOK", "Said", "Step", "Wardrobe", "Worn", "of_host", "run"]

HERE = Path(__file__).parent
AT_ONCE = 5  # hosts that are made, prepared and removed together
LONGEST = 900.0  # s until a command counts as hung
PATIENCE = 60.0  # s that it then has to clean up
COMMANDS = ("doctor", "plan", "prepare", "plan", "prepare")
# What makes images and sources is a minute or two of a host's time, and is none of the dresses' business.
VARIABLES = {"local_sources_base_image_build": None, "local_sources_xformers_sdist": None}


TOOK: dict[str, float] = {}
"""Seconds that went into making dressed hosts and into each command: told, never asserted."""


@dataclass
class Step:
    """What one command said of one host."""

    command: str
    document: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    """What it told a person of this host."""
    notes: list[str] = field(default_factory=list)
    trouble: str = ""
    """Why the command itself came to no end that can be looked at."""

    @property
    def failures(self) -> list[str]:
        """The lines that say that something cannot be had on this host."""
        return [line for line in self.lines if line.startswith(("failed", "unreachable", "refused"))]

    def __str__(self) -> str:
        said = [self.trouble, *self.lines, *(f"note: {note}" for note in self.notes)]
        for finding in self.document.get("findings", []):
            if finding["outcome"] != "ok":
                said.append(" ".join(finding[key] for key in ("outcome", "check", "detail", "remedy")))
        for change in self.document.get("changes", []):
            said.append(f"{change['role']}: {change['what']}: {change['from']} -> {change['to']}")
        if "changed" in self.document:
            said.append(f"{self.document['changed']} changed, {self.document['failed']} failed")
        return "\n    ".join([f"  {self.command}:", *filter(None, said)])


@dataclass
class Worn:
    """A dress, and all that happened to the host that wore it."""

    dress: dress.Dress
    debian: int
    trouble: str = ""
    steps: list[Step] = field(default_factory=list)
    before: Snapshot = field(default_factory=dict)
    between: Snapshot = field(default_factory=dict)
    """After the first `prepare`."""
    after: Snapshot = field(default_factory=dict)

    def __str__(self) -> str:
        again = f"provisioner lab up --as {self.dress.name} --debian {self.debian}"
        return "\n".join(
            [f"{self.dress.name} on Debian {self.debian}: {self.dress.what}", *map(str, self.steps), again]
        )


class Wardrobe:
    """The dresses that tests ask for, worn some at a time: a lab has no more hosts than this machine bears."""

    def __init__(self, names: list[str], lab_name: str, state: Path) -> None:
        self.waiting = names
        self.lab_name = lab_name
        self.state = state
        self.worn: dict[str, Worn] = {}

    def __getitem__(self, name: str) -> Worn:
        while name not in self.worn:
            batch, self.waiting = self.waiting[:AT_ONCE], self.waiting[AT_ONCE:]
            self.worn |= self.wear(batch)
        return self.worn[name]

    def wear(self, names: list[str]) -> dict[str, Worn]:
        """Take hosts in these dresses through everything, by the names of the dresses."""
        asked = os.environ.get("DRESSES_DEBIAN", "")
        dresses = {name: dress.load(name) for name in names}
        worn = {name: Worn(one, release(one.debian, asked, TODAY)) for name, one in dresses.items()}
        lab = None
        started = time.monotonic()
        with passing_labs(self.lab_name, self.state) as make:
            for debian in sorted({one.debian for one in worn.values()}):
                same = tuple(name for name, one in worn.items() if one.debian == debian)
                try:
                    lab = make("worn", 0, debian, dresses=same)
                except ProvisionerError:  # one that cannot be put on must not keep the others from their test
                    for name in same:
                        try:
                            lab = make("worn", 0, debian, dresses=(name,))
                        except ProvisionerError as error:
                            worn[name].trouble = str(error)
            TOOK["lab up"] = TOOK.get("lab up", 0) + time.monotonic() - started
            hosts = {host.name: worn[host.dress] for host in lab.hosts} if lab else {}
            if hosts:
                self.take_through(lab, hosts)
        return worn

    def take_through(self, lab: Lab, hosts: dict[str, Worn]) -> None:
        """Do all commands on all hosts, with a snapshot of each before, between and after."""
        inventory = self.state / "inventory.yml"
        content = yaml.safe_load(lab.inventory.read_text(encoding="utf-8"))
        content["all"]["vars"] = VARIABLES
        inventory.write_text(yaml.safe_dump(content), encoding="utf-8")
        variables = content["all"]["hosts"]

        def snapshot(which: str) -> None:
            for host, one in hosts.items():
                try:
                    setattr(one, which, take_snapshot(variables[host]))
                except (ValueError, OSError, subprocess.SubprocessError) as error:
                    one.trouble = one.trouble or f"no snapshot {which}: {error}"

        snapshot("before")
        for number, command in enumerate(COMMANDS):
            started = time.monotonic()
            said = run(command, inventory, self.state)
            TOOK[command] = TOOK.get(command, 0) + time.monotonic() - started
            for host, one in hosts.items():
                one.steps.append(of_host(said, host))
            if number == COMMANDS.index("prepare"):
                snapshot("between")
        snapshot("after")


@dataclass
class Said:
    command: str
    stdout: str
    stderr: str
    trouble: str = ""


def run(command: str, inventory: Path, state: Path) -> Said:
    """Run the product's own command on all hosts of an inventory."""
    words = [ROOT / "bin/provisioner", command, "-i", inventory, "--profile", "registries", "--state-dir", state]
    # Files, since what a killed command has started may hold a pipe open.
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen([*map(str, words), "--json"], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        trouble = ""
        try:
            code = process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            trouble = f"`{command}` had not ended after {LONGEST:.0f} s, on some host"
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            process.kill()
            code = process.wait()
        out, err = (file.seek(0) or file.read() for file in (stdout, stderr))
    if not trouble and (code not in range(6) or not out):
        trouble = f"`{command}` ended with {code}"
    if trouble:
        return Said(command, "{}", err, f"{trouble}:\n{err[-3000:]}")
    return Said(command, out, err)


def of_host(said: Said, host: str) -> Step:
    """Give what a command said of one host."""
    step = Step(said.command, trouble=said.trouble)
    document = json.loads(said.stdout)
    if said.command == "doctor":
        step.document = {"findings": [one for one in document.get("findings", []) if one["host"] == host]}
    else:
        step.document = document.get("hosts", {}).get(host, {})
    for line in said.stderr.splitlines():
        if line.startswith("{"):
            event = json.loads(line)
            if event["event"] == "Looked" and event["host"] == host:
                step.notes += [note for note in event["notes"] if note not in step.notes]
            elif event["event"] == "Busy" and event["host"] == host:
                step.notes += event["what"]
        elif line.startswith(f"provisioner: {host}: "):
            step.lines.append(line.removeprefix(f"provisioner: {host}: "))
    return step


def take_snapshot(variables: dict[str, str]) -> Snapshot:
    """Take a snapshot of a host, given by its variables in the lab's inventory."""
    done = subprocess.run(
        [
            *("ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20"),
            *shlex.split(variables["ansible_ssh_common_args"]),
            *("-i", variables["ansible_ssh_private_key_file"]),
            f"root@{variables['ansible_host']}",
            "python3 -B -",
        ],
        input=(HERE / "snapshot.py").read_text(encoding="utf-8"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        raise ValueError(done.stderr.strip()[-1000:])
    return json.loads(done.stdout.splitlines()[-1])  # a shell may have said something first
