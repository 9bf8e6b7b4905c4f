"""What a host has of NVIDIA's: its GPUs and who has them, and a driver, loaded or installed. Reads only.

nvidia-smi is one witness among several: it may be missing, hang, or complain of one card while all others work. What
the kernel says of its module and what lies on the disk counts too.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host

NVIDIA, DISPLAY, SWITCH = "0x10de", "0x03", "0x0680"
PCI = Path("/sys/bus/pci/devices")
# Whoever else has a GPU bound to itself (vfio-pci for a virtual machine, say) is to keep it.
KERNEL_DRIVERS = ("", "nvidia", "nouveau")

# What the kernel says of the module that is loaded, and of the cards that this module has.
LOADED = Path("/sys/module")
ABOUT = Path("/proc/driver/nvidia/version")
CARDS = Path("/proc/driver/nvidia/gpus")
OPEN_MODULE = "Open Kernel Module"
# The module of NVIDIA's vGPU manager, which divides GPUs among virtual machines.
VGPU_MANAGER = "nvidia_vgpu_vfio"

# Where NVIDIA's programs are that PATH does not lead to: Windows' own for WSL, and what cloud images mount.
WSL = Path("/usr/lib/wsl/lib")
PROGRAM_FOLDERS = (WSL, Path("/usr/local/nvidia/bin"))
QUERY = ("--query-gpu=driver_version,name", "--format=csv,noheader")
CAPABILITIES = ("--query-gpu=compute_cap", "--format=csv,noheader")
# Seconds. Where nothing keeps the driver initialised, each of many cards is initialised for the answer.
PATIENCE = 30
# nvidia-smi's exit codes, as its manual has them, for where it says nothing else.
EXIT_CODES = {
    4: "no permission",
    6: "no device was found",
    8: "a device's power cables are not attached",
    9: "the driver is not loaded",
    10: "an interrupt issue with a GPU",
    12: "NVML's library was not found",
    14: "infoROM is corrupted",
    15: "a GPU has fallen off the bus",
}

KERNELS = Path("/lib/modules")
# Where DKMS, the distributions and NVIDIA's installer put the module, below a kernel's folder, and what they call it:
# not all of nvidia*.ko is the driver's (GPUDirect Storage has an nvidia-fs.ko).
MODULE_FOLDERS = ("updates", "updates/dkms", "extra", "extra/*", "weak-updates/*", "misc", "kernel/nvidia*")
MODULE_FOLDERS += ("kernel/drivers/video", "kernel/drivers/video/nvidia")
MODULE_FILE = re.compile(r"nvidia(-current(-open)?|-tesla\S*)?\.ko(\.\w+)?")
LIBRARIES = (Path("/usr/lib64"), Path("/usr/lib"))
LIBRARY_FILES = ("libnvidia-ml.so.*.*", "*/libnvidia-ml.so.*.*", "*/nvidia/*/libnvidia-ml.so.*.*")
UNINSTALLER = Path("/usr/bin/nvidia-uninstall")

SECURE_BOOT = Path("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c")
# The keys that DKMS signs with: Debian's and Ubuntu's.
SIGNING_KEYS = ("/var/lib/dkms/mok.pub", "/var/lib/shim-signed/mok/MOK.der")

# How systemd names containers that are run as machines: their kernel, and a driver's module, is their host's.
CONTAINER = Path("/run/systemd/container")
CONTAINERS = ("lxc", "lxc-libvirt", "openvz", "systemd-nspawn")
# Where the GPU Operator of Kubernetes keeps the driver that it loads.
GPU_OPERATOR = Path("/run/nvidia/driver")

FABRIC = "nvidia-fabricmanager.service"
NO_FABRIC = f"NVSwitches are there and {FABRIC} is not active, without which CUDA does not start"
FABRIC_REMEDY = f"install nvidia-fabricmanager of the driver's very version, and 'systemctl enable --now {FABRIC}'"


# --- GPUs ---


def devices(kind: str) -> dict[str, str]:
    """Return NVIDIA's devices whose PCI class begins with `kind`: by address, the kernel driver of each, or ''."""
    return {
        device.name: (device / "driver").resolve().name if (device / "driver").is_symlink() else ""
        for device in sorted(PCI.glob("*"))
        if Host.read(device / "vendor").strip() == NVIDIA and Host.read(device / "class").startswith(kind)
    }


def hardware() -> list[str]:
    """Return the PCI addresses of the GPUs (3D controllers among them) that this host may use itself."""
    return [address for address, driver in devices(DISPLAY).items() if driver in KERNEL_DRIVERS]


def lent() -> dict[str, str]:
    """Return the GPUs that something else has, by address: the name of the kernel driver that they are bound to."""
    return {address: driver for address, driver in devices(DISPLAY).items() if driver not in KERNEL_DRIVERS}


def no_gpu() -> str:
    """Return why there is no GPU to use, for a role that is for GPUs and leaves the host alone."""
    names = ", ".join(sorted(set(lent().values())))
    return f"all NVIDIA GPUs are given away to {names}" if names else "no NVIDIA GPU on the PCI bus"


def lacks_fabric_manager(host: Host) -> bool:
    """Return whether there are NVSwitches (HGX machines) and nothing that sets them up.

    Without systemd, in a container, they are the business of a host that cannot be asked.
    """
    return bool(host.systemd and devices(SWITCH)) and host.unit(FABRIC).get("ActiveState") != "active"


# --- the driver ---


def driver(host: Host) -> dict:
    """Return what the driver is: what is loaded, and what nvidia-smi, which is started once, says of it.

    `works` where nvidia-smi tells a version, whatever it complains of, or where it alone is missing; `complaint` is in
    its own words, '' without one; `mismatch` says how library and module differ.
    """
    code, out, err = host.run(program(host), *QUERY, patience=PATIENCE)
    answers = re.findall(r"^(\d+(?:\.\d+)+)(?:, *(.*))?$", out, re.MULTILINE)
    about = host.read(ABOUT)
    loaded = host.read(LOADED / "nvidia/version").strip() or _found(r"Module\s.*?(\d+\.\d[\d.]*)", about)
    said = f"{out}\n{err}"
    version = answers[0][0] if answers else ""
    library = _found(r"NVML library version:\s*(\d[\d.]*\d)", said) or version or library_version()
    mismatch = _mismatch(said, loaded, library)
    missing = code == 127 and not out
    return {
        "answers": bool(answers),
        "works": bool(answers) or (missing and bool(loaded and library) and not mismatch),
        "version": version,
        "cards": [name for _unused, name in answers],
        "loaded": loaded,
        "library": library,
        "kind": ("open" if OPEN_MODULE in about else "proprietary") if about else "",
        "mismatch": "" if answers else mismatch,
        "complaint": "nvidia-smi is missing" if missing else _complaint(code, said),
        "smi_missing": missing,
    }


def _mismatch(said: str, loaded: str, library: str) -> str:
    """Return how the versions of library and module differ, by what nvidia-smi said or by the files; '' if not."""
    # An nvidia-smi that does not answer may be missing; the files tell as well.
    if "version mismatch" not in said.lower() and not (loaded and library and not same(loaded, library)):
        return ""
    return f"module {loaded or 'of another version'} is loaded, the library is {library or 'of another version'}"


def capabilities(host: Host) -> list[str]:
    """Return the GPUs' compute capabilities, each once; none where nvidia-smi does not tell, as old ones do not."""
    _unused, out, _unused = host.run(program(host), *CAPABILITIES, patience=PATIENCE)
    return sorted(set(re.findall(r"^\d+\.\d$", out, re.MULTILINE)), key=natural)


def remarks(found: dict) -> list[str]:
    """Return what a person should know of a driver that works, though not without a fault."""
    told = []
    version = found["version"] or found["loaded"]
    known = len(list(CARDS.glob("*")))
    if found["complaint"]:
        told.append(f"driver {version} works, but: {found['complaint']}")
    if found["answers"] and len(found["cards"]) < known:
        told.append(f"nvidia-smi lists {len(found['cards'])} of the {known} GPUs that driver {version} has")
    if (LOADED / VGPU_MANAGER).exists():
        told.append("the driver is NVIDIA's vGPU manager, which has no CUDA: benchmark in a virtual machine of it")
    return told


def installed(host: Host, pattern: str) -> str:
    """Return what tells that a driver is installed: a package whose name fits `pattern`, or a file; '' without one."""
    there = {**host.packages, **host.unfinished}
    package = next((name for name in sorted(there) if pattern and re.match(pattern, bare(name))), "")
    if package:
        return f"package {package} {there[package]}"
    if UNINSTALLER.exists():
        return f"NVIDIA's installer's, {UNINSTALLER}"
    return next((str(path) for kernel in reversed(kernels()) for path in modules(kernel)), "")


def library_version() -> str:
    """Return the version of NVML's library, '' without one or with several."""
    paths = (path for folder in LIBRARIES for pattern in LIBRARY_FILES for path in folder.glob(pattern))
    names = {path.name[len("libnvidia-ml.so.") :] for path in paths}
    return names.pop() if len(names) == 1 else ""


# --- its module ---


def kernels() -> list[str]:
    """Return the kernels that have a folder for modules, the oldest first."""
    return sorted((path.name for path in KERNELS.glob("*")), key=natural)


def modules(kernel: str) -> list[Path]:
    """Return the files of NVIDIA's module that a kernel has."""
    files = (path for folder in MODULE_FOLDERS for path in (KERNELS / kernel).glob(f"{folder}/nvidia*"))
    return [path for path in files if MODULE_FILE.fullmatch(path.name)]


def has_module(kernel: str) -> bool:
    """Return whether a kernel has NVIDIA's module on disk."""
    return bool(modules(kernel))


def another_kernel() -> str:
    """Return that the module is there for a newer kernel only, not for the one that runs; '' where that is not so."""
    running = os.uname().release
    newest = (kernels() or [""])[-1]
    if natural(newest) > natural(running) and has_module(newest) and not has_module(running):
        return f"kernel {running} runs, and the module is for {newest}"
    return ""


def secure_boot() -> bool:
    """Return whether the firmware lets only signed modules be loaded."""
    return Host.read(SECURE_BOOT)[-1:] == "\x01"


def trusts_dkms(host: Host) -> bool:
    """Return whether a module that DKMS builds here can be loaded: Secure Boot is off, or knows the key of DKMS."""
    return not secure_boot() or any(
        "already enrolled" in "".join(host.run("mokutil", "--test-key", key)[1:])
        for key in SIGNING_KEYS
        if Path(key).exists()
    )


# --- versions and names ---


def of_branch(version: str, branch: str) -> bool:
    """Return whether a driver's version is of a branch: 535.261.03 is of 535, and of 535.261."""
    return f"{version}.".startswith(f"{branch}.")


def major(version: str) -> str:
    """Return the branch's number of a version; '' of ''."""
    return version.split(".", maxsplit=1)[0]


def same(loaded: str, library: str) -> bool:
    """Return whether two versions are one, where either may be cut short (nvidia-smi prints two parts of three)."""
    return of_branch(loaded, library) or of_branch(library, loaded)


def bare(name: str) -> str:
    """Return a package's name without its architecture."""
    return name.split(":", maxsplit=1)[0]


def natural(version: str) -> list:
    """Return a key that sorts 6.1.0-9 before 6.1.0-10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", version)]


def program(host: Host) -> str:
    """Return what nvidia-smi is called here."""
    elsewhere = (str(folder / "nvidia-smi") for folder in PROGRAM_FOLDERS if (folder / "nvidia-smi").exists())
    return "nvidia-smi" if host.which("nvidia-smi") else next(elsewhere, "nvidia-smi")


def _complaint(code: int, said: str) -> str:
    """Return what nvidia-smi complains of, in its own words where it has any; '' where it does not."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    words = next((line for line in lines if not re.match(r"\d+\.\d", line)), "")
    return words or (
        f"nvidia-smi ended with {code}, {EXIT_CODES.get(code, 'which it does not explain')}" if code else ""
    )


def _found(pattern: str, text: str) -> str:
    """Return the first group of a pattern's first match, '' without one."""
    match = re.search(pattern, text)
    return match[1] if match else ""
