"""What a host is busy with that is not ours: jobs, pods, containers, virtual machines, programs on a GPU. Reads only.

The kernel's table of processes tells, whatever engine or scheduler there is and whether it answers: each of them has a
process of its own for each piece of its work.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import engine as engines
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host

PROCESSES = Path("/proc")
# CUDA's programs have this device open; the module counts who does, where it is one that could be unloaded.
GPU_DEVICE = Path("/dev/nvidia-uvm")
GPU_USERS = "/sys/module/nvidia_uvm/refcnt"
# What may have it open and computes nothing.
WATCHERS = ("nvidia-persiste", "nv-hostengine", "nvidia-cuda-mps")
# A run of ours that is under way, and the Dev Container CLI's label on its container: the folder that it is of.
OUR_RUN = re.compile(r"scenario_[a-z]\.sh")
LABEL, OUR_FOLDER = "devcontainer.local_folder", re.compile(r".*/xformers-devcontainer-scenario-[a-z]")

# The names of processes (15 letters of them) and what one is of, with what in its command line names it.
KINDS = {
    "slurmstepd": ("Slurm job", r"slurmstepd: \[(\d+)"),
    "sge_shepherd": ("Grid Engine job", r"sge_shepherd-(\S+)"),
    "condor_starter": ("HTCondor job", r"(?!)"),
    "containerd-shim": ("container", r"-id[ =](\S{12})"),
    "conmon": ("container", r"(?:-n|--name)[ =](\S+)"),
    "kvm": ("virtual machine", r"-name (?:guest=)?([^,\s]+)"),
    "qemu-system-": ("virtual machine", r"-name (?:guest=)?([^,\s]+)"),
    "qemu-kvm": ("virtual machine", r"-name (?:guest=)?([^,\s]+)"),
}
POD = re.compile(r"-namespace[ =]k8s\.io|k8s_")
# slurmd keeps one such process for itself.
IDLE = re.compile(r"^\S*slurmstepd infinity")
# Names that a line has room for.
ROOM = 3


def busy(host: Host) -> list[str]:
    """Return what is under way on the host and is not ours, a line for each kind; empty where nothing is."""
    found: dict[str, list[str]] = {}
    users = host.read(GPU_USERS).strip()
    gpu = users != "0" and GPU_DEVICE.exists()
    seen = runs = False
    for process in PROCESSES.iterdir():
        if not process.name.isdigit():
            continue
        name = host.read(process / "comm").strip()
        runs = runs or _is_our_run(host, process, name)
        known = next((key for key in KINDS if name.startswith(key)), "")
        if known:
            kind, named = _work(host, process, known)
        elif gpu and _has_open(process, GPU_DEVICE):
            seen = True
            kind, named = "" if name.startswith(WATCHERS) else "GPU program", f"{name} ({process.name})"
        else:
            continue
        found.setdefault(kind, []).append(named)
    found.pop("", None)
    if gpu and users and not seen:
        found["GPU program"] = [""]  # of another user's, or in a container that is not seen from here
    return [_line(kind, names) for kind, names in sorted(_of_others(host, found, runs).items())]


def _work(host: Host, process: Path, known: str) -> tuple[str, str]:
    """Return the kind and the name of the work of a process of KINDS; '' for both where it has none."""
    line = host.read(process / "cmdline").replace("\0", " ").strip()
    kind, pattern = KINDS[known]
    if not line or IDLE.match(line):  # threads of the kernel's have no command line
        return "", ""
    named = re.search(pattern, line)
    return "pod" if POD.search(line) else kind, named[1] if named else ""


def _of_others(host: Host, found: dict[str, list[str]], runs: bool) -> dict[str, list[str]]:
    """Return what was found, less what is ours; `runs` says that a run of ours is under way."""
    if runs:  # what builds and tests for it is not told from others' work
        found = {kind: names for kind, names in found.items() if kind not in {"container", "GPU program"}}
    if "container" in found:
        found["container"] = _without_ours(host, found["container"])
    return {kind: names for kind, names in found.items() if names}


def _is_our_run(host: Host, process: Path, name: str) -> bool:
    """Return whether a process is a run's script: by its first line env runs bash, whose name the process has."""
    words = host.read(process / "cmdline").split("\0")[1:2] if name == "bash" else [name]
    return any(OUR_RUN.fullmatch(Path(word).name) for word in words)


def _has_open(process: Path, device: Path) -> bool:
    """Return whether a process has a device open; False where it has ended or may not be asked."""
    try:
        return any(file.readlink() == device for file in (process / "fd").iterdir())
    except OSError:
        return False


def _without_ours(host: Host, ids: list[str]) -> list[str]:
    """Return the containers that are not ours, by their names where the engine tells them, else as they were."""
    known = {}
    answer = engines.of(host).answer("/containers/json")
    for one in answer if isinstance(answer, list) else ():
        ours = OUR_FOLDER.fullmatch(str((one.get("Labels") or {}).get(LABEL, "")))
        known[str(one["Id"])[:12]] = "" if ours else str((one.get("Names") or [one["Id"][:12]])[0]).lstrip("/")
    return [known.get(each, each) for each in ids if known.get(each, "other")]


def _line(kind: str, names: list[str]) -> str:
    """Return a count of a kind, with the first names of it."""
    count = Counter(filter(None, names))
    shown = ", ".join(sorted(count)[:ROOM]) + (", …" if len(count) > ROOM else "")
    number = len(count) + names.count("")  # a job may have several steps
    return f"{number} {kind}{'s' if number > 1 else ''}" + (f": {shown}" if shown else "")
