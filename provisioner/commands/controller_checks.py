"""What is missing on the controller; the hosts are looked at by playbooks/doctor.yml."""

import importlib.metadata
import platform
import shutil
from pathlib import Path

from provisioner.ansible import site_settings
from provisioner.ansible.environment import program_path
from provisioner.ansible.events import NO_PYTHON, HostFinding
from provisioner.ansible.job import Job
from provisioner.ansible.target import Target
from provisioner.errors import ProvisionerError
from provisioner.offline import bundle

__all__ = ["CONTROLLER", "controller", "of_job"]

CONTROLLER = "controller"
MINIMUM_FREE_BYTES = 1_000_000_000


def controller(target: Target) -> list[HostFinding]:
    """Look at this machine, as the one that drives the hosts of `target`."""
    found = [
        HostFinding(CONTROLLER, "python", "ok", platform.python_version(), ""),
        _ansible(),
        *_settings(),
        _disk(target.state),
    ]
    if set(target.hosts) - target.local:
        found.append(_ssh())
    if bundle.PROFILE in target.profiles:
        found.append(_bundle(Path(target.extra_vars.get("local_sources_bundle") or bundle.default_path(target.state))))
    return found


def of_job(job: Job) -> list[HostFinding]:
    """Return what was found on the hosts; a host that could not be looked at is a finding too."""
    findings = []
    seen = {finding.host for finding in job.findings}
    for name, host in sorted(job.hosts.items()):
        said = host.failure.message if host.failure else ""
        if host.unreachable:
            remedy = "check the address, the user, the key and the host key: `ssh` to it must work without a question"
            findings.append(HostFinding(name, "reachable", "fail", said, remedy))
        elif name in seen:
            findings.append(HostFinding(name, "reachable", "ok", "answers", ""))
        elif said == NO_PYTHON:
            what, _, remedy = said.partition("; ")
            findings.append(HostFinding(name, "python", "fail", what, remedy))
        else:
            findings.append(HostFinding(name, "reachable", "fail", said or "no answer", f"see {job.log}"))
        findings += [finding for finding in job.findings if finding.host == name]
    return findings


def _ansible() -> HostFinding:
    if not shutil.which("ansible-playbook", path=program_path()):
        return HostFinding(CONTROLLER, "ansible", "fail", "no ansible-playbook", "install the package again")
    return HostFinding(CONTROLLER, "ansible", "ok", f"ansible-core {importlib.metadata.version('ansible-core')}", "")


def _settings() -> list[HostFinding]:
    """Return what of the site's settings for Ansible does not reach a job, where a person may miss it."""
    left_out = site_settings.read().left_out
    if not left_out:
        return []
    remedy = "nothing, unless you miss it: jobs have their own; `-i`, `--forks` and inventories say what may differ"
    return [HostFinding(CONTROLLER, "ansible settings", "warn", f"not used here: {', '.join(left_out)}", remedy)]


def _ssh() -> HostFinding:
    path = shutil.which("ssh")
    if path:
        return HostFinding(CONTROLLER, "ssh", "ok", path, "")
    return HostFinding(CONTROLLER, "ssh", "fail", "no ssh client", "install the package openssh-client")


def _bundle(path: Path) -> HostFinding:
    if not path.is_file():
        return HostFinding(CONTROLLER, "bundle", "fail", f"no {path}", "make it with `provisioner bundle`")
    try:
        manifest = bundle.check(path)
    except ProvisionerError as error:
        detail, _, remedy = error.message.rpartition("; ")
        return HostFinding(CONTROLLER, "bundle", "fail", detail, remedy)
    detail = f"{path}: {len(manifest['files'])} files for Python {manifest['python']}, each with its right sum"
    return HostFinding(CONTROLLER, "bundle", "ok", detail, "")


def _disk(state: Path) -> HostFinding:
    free = shutil.disk_usage(state).free
    detail = f"{free / 1e9:.1f} GB free at {state}"
    if free < MINIMUM_FREE_BYTES:
        return HostFinding(CONTROLLER, "disk", "fail", detail, "make room for evidence, or name another --state-dir")
    return HostFinding(CONTROLLER, "disk", "ok", detail, "")
