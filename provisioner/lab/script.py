"""Runs a script on a lab host, as root."""

import shlex
import subprocess
from pathlib import Path
from typing import IO

from provisioner.errors import ProvisionerError
from provisioner.lab.access import ssh_command
from provisioner.lab.model import LabHost, Report

__all__ = ["run_as_root"]

LONGEST = 600.0  # s, for a script that hangs
SHOWN = 20  # lines of what a failed script printed


def run_as_root(  # noqa: PLR0913, PLR0917 (what is run where, and who is told)
    host: LabHost, folder: Path, script: str, what: str, report: Report, given: IO[bytes] | None = None
) -> bytes:
    """Run a script by bash, and give what it prints; apt asks nothing there.

    `folder` is the lab's, `what` names the script to a person; the file `given`, from its start, is its input. Raise
    ProvisionerError where it fails, its last words reported.
    """
    if given:
        given.seek(0)
    root = [] if host.user == "root" else ["sudo", "--non-interactive"]
    bash = ["env", "DEBIAN_FRONTEND=noninteractive", "bash", "--norc", "-euo", "pipefail", "-c", script]
    try:
        done = subprocess.run(
            [*ssh_command(folder, host), shlex.join([*root, *bash])],
            stdin=given or subprocess.DEVNULL,
            capture_output=True,
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProvisionerError(f"{what} did not end within {LONGEST:.0f} s") from error
    if done.returncode != 0:
        for line in (done.stdout + done.stderr).decode(errors="replace").splitlines()[-SHOWN:]:
            report(f"{host.name}: {line}")
        raise ProvisionerError(f"{what} failed with exit code {done.returncode}", "read what it printed")
    return done.stdout
