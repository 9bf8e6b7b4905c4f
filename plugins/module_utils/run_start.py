"""Start a run of Scenario A, detached from whoever asks for it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import variables
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.write import write

if TYPE_CHECKING:
    from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.runs import Runs

# A run is started with these and no other of the environment that Ansible happens to bring.
ENVIRONMENT = ["PATH", "HOME", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "CUDA_HOME", "LD_LIBRARY_PATH"] + [
    name for proxy in ("http_proxy", "https_proxy", "no_proxy") for name in (proxy, proxy.upper())
]

SECONDS_TO_BEGIN = 30


def start(runs: Runs, run: str, input_hash: str, challenge: str = "", *, scenario: str = "a") -> str:
    """Start a detached run of a scenario and return its id, or that of one which was quicker.

    Raise RuntimeError, OSError and subprocess.CalledProcessError where none began in SECONDS_TO_BEGIN.
    """
    script = runs.root / "xformers-devcontainer" / "benchmarking" / f"scenario_{scenario}.sh"
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    environment |= {"LANG": "C.UTF-8", "HOME": environment.get("HOME", "/root")}
    environment |= {"SCENARIO_RUN_ID": run, "SCENARIO_INPUT_HASH": input_hash}
    environment |= {"SCENARIO_CHALLENGE": challenge} if challenge else {}
    if Path("/run/systemd/system").is_dir():
        # A unit of its own: logind ends what is left of a session when the session ends. Its variables are in a file,
        # since every user can ask systemd for those that a unit was given, and a proxy's URL may hold a password.
        file = runs.root / "environment"
        write(file, variables.as_file(environment).encode(), 0o600)
        unit = ["systemd-run", "--quiet", "--collect", f"--unit=provisioner-scenario-{scenario}-{run}"]
        unit += ["--property=StandardOutput=null", f"--property=EnvironmentFile={file}", str(script)]
        subprocess.run(unit, check=True, capture_output=True, text=True)
    else:
        nowhere = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        # As systemd starts it, whatever root's umask is: the container's user reads what it lays down.
        subprocess.Popen([str(script)], env=environment, start_new_session=True, cwd="/", umask=0o022, **nowhere)
    deadline = time.monotonic() + SECONDS_TO_BEGIN
    while time.monotonic() < deadline:
        if runs.described(run):
            return run
        other = runs.holder()
        if other and runs.described(other):
            return other
        time.sleep(0.2)
    raise RuntimeError(f"{script} did not start; run it by hand to see why")


def exposed(root: Path) -> str | None:
    """Return a message about the first folder on the way to `root` in which another user than root could replace it."""
    real = root.resolve()
    for path in dict.fromkeys((*reversed(root.parents), root, *reversed(real.parents), real)):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue  # root makes it
        others_write = status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX
        if status.st_uid not in (0, os.geteuid()) or others_write:
            return (
                f"another user than root can replace what lies in {path}, and root runs what lies in {root}: give "
                f"{path} to root and take the right to write from others, or set scenario_dir to a folder of root's"
            )
    return None


LEAST_FREE = {"devcontainer": 20_000_000_000, "native": 2_000_000_000}
"""What a run takes, in bytes, by its runtime: of a devcontainer the image, torch in it and the compile; of a native one
the clone, the compile and the evidence."""


def room(given: str | int | None, runtime: str) -> int:
    """Return how many bytes are to be free for a run: as `given`, else what the runtime takes."""
    return LEAST_FREE[runtime] if given is None else int(given)


def too_full(paths: list[Path], minimum: int) -> str | None:
    """Return a message where one of the paths has less than `minimum` bytes free."""
    free, there = least_free(paths)
    if free >= minimum:
        return None
    return (
        f"{free / 1e9:.0f} GB are free at {there}, and Scenario A needs {minimum / 1e9:.0f} GB for its "
        "image and torch; free some, or set scenario_minimum_free_bytes if you know better"
    )


def least_free(paths: list[Path]) -> tuple[int, Path]:
    """Return the free bytes of the path that has least, and the path.

    One that is not there yet will be on the file system of the folder above it.
    """
    there = [next(folder for folder in (path, *path.parents) if folder.exists()) for path in paths]
    return min(((shutil.disk_usage(path).free, path) for path in there), key=lambda one: one[0])
