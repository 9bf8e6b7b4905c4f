"""What a run writes down of its machine. The nvidia-smi here is a stand-in on PATH: no GPU is needed to read it."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from provisioner.runs.record import Gpu, Machine

FILE = Path(__file__).parents[2] / "roles/scenario/files/xformers-devcontainer/benchmarking/machine_facts.py"
spec = importlib.util.spec_from_file_location("machine_facts", FILE)
facts = importlib.util.module_from_spec(spec)
spec.loader.exec_module(facts)

H200 = {
    "name": "NVIDIA H200",
    "uuid": "GPU-1",
    "compute_cap": "9.0",
    "memory.total": "143771",
    "mig.mode.current": "Disabled",
    "ecc.mode.current": "Enabled",
    "power.limit": "700.00",
    "pcie.link.gen.max": "5",
    "pcie.link.width.max": "16",
    "pci.bus_id": "00000000:01:00.0",
    "driver_version": "580.95.05",
}

SMI = """#!{python}
import sys
cards, refused, fails, header, listing = {values!r}
if fails:
    print(fails)
    sys.exit(18)
query = [each for each in sys.argv if each.startswith("--query-gpu=")]
if "-L" in sys.argv:
    print(listing)
elif not query:
    print(header)
else:
    names = query[0].split("=", 1)[1].split(",")
    for name in names:
        if name in refused:
            print(f'Field "{{name}}" is not a valid field to query.')
            sys.exit(2)
    for card in cards:
        print(", ".join(card[name] for name in names))
"""


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Put an nvidia-smi on PATH that has these cards, does not know `refused` fields, or fails with a complaint."""

    def make(*cards, refused=(), fails="", header="| CUDA Version: 13.0 |", listing=""):
        path = tmp_path / "nvidia-smi"
        path.write_text(SMI.format(python=sys.executable, values=(list(cards), list(refused), fails, header, listing)))
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return make


@pytest.fixture
def files(monkeypatch):
    """Have the kernel's files read as told, and no others."""

    def make(**texts):
        named = {"loaded": "/sys/module/nvidia/version", "about": "/proc/driver/nvidia/version"}
        by_path = {named[name]: text for name, text in texts.items()}
        monkeypatch.setattr(facts, "read", lambda path: by_path.get(path, ""))

    return make


def test_this_machine_for_real():
    done = subprocess.run([sys.executable, FILE], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["memory_bytes"] == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert found["cores"] == len(os.sched_getaffinity(0))
    assert 1 <= found["physical_cores"] <= os.cpu_count()
    assert found["kernel"] == os.uname().release
    assert found["disk"] in {"nvme", "ssd", "hdd", None}
    assert {"virtualisation", "docker", "driver", "driver_cuda", "gpus", "mig_devices"} <= set(found)


def test_the_record_has_a_field_for_each_fact():
    assert set(facts.machine()) <= set(Machine.model_fields)
    assert set(facts.GPU_FIGURES) == set(Gpu.model_fields)


def test_it_needs_the_standard_library_alone():
    done = subprocess.run([sys.executable, "-I", "-S", FILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_card(smi, files):
    smi(H200, {**H200, "uuid": "GPU-2", "ecc.mode.current": "[N/A]", "power.limit": "[Not Supported]"})
    files(about="NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05\n")
    found = facts.machine()
    assert found["gpus"][0] == {
        "name": "NVIDIA H200",
        "uuid": "GPU-1",
        "compute_capability": "9.0",
        "memory_bytes": 143771 * 1024**2,
        "mig": "Disabled",
        "ecc": "Enabled",
        "power_limit_watts": 700.0,
        "pcie_generation": 5,
        "pcie_width": 16,
        "pcie_address": "00000000:01:00.0",
    }
    assert (found["gpus"][1]["ecc"], found["gpus"][1]["power_limit_watts"]) == (None, None)
    assert (found["driver"], found["driver_cuda"], found["driver_module"]) == ("580.95.05", "13.0", "open")
    assert (found["driver_fault"], found["mig_devices"]) == (None, [])


def test_an_older_driver_that_does_not_know_a_field_still_tells_the_rest(smi):
    smi(H200, refused=["compute_cap", "mig.mode.current"])
    (card,) = facts.gpus()
    assert (card["compute_capability"], card["mig"]) == (None, None)
    assert (card["name"], card["memory_bytes"]) == ("NVIDIA H200", 143771 * 1024**2)
    assert set(card) == set(facts.GPU_FIGURES)


def test_slices(smi):
    smi(
        {**H200, "mig.mode.current": "Enabled"},
        listing="GPU 0: NVIDIA H200 (UUID: GPU-1)\n  MIG 1g.18gb     Device  0: (UUID: MIG-7)\n"
        "  MIG 3g.71gb     Device  1: (UUID: MIG-8)",
    )
    assert facts.machine()["mig_devices"] == [
        {"profile": "1g.18gb", "uuid": "MIG-7"},
        {"profile": "3g.71gb", "uuid": "MIG-8"},
    ]


def test_a_mismatch_of_library_and_module_is_named(smi, files):
    smi(fails="Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 535.309")
    files(loaded="535.261.03\n", about="NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.261.03\n")
    found = facts.machine()
    assert found["driver_fault"] == "Driver/library version mismatch: module 535.261.03, library 535.309"
    assert (found["driver"], found["driver_cuda"], found["driver_module"]) == ("535.261.03", None, "proprietary")
    assert found["gpus"] == []


def test_a_driver_that_is_not_loaded_is_a_fault_and_no_version(smi, files):
    smi(fails="NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n\nMore.")
    files()
    found = facts.machine()
    assert found["driver"] is None
    assert found["driver_fault"].startswith("NVIDIA-SMI has failed")
