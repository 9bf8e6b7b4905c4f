"""What is missing on the controller; the hosts are looked at by playbooks/doctor.yml."""

import importlib.metadata
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from provisioner.environment import ansible_environment
from provisioner.events import NO_PYTHON, Finding
from provisioner.inputs import Target
from provisioner.job import Job

__all__ = ["CONTROLLER", "controller", "of_job", "pip_index"]

CONTROLLER = "controller"
MINIMUM_FREE_BYTES = 1_000_000_000


def controller(target: Target) -> list[Finding]:
    """Look at this machine, as the one that drives the hosts of `target`."""
    found = [
        Finding(CONTROLLER, "python", "ok", platform.python_version(), ""),
        _ansible(),
        _disk(target.state),
    ]
    return [*found, _ssh()] if set(target.hosts) - target.local else found


def of_job(job: Job) -> list[Finding]:
    """Give what was found on the hosts; a host that could not be looked at is a finding too."""
    findings = []
    seen = {finding.host for finding in job.findings}
    for name, host in sorted(job.hosts.items()):
        said = host.failure.message if host.failure else ""
        if host.unreachable:
            remedy = "check the address, the user, the key and the host key: `ssh` to it must work without a question"
            findings.append(Finding(name, "reachable", "fail", said, remedy))
        elif name in seen:
            findings.append(Finding(name, "reachable", "ok", "answers", ""))
        elif said == NO_PYTHON:
            what, _, remedy = said.partition("; ")
            findings.append(Finding(name, "python", "fail", what, remedy))
        else:
            findings.append(Finding(name, "reachable", "fail", said or "no answer", f"see {job.log}"))
        findings += [finding for finding in job.findings if finding.host == name]
    return findings


def pip_index() -> str:
    """Give the index that pip takes packages from, by its own configuration or else its default; '' without pip."""
    ask = (
        "from pip._internal.configuration import Configuration as C; from pip._internal.models.index import PyPI;"
        "c = C(False); c.load(); d = dict(c.items());"
        "print(d.get(':env:.index-url') or d.get('global.index-url') or PyPI.simple_url)"
    )
    answer = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=False)
    return answer.stdout.strip()


def _ansible() -> Finding:
    if not shutil.which("ansible-playbook", path=ansible_environment()["PATH"]):
        return Finding(CONTROLLER, "ansible", "fail", "no ansible-playbook", "install the package again")
    return Finding(CONTROLLER, "ansible", "ok", f"ansible-core {importlib.metadata.version('ansible-core')}", "")


def _ssh() -> Finding:
    path = shutil.which("ssh")
    if path:
        return Finding(CONTROLLER, "ssh", "ok", path, "")
    return Finding(CONTROLLER, "ssh", "fail", "no ssh client", "install the package openssh-client")


def _disk(state: Path) -> Finding:
    free = shutil.disk_usage(state).free
    detail = f"{free / 1e9:.1f} GB free at {state}"
    if free < MINIMUM_FREE_BYTES:
        return Finding(CONTROLLER, "disk", "fail", detail, "make room for evidence, or name another --state-dir")
    return Finding(CONTROLLER, "disk", "ok", detail, "")
