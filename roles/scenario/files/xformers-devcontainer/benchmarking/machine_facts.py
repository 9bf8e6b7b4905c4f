"""Print what this machine is, as the record's `machine`: JSON, sizes in bytes, unknown is null.

Standard library only: it runs on the benchmarked host, beside scenario_a.sh.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

# The record's name of each figure, nvidia-smi's name of it (`nvidia-smi --help-query-gpu`), and how to read it.
MIB = 1024**2
GPU_FIGURES = {
    "name": ("name", str),
    "uuid": ("uuid", str),
    "compute_capability": ("compute_cap", str),
    "memory_bytes": ("memory.total", lambda mib: int(mib) * MIB),
    "mig": ("mig.mode.current", str),
    "ecc": ("ecc.mode.current", str),
    "power_limit_watts": ("power.limit", float),
    "pcie_generation": ("pcie.link.gen.max", int),
    "pcie_width": ("pcie.link.width.max", int),
    "pcie_address": ("pci.bus_id", str),
}
# What /proc/driver/nvidia/version says of the one of NVIDIA's two modules, and not of the other.
OPEN_MODULE = "Open Kernel Module"


def output(*command: str) -> str | None:
    """Return what the command prints, stripped; None where it is missing, fails or hangs."""
    if not shutil.which(command[0]):
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (subprocess.SubprocessError, OSError):
        return None
    return done.stdout.strip()


def read(path: str) -> str:
    """Return the file's text, empty where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def field(text: str, pattern: str) -> str | None:
    """Return the first group of the pattern's first match, stripped."""
    match = re.search(pattern, text, re.MULTILINE)
    return match[1].strip().strip('"') or None if match else None


def figure(text: str, convert: object) -> object:
    """Convert one of nvidia-smi's values; what the card does not tell ("[N/A]") is None."""
    try:
        return None if text.startswith("[") or text in {"N/A", ""} else convert(text)
    except ValueError:
        return None


def said(*command: str) -> str:
    """Return all that the command prints, also where it fails; empty where it is missing or hangs."""
    if not shutil.which(command[0]):
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (subprocess.SubprocessError, OSError):
        return ""
    return done.stdout + done.stderr


def gpus() -> list[dict]:
    """Return every GPU that the driver knows; a figure that an older driver does not know is None."""
    asked = dict(GPU_FIGURES)
    listing = None
    while asked and listing is None:
        query = "--query-gpu=" + ",".join(name for name, _unused in asked.values())
        listing = output("nvidia-smi", query, "--format=csv,noheader,nounits")
        if listing is None:
            # One name that it does not know makes it refuse them all; it says which.
            unknown = field(
                said("nvidia-smi", query, "--format=csv,noheader,nounits"), r'Field "([^"]+)" is not a valid'
            )
            key = next((key for key, (name, _unused) in asked.items() if name == unknown), None)
            if key is None:
                return []
            del asked[key]
    cards = []
    for line in (listing or "").splitlines():
        values = zip(asked.items(), line.split(","))  # noqa: B905 (Python 3.9)
        known = {key: figure(text.strip(), convert) for (key, (_unused, convert)), text in values}
        cards.append({key: known.get(key) for key in GPU_FIGURES})
    return cards


def mig_devices(cards: list[dict]) -> list[dict]:
    """Return the slices that the cards are cut into (MIG), each with its profile and UUID."""
    listing = said("nvidia-smi", "-L") if any(card["mig"] == "Enabled" for card in cards) else ""
    found = re.findall(r"^\s+MIG\s+(\S+)\s+Device\s+\d+:\s+\(UUID:\s+(\S+)\)", listing, re.MULTILINE)
    return [{"profile": profile, "uuid": uuid} for profile, uuid in found]


def driver() -> dict:
    """Return the driver: its version, its CUDA, which module it is, and what nvidia-smi complains of.

    A library that is not of the loaded module's version is the fault that people meet most, so both are named.
    """
    loaded = read("/sys/module/nvidia/version").strip()
    version = field(output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader") or "", r"^([\d.]+)$")
    talk = said("nvidia-smi")
    about = read("/proc/driver/nvidia/version")
    return {
        "driver": version or loaded or None,
        "driver_cuda": field(talk, r"CUDA (?:\w+ )?Version:\s*([\d.]+)") if version else None,
        "driver_module": ("open" if OPEN_MODULE in about else "proprietary") if about else None,
        "driver_fault": None if version else fault(loaded, talk),
    }


def fault(loaded: str, talk: str) -> str | None:
    """Return what nvidia-smi complains of, by its `talk`; None where no module is loaded either."""
    if not (loaded or talk):
        return None
    if "version mismatch" in talk.lower():
        library = field(talk, r"NVML library version:\s*([\d.]+)")
        return f"Driver/library version mismatch: module {loaded or 'unknown'}, library {library or 'unknown'}"
    lines = [line.strip() for line in talk.splitlines() if line.strip()]
    return lines[0] if lines else "nvidia-smi is missing"


def cpu_model() -> str | None:
    """Return the CPU's name; ARM's kernel gives numbers, which lscpu knows the names of."""
    named = field(read("/proc/cpuinfo"), r"^model name\s*:(.*)") or field(said("lscpu"), r"^Model name:(.*)")
    return named or platform.machine() or None


def physical_cores() -> int | None:
    """Return how many cores there are, where two threads of one count once."""
    folders = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology")
    cores = {(read(f"{folder}/physical_package_id").strip(), read(f"{folder}/core_id").strip()) for folder in folders}
    return len(cores) or None


def disk_kind(path: str = "/var/lib") -> str | None:
    """Return "nvme", "ssd" or "hdd" for the disk that holds the path, by the kernel's rotational flag."""
    node = block_device(path)
    for folder in (node, node.parent) if node else ():
        flag = read(f"{folder}/queue/rotational").strip()
        if flag:
            return "hdd" if flag == "1" else "nvme" if folder.name.startswith("nvme") else "ssd"
    return None


def block_device(path: str) -> Path | None:
    """Return the folder in /sys of the device that a path lies on; None where it lies on none, in a container say."""
    device = Path(path).stat().st_dev
    node = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    if node.exists():
        return node.resolve()
    # btrfs and its like have a device number of their own: the mount table names what is below.
    mounts = [line.split() for line in read("/proc/self/mounts").splitlines()]
    folders = [path, *map(str, Path(path).parents)]
    above = [mount for mount in mounts if mount[0].startswith("/dev/") and mount[1] in folders]
    source = max(above, key=lambda mount: len(mount[1]))[0] if above else ""
    node = Path("/sys/class/block", Path(source).resolve().name)
    return node.resolve() if source and node.exists() else None


def virtualisation() -> str | None:
    """Return systemd's name of the hypervisor or container manager, "none" on bare metal."""
    if not shutil.which("systemd-detect-virt"):
        # Whatever it is called, the CPU says that there is one.
        return "vm" if re.search(r"^flags\s*:.*\bhypervisor\b", read("/proc/cpuinfo"), re.MULTILINE) else None
    # It exits 1 with "none" on bare metal, so not through output().
    done = subprocess.run(["systemd-detect-virt"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def machine() -> dict:
    """Return the record's `machine`."""
    cards = gpus()
    memory_kib = field(read("/proc/meminfo"), r"^MemTotal:\s*(\d+)")
    return {
        "cpu_model": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "physical_cores": physical_cores(),
        "memory_bytes": int(memory_kib) * 1024 if memory_kib else None,
        "disk": disk_kind(),
        "os": field(read("/etc/os-release"), r"^PRETTY_NAME=(.*)"),
        "kernel": platform.release(),
        "virtualisation": virtualisation(),
        "docker": output("docker", "version", "--format", "{{.Server.Version}}"),
        **driver(),
        "gpus": cards,
        "mig_devices": mig_devices(cards),
    }


if __name__ == "__main__":
    print(json.dumps(machine(), indent=2))
