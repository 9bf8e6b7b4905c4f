"""Puts a dress on a lab host."""

from pathlib import Path

from provisioner.lab.dress import Dress
from provisioner.lab.model import LabHost, Report
from provisioner.lab.script import run_as_root

__all__ = ["put_on"]


def put_on(host: LabHost, dress: Dress, folder: Path, report: Report) -> None:
    """Run the dress's script on the host, as root. Raise ProvisionerError where it fails, its last words reported."""
    # One stream keeps its output and its errors in order.
    run_as_root(host, folder, f"exec 2>&1\n{dress.script}", f"the dress {dress.name!r}", report)
    report(f"{host.name} is dressed: {dress.what.strip()}")
