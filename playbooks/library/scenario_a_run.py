#!/usr/bin/python
"""Start a run of Scenario A, detached, or find the one that serves; and wait for it to finish."""

from __future__ import annotations

DOCUMENTATION = r"""
module: scenario_a_run
short_description: Start, find and await runs of Scenario A
description:
  - A run is one folder under C(runs), made by C(benchmarking/scenario_a.sh), which holds the lock while it works.
  - The run is detached from Ansible, so that it goes on when the connection or the controller is lost; asking again
    attaches to it.
options:
  root:
    description: The scenario's folder on the host.
    type: path
    required: true
  state:
    description:
      - C(planned) only tells what C(started) would find; in check mode it leaves an interrupted run as it is, too.
      - C(started) makes sure that a run with these inputs is there, finished well or under way.
      - C(finished) waits until the run has finished or entered another phase, at most O(timeout) seconds.
    choices: [planned, started, finished]
    default: started
    type: str
  input_hash:
    description: What makes two runs comparable. A finished run with the same is found again.
    type: str
    default: ""
  fresh:
    description: Start a run although a finished one is there. One under way is attached to all the same.
    type: bool
    default: false
  run_id:
    description:
      - With C(finished), the run to wait for; the newest without it.
      - With C(started), the name of a run that is started.
    type: str
  minimum_free_bytes:
    description: A run is not started with less free space than this, in bytes, on O(root) or on Docker's disk.
    type: int
    default: 0
  timeout:
    description: How long C(finished) waits at most, in seconds.
    type: int
    default: 10
"""

RETURN = r"""
run_id:
  description: The run that was found or started; null where none is there (C(planned)).
  type: str
  returned: always
scenario_a_progress:
  description: Where the run stands. Times in seconds since its start; C(done) of C(total) steps of the compile.
  type: dict
  returned: when there is a run
scenario_a_planned:
  description: With C(planned), what C(started) would do - C(would) is measure, reuse, attach or refuse - and C(detail).
  type: dict
  returned: with C(planned)
archive:
  description: The run's evidence, as one file on the host.
  type: str
  returned: when the run has finished
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

NINJA_STEP = re.compile(r"^\s*\[(\d+)/(\d+)\]", re.MULTILINE)
# A run is started with these and no other of the environment that Ansible happens to bring.
ENVIRONMENT = ["PATH", "HOME", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"] + [
    name for proxy in ("http_proxy", "https_proxy", "no_proxy") for name in (proxy, proxy.upper())
]


class Runs:
    """The runs under one root folder."""

    def __init__(self, root: str, *, read_only: bool = False) -> None:
        self.root = Path(root)
        self.read_only = read_only
        self.folder = self.root / "runs"

    def under_way(self) -> str | None:
        """Return the id of the run that holds the lock, None where no run does.

        The lock goes with the script, however that ends; so a run without a result and without the lock was
        interrupted, and is marked so here.
        """
        try:
            with (self.root / "lock").open("rb") as lock:
                try:
                    # Shared and given back at once: the script waits a moment for it.
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return next((run for run in self.newest_first() if not self.result(run)), "")
        except FileNotFoundError:
            return None
        for run in self.newest_first():
            if not self.result(run):
                self.mark_interrupted(run)
        return None

    def newest_first(self) -> list[str]:
        """Return the ids of all runs, by when they started."""
        if not self.folder.is_dir():
            return []
        runs = [entry.name for entry in self.folder.iterdir() if entry.is_dir()]
        return sorted(runs, key=lambda run: (self.started_at(run), run), reverse=True)

    def started_at(self, run: str) -> str:
        """Return when the run started (UTC, ISO 8601); empty where it did not get that far."""
        return (self.read(run, "run.json") or {}).get("started_at", "")

    def result(self, run: str) -> dict | None:
        """Return what the run wrote when it finished, None before."""
        return self.read(run, "result.json")

    def read(self, run: str, name: str) -> dict | None:
        """Return a JSON file of the run, None where it is not there or cut off."""
        try:
            return json.loads((self.folder / run / name).read_text())
        except (OSError, ValueError):
            return None

    def mark_interrupted(self, run: str) -> None:
        """Give a run that ended without a result the result `interrupted`."""
        if self.read_only:
            return
        phase = self.progress(run)["phase"]
        part = self.folder / run / "result.json.part"
        part.write_text(json.dumps({"outcome": "interrupted", "exit_code": None, "phase": phase}) + "\n")
        part.rename(part.with_suffix(""))

    def finished_well(self, input_hash: str) -> str | None:
        """Return the newest run that was measured from these inputs and went well."""
        for run in self.newest_first():
            inputs = (self.read(run, "run.json") or {}).get("input_hash")
            if inputs == input_hash and (self.result(run) or {}).get("outcome") == "ok":
                return run
        return None

    def events(self, run: str) -> list[dict]:
        """Return the events so far, of the host and of the container, in order."""
        events = []
        for name in ("events.jsonl", "container/events.jsonl"):
            try:
                lines = (self.folder / run / name).read_text().splitlines()
            except OSError:
                continue
            for line in lines:
                try:
                    events.append(json.loads(line))
                except ValueError:
                    continue  # a line being written
        return sorted(events, key=lambda event: event["uptime"])

    def progress(self, run: str) -> dict:
        """Return where the run stands, as `scenario_a_progress`."""
        open_phases: dict[str, float] = {}
        began = now = 0.0
        for event in self.events(run):
            now = event["uptime"]
            if event["event"] == "begin":
                if event["phase"] == "run":
                    began = now
                else:
                    open_phases[event["phase"]] = now
            else:
                open_phases.pop(event["phase"], None)
        finished = self.result(run) is not None
        if began and not finished:
            now = float(Path("/proc/uptime").read_text().split()[0])
        phase = list(open_phases)[-1] if open_phases else None
        done, total = self.ninja_step(run) if phase == "compile" else (None, None)
        return {
            "run_id": run,
            "state": "finished" if finished else "running",
            "phase": phase,
            "elapsed": round(now - began, 2),
            "phase_elapsed": round(now - open_phases[phase], 2) if phase else 0.0,
            "done": done,
            "total": total,
        }

    def ninja_step(self, run: str) -> tuple[int | None, int | None]:
        """Return n and m of the last `[n/m]` that ninja printed."""
        try:
            with (self.folder / run / "container" / "pip.log").open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 262144))
                steps = NINJA_STEP.findall(log.read().decode(errors="replace"))
        except OSError:
            return None, None
        return (int(steps[-1][0]), int(steps[-1][1])) if steps else (None, None)

    def archive(self, run: str) -> str:
        """Pack the finished run's evidence, once, and return the file."""
        path = self.folder / f"{run}.tar.gz"
        if not path.exists():
            part = path.with_suffix(".part")
            with tarfile.open(part, "w:gz") as archive:
                archive.add(self.folder / run, arcname=run)
            part.rename(path)
        return str(path)

    def start(self, run: str, script: Path, timeout: float = 30) -> str:
        """Start a detached run and return its id, or that of one which was quicker; raises RuntimeError."""
        environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        environment |= {"SCENARIO_A_RUN_ID": run, "LANG": "C.UTF-8", "HOME": environment.get("HOME", "/root")}
        if Path("/run/systemd/system").is_dir():
            # A unit of its own: logind ends what is left of a session when the session ends.
            unit = ["systemd-run", "--quiet", "--collect", f"--unit=provisioner-scenario-a-{run}"]
            unit += ["--property=StandardOutput=null", *(f"--setenv={name}" for name in environment), str(script)]
            subprocess.run(unit, env=environment, check=True, capture_output=True, text=True)
        else:
            nowhere = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
            subprocess.Popen([str(script)], env=environment, start_new_session=True, cwd="/", **nowhere)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.read(run, "run.json"):
                return run
            time.sleep(0.2)
        other = self.under_way()
        if other:
            return other
        raise RuntimeError(f"{script} did not start; run it by hand to see why")


def too_full(paths: list[Path], minimum: int) -> str | None:
    """Return a message about the first path with less than `minimum` bytes free."""
    for path in paths:
        there = next(folder for folder in (path, *path.parents) if folder.exists())
        free = shutil.disk_usage(there).free
        if free < minimum:
            return (
                f"{free / 1e9:.0f} GB are free at {there}, and Scenario A needs {minimum / 1e9:.0f} GB for its "
                "image and torch; free some, or set scenario_a_minimum_free_bytes if you know better"
            )
    return None


def await_change(runs: Runs, run: str, timeout: int) -> None:
    """Return when the run has finished or entered another phase, at the latest after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    before = runs.progress(run)["phase"]
    while time.monotonic() < deadline:
        now = runs.progress(run)
        if now["state"] == "finished" or now["phase"] != before:
            return
        time.sleep(1)
        runs.under_way()  # marks a run that was interrupted meanwhile


def find_or_start(module: AnsibleModule, runs: Runs) -> tuple[str | None, bool]:
    """Return the run that serves the module's inputs, and whether one had to be started (in check mode: is missing)."""
    options = module.params
    run = runs.under_way()
    if run is not None:
        theirs = (runs.read(run, "run.json") or {}).get("input_hash", options["input_hash"])
        if theirs != options["input_hash"]:
            message = f"run {run}, with other inputs, is under way; wait for it, or stop it on the host"
            module.fail_json(msg=message, scenario_a_planned={"would": "refuse", "detail": message})
        return run, False
    if not options["fresh"]:
        run = runs.finished_well(options["input_hash"])
        if run is not None:
            return run, False
    message = too_full([runs.root, Path("/var/lib/docker")], options["minimum_free_bytes"])
    if message:
        module.fail_json(msg=message, scenario_a_planned={"would": "refuse", "detail": message})
    if options["state"] == "planned":
        return None, False
    if module.check_mode:
        return None, True
    try:
        script = runs.root / "xformers-devcontainer" / "benchmarking" / "scenario_a.sh"
        return runs.start(options["run_id"], script), True
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        module.fail_json(msg=f"the run could not be started: {getattr(error, 'stderr', '') or error}".strip())


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "state": {"type": "str", "default": "started", "choices": ["planned", "started", "finished"]},
            "input_hash": {"type": "str", "default": ""},
            "fresh": {"type": "bool", "default": False},
            "run_id": {"type": "str"},
            "minimum_free_bytes": {"type": "int", "default": 0},
            "timeout": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )
    planned = module.params["state"] == "planned"
    runs = Runs(module.params["root"], read_only=planned and module.check_mode)
    changed = False
    if module.params["state"] == "finished":
        runs.under_way()  # marks a run that was interrupted
        run = module.params["run_id"] or next(iter(runs.newest_first()), None)
        if run:
            await_change(runs, run, module.params["timeout"])
    else:
        run, changed = find_or_start(module, runs)

    result = {"changed": changed, "run_id": run}
    if run:
        result["scenario_a_progress"] = runs.progress(run)
        if result["scenario_a_progress"]["state"] == "finished" and not runs.read_only:
            result["archive"] = runs.archive(run)
    if planned:
        finished = run and result["scenario_a_progress"]["state"] == "finished"
        would = ("reuse" if finished else "attach") if run else "measure"
        result["scenario_a_planned"] = {"would": would, "detail": run or ""}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
