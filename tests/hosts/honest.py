"""Honest runs of many kinds, of the short workload on a lab host: the audit accuses none of them.

    PYTHONPATH=. .venv/bin/python tests/hosts/honest.py [--only NAME]... [--name LAB] [--folder DIR]

Runs that go well with other settings, that fail in each phase, and that are cut short in each phase in several ways.
Each must end as its kind says, and no check of its audit may fail. The process exits with 1 where one did.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import crash
import short

from provisioner import lab as labs

SCENARIO = "/var/lib/provisioner/scenario_a"
UNIT = "'provisioner-scenario-a-*'"
STOP = f"systemctl stop {UNIT}"
KILL = f"systemctl kill --signal=KILL {UNIT}"
SCRIPT_ALONE = f"systemctl kill --kill-who=main --signal=TERM {UNIT}"
NO_NETWORK = "iptables --insert DOCKER-USER --jump REJECT"
WITH_NETWORK = "iptables --delete DOCKER-USER --jump REJECT || true"
LITTLE_MEMORY = (
    "docker container update --memory 48m --memory-swap 48m"
    " $(docker container ls --quiet --filter label=devcontainer.local_folder)"
)
NO_SUCH_MOUNT = {"source": "/srv/no-such-folder", "target": "/sources"}
BUSY = f"{SCENARIO}/xformers-devcontainer-scenario-a/busy"


@dataclass(frozen=True)
class Kind:
    """A kind of honest run: how it must end, what is asked for, and what happens to it in which phase."""

    name: str
    outcome: str = "ok"
    options: tuple[str, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    configuration: Mapping[str, Any] = field(default_factory=dict)
    """Of the devcontainer, besides its name and user."""
    before: str = ""
    """What is done on the host before the run."""
    phase: str = ""
    happens: str = ""
    """What is done on the host as soon as the phase begins."""
    after: str = ""
    """What takes back what was done."""


def _cut_short() -> list[Kind]:
    phases = ("image_build", "container_up", "clone", "compile", "pre_commit")
    ways = {"stopped": (STOP, phases), "killed": (KILL, ("image_build", "compile", "pre_commit"))}
    return [
        Kind(f"{way} in {phase}", "interrupted", phase=phase, happens=command)
        for way, (command, of) in ways.items()
        for phase in of
    ]


KINDS = [
    Kind("as it is"),
    Kind("one job", options=("--max-jobs", "1")),
    Kind("three jobs", options=("--max-jobs", "3")),
    Kind("threads of nvcc", variables={"scenario_nvcc_threads": 2}),
    Kind("two architectures", options=("--arch-list", "8.0;9.0")),
    Kind("another architecture", options=("--arch-list", "12.0")),
    Kind("an architecture with a letter", options=("--arch-list", "9.0a")),
    Kind("no CA bundle", variables={"site_ca_bundle": ""}),
    Kind("another user's fork", options=("--username", "somebody-else")),
    Kind("more shared memory", configuration={"runArgs": ["--shm-size=1g"]}),
    Kind("fails in clean", "failed", before=f"mkdir -p {BUSY}; mount -t tmpfs none {BUSY}", after=f"umount {BUSY}"),
    Kind(
        "fails in lay_down",
        "failed",
        phase="clean",
        happens=f"rm {SCENARIO}/xformers-devcontainer/.devcontainer/devcontainer.json",
    ),
    Kind("fails in image_build", "failed", variables={"scenario_system_packages": ["git", "no-such-package"]}),
    Kind("fails in container_up", "failed", variables={"scenario_mounts": [NO_SUCH_MOUNT]}),
    Kind("fails in clone", "failed", variables={"scenario_xformers_url": "file:///sources/no-such.git"}),
    # nvcc builds for it; the short workload hands it on as it is written, which nvcc does not know.
    Kind("fails in compile", "failed", options=("--arch-list", "9.0+PTX")),
    Kind("fails in pre_commit", "failed", phase="compile", happens=NO_NETWORK, after=WITH_NETWORK),
    Kind("memory ends", "failed", phase="clone", happens=LITTLE_MEMORY),
    Kind("its command is killed", "failed", phase="compile", happens="pkill -KILL -f 'devcontainer.* up '"),
    Kind(
        "its engine is killed",
        "failed",
        phase="compile",
        happens="systemctl stop docker.socket; systemctl kill --signal=KILL docker; systemctl stop docker",
        after="systemctl reset-failed docker; systemctl start docker.socket docker",
    ),
    *_cut_short(),
    Kind("its script alone is told to end", "interrupted", phase="compile", happens=SCRIPT_ALONE),
]


class Honest:
    """Runs kinds of honest runs on one host."""

    def __init__(self, crasher: crash.Crasher, folder: Path) -> None:
        self.crasher, self.folder = crasher, folder

    def run(self, kind: Kind) -> list[str]:
        """Run it once; return what is wrong with how it ended, or with what the audit said of it."""
        if kind.before:
            self.crasher.on_host(kind.before)
        if kind.happens:
            self.crasher.host.exec_run(["sh", "-c", when(kind)], detach=True)
        try:
            done = subprocess.run(self._command(kind), stdin=subprocess.DEVNULL, capture_output=True, check=False)
        finally:
            if kind.after:
                self.crasher.on_host(kind.after)
        try:
            (record,) = json.loads(done.stdout)["runs"]
        except (ValueError, KeyError):
            return [f"no record came back (exit code {done.returncode}): {done.stderr.decode()[-2000:]}"]
        wrong = [
            f"{check['name']}: {check['detail']}" for check in record["audit"]["checks"] if check["outcome"] == "fail"
        ]
        if record["outcome"] != kind.outcome:
            wrong.append(f"it ended as {record['outcome']}, not {kind.outcome}: {record['failure']}")
        return wrong

    def _command(self, kind: Kind) -> list[str]:
        variables = short.WARM | dict(kind.variables)
        if kind.configuration:
            path = self.folder / "devcontainer.json"
            path.write_text(json.dumps({"name": "short", "remoteUser": "vscode", **kind.configuration}))
            variables["scenario_base_devcontainer_json"] = str(path)
        inventory = short.inventory(self.crasher.inventory, self.folder / "honest.yml", **variables)
        command = [str(crash.ROOT / "bin/provisioner"), "run", "--fresh", "--json", "-i", str(inventory)]
        return [*command, *short.OPTIONS, *kind.options, "--state-dir", str(self.folder / "state")]


def when(kind: Kind) -> str:
    """Return a shell command that waits until a run is in the kind's phase, and then does what happens to it."""
    begun = f'"event":"begin","phase":"{kind.phase}"'
    run = f"{SCENARIO}/runs/$(cat {SCENARIO}/lock)"
    in_phase = f"grep -qs '{begun}' {run}/events.jsonl {run}/container/events.jsonl"
    return f"until [ ! -e {run}/result.json ] && {in_phase}; do sleep 0.02; done; {kind.happens}"


def main() -> int:
    """Run all kinds, or those that were asked for, and print what came of each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", metavar="NAME", help="this kind; may be given again")
    parser.add_argument("--name", default="honest", help="the lab's name (default: honest)")
    parser.add_argument("--folder", type=Path, help="keep state here, and the lab up (default: neither is kept)")
    options = parser.parse_args()
    kinds = [kind for kind in KINDS if not options.only or kind.name in options.only]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="provisioner-honest-") as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        lab = labs.up(options.name, 1, 12, "root", folder / "state", lambda line: print(line, file=sys.stderr))
        try:
            honest = Honest(crash.prepared(lab, folder, seed=0), folder)
            for kind in kinds:
                wrong = honest.run(kind)
                failed += bool(wrong)
                print(json.dumps({"kind": kind.name, "outcome": kind.outcome, "wrong": wrong}), flush=True)
        finally:
            if not options.folder:
                labs.down(options.name, folder / "state", report=print)
    print(f"{len(kinds) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
