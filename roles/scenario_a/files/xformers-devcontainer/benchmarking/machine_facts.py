#!/usr/bin/env python3
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
}


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


def gpus() -> list[dict]:
    """Return every GPU that the driver knows."""
    names = ",".join(name for name, _ in GPU_FIGURES.values())
    listing = output("nvidia-smi", f"--query-gpu={names}", "--format=csv,noheader,nounits") or ""
    return [
        {
            key: figure(text.strip(), convert)
            for (key, (_, convert)), text in zip(GPU_FIGURES.items(), line.split(","))  # noqa: B905 (Python 3.9)
        }
        for line in listing.splitlines()
    ]


def disk_kind(path: str = "/var/lib") -> str | None:
    """Return "ssd" or "hdd" for the disk that holds the path, by the kernel's rotational flag."""
    device = Path(path).stat().st_dev
    node = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
    for folder in (node, node.parent):
        flag = read(f"{folder}/queue/rotational").strip()
        if flag:
            return "hdd" if flag == "1" else "ssd"
    return None


def virtualisation() -> str | None:
    """Return systemd's name of the hypervisor or container manager, "none" on bare metal."""
    if not shutil.which("systemd-detect-virt"):
        return None
    # It exits 1 with "none" on bare metal, so not through output().
    done = subprocess.run(["systemd-detect-virt"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def machine() -> dict:
    """Return the record's `machine`."""
    memory_kib = field(read("/proc/meminfo"), r"^MemTotal:\s*(\d+)")
    cards = gpus()
    return {
        "cpu_model": field(read("/proc/cpuinfo"), r"^model name\s*:(.*)") or platform.machine() or None,
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": int(memory_kib) * 1024 if memory_kib else None,
        "disk": disk_kind(),
        "os": field(read("/etc/os-release"), r"^PRETTY_NAME=(.*)"),
        "kernel": platform.release(),
        "virtualisation": virtualisation(),
        "docker": output("docker", "version", "--format", "{{.Server.Version}}"),
        "driver": field(output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader") or "", r"^(.*)$"),
        "driver_cuda": field(output("nvidia-smi") or "", r"CUDA Version:\s*([\d.]+)") if cards else None,
        "gpus": cards,
    }


if __name__ == "__main__":
    print(json.dumps(machine(), indent=2))
