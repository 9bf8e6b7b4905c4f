"""Puts a dress on a lab host."""

import shlex
import subprocess
from pathlib import Path

from provisioner.errors import ProvisionerError
from provisioner.lab.access import ssh_command
from provisioner.lab.dress import Dress
from provisioner.lab.model import LabHost, Report

__all__ = ["put_on"]

LONGEST = 600.0  # s, for a script that hangs
SHOWN = 20  # lines of what a failed script printed


def put_on(host: LabHost, dress: Dress, folder: Path, report: Report) -> None:
    """Run the dress's script on the host, as root. Raise ProvisionerError where it fails, its last words reported."""
    root = "" if host.user == "root" else "sudo --non-interactive "
    script = shlex.join(
        ["env", "DEBIAN_FRONTEND=noninteractive", "bash", "--norc", "-euo", "pipefail", "-c", dress.script]
    )
    try:
        done = subprocess.run(
            [*ssh_command(folder, host), root + script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProvisionerError(f"the dress {dress.name!r} did not come to its end in {LONGEST:.0f} s") from error
    if done.returncode != 0:
        for line in done.stdout.splitlines()[-SHOWN:]:
            report(f"{host.name}: {line}")
        raise ProvisionerError(f"the dress {dress.name!r} failed with exit code {done.returncode}", "see what it said")
    report(f"{host.name} is dressed: {dress.what.strip()}")
