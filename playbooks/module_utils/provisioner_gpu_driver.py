"""What a host's NVIDIA driver is, and what it lacks. Reads only; Python 3.9 and its standard library.

`look` compares the host with role gpu_driver's wanted state, `gpu_driver_wanted`. A driver that works and is of the
wanted branch is left alone, whoever installed it; only what a package manager might part is held.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ansible.module_utils import provisioner_apt_sources as apt_sources
from ansible.module_utils.provisioner_host import Host, RefusalError, change
from ansible.module_utils.provisioner_installation import Outcome, foresee
from ansible.module_utils.provisioner_packages import brought, sources

NVIDIA, DISPLAY, SWITCH = "0x10de", "0x03", "0x0680"
# Why a role that is for GPUs leaves a host alone.
NO_GPU = "no NVIDIA GPU on the PCI bus"

PCI = Path("/sys/bus/pci/devices")
LOADED = Path("/sys/module")
KERNELS = Path("/lib/modules")
LIBRARIES = (Path("/usr/lib64"), Path("/usr/lib"))
LIBRARY_FILES = ("libnvidia-ml.so.*.*", "*/libnvidia-ml.so.*.*", "*/nvidia/*/libnvidia-ml.so.*.*")
SOURCE_HEAD = "# Written by provisioner: where the NVIDIA driver is.\n"
UNINSTALLER = Path("/usr/bin/nvidia-uninstall")

# Where DKMS and the distributions put the module, below a kernel's folder, and what they call it: not all of nvidia*.ko
# is the driver's (GPUDirect Storage has an nvidia-fs.ko).
MODULE_FOLDERS = ("updates/dkms", "extra", "kernel/drivers/video")
MODULE_FILE = re.compile(r"nvidia(-current(-open)?)?\.ko(\.\w+)?")
# How the two package managers name this machine, and how NVIDIA's repository does.
ARCHITECTURES = {"x86_64": ("amd64", "x86_64"), "aarch64": ("arm64", "sbsa")}
QUERY = ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
PERSISTENCE = "nvidia-persistenced.service"
FABRIC = "nvidia-fabricmanager.service"
NO_FABRIC = f"NVSwitches are there and {FABRIC} is not active, without which CUDA does not start"
FABRIC_REMEDY = f"install nvidia-fabricmanager of the driver's very version, and 'systemctl enable --now {FABRIC}'"


def look(host: Host, wanted: dict) -> dict:
    """Return what is off, and what the tasks need to mend it.

    `changes` is empty where nothing is to be done. `skipped` says why a host is none of the role's business, `restart`
    why the host wants a restart ('' each where it does not apply); `reboot_required` tells whether that restart is left
    to a person who wants to hear of it. Raises RefusalError where the driver cannot be brought here.
    """
    found = {"changes": [], "notes": [], "skipped": "", "restart": "", **driver(host)}
    found["hardware"] = hardware()
    # Where a GPU is lent to a container the PCI bus may not be seen, and what nvidia-smi says tells.
    if not (found["hardware"] or found["answers"] or found["mismatch"] or wanted["force"]):
        return {**found, "skipped": NO_GPU}
    found["local"] = is_controller(host, wanted)
    found.update(upkeep(host, wanted, found))
    if found["mismatch"]:
        found["notes"].append(f"gpu_driver: driver/library version mismatch: {found['mismatch']}")
    if lacks_fabric_manager(host):
        version = f"; the driver is {found['version']}" if found["answers"] else ""
        found["notes"].append(f"gpu_driver: {NO_FABRIC}; {FABRIC_REMEDY}{version}")
    left = bool(found["restart"]) and not found["restart_now"]
    found["reboot_required"] = left and wanted["reboot"] != "never"
    if left:
        found["notes"].append(f"gpu_driver: the host wants a restart: {found['restart']}{why_not(wanted)}")
    return found


def why_not(wanted: dict) -> str:
    """Say why the role does not restart a host that wants it."""
    if wanted["reboot"] == "auto":
        return "; not restarted, since it is the machine that this runs on"
    return f"; not restarted, since gpu_driver_reboot is {wanted['reboot']}"


def driver(host: Host) -> dict:
    """Return what runs: whether nvidia-smi answers, the versions of module and library, and how they differ."""
    code, out, err = host.run(*QUERY)
    versions = re.findall(r"^\d+(?:\.\d+)+$", out, re.MULTILINE)
    loaded = host.read(str(LOADED / "nvidia/version")).strip()
    said = f"{out}\n{err}"
    library = re.search(r"NVML library version:\s*([\d.]+)", said)
    answers = code == 0 and bool(versions)
    library = library[1].rstrip(".") if library else versions[0] if answers else library_version()
    # An nvidia-smi that does not answer may be missing; the files tell as well.
    differs = "version mismatch" in said.lower() or bool(loaded and library and not same(loaded, library))
    mismatch = f"module {loaded or 'of another version'} is loaded, the library is {library or 'of another version'}"
    lines = [line for line in said.splitlines() if line.strip()]
    return {
        "answers": answers,
        "version": versions[0] if answers else "",
        "loaded": loaded,
        "library": library,
        "mismatch": mismatch if differs and not answers else "",
        "complaint": "" if answers else (lines[0] if lines else "nvidia-smi is missing"),
    }


def hardware() -> list[str]:
    """Return the PCI addresses of NVIDIA's display controllers, 3D ones (data centre cards) among them."""
    return devices(DISPLAY)


def devices(kind: str) -> list[str]:
    """Return the PCI addresses of NVIDIA's devices whose class begins with `kind`."""
    return sorted(
        device.name
        for device in PCI.glob("*")
        if Host.read(device / "vendor").strip() == NVIDIA and Host.read(device / "class").startswith(kind)
    )


def lacks_fabric_manager(host: Host) -> bool:
    """Tell whether there are NVSwitches (HGX machines) and nothing that sets them up.

    Without systemd, in a container, they are the business of a host that cannot be asked.
    """
    return bool(host.systemd and devices(SWITCH)) and host.unit(FABRIC).get("ActiveState") != "active"


def library_version() -> str:
    """Return the version of NVML's library, '' without one or with several."""
    paths = (path for folder in LIBRARIES for pattern in LIBRARY_FILES for path in folder.glob(pattern))
    names = {path.name[len("libnvidia-ml.so.") :] for path in paths}
    return names.pop() if len(names) == 1 else ""


def upkeep(host: Host, wanted: dict, found: dict) -> dict:
    """Return what is off on a host that should have the driver."""
    entry = host.pick(wanted["distributions"])
    pattern = re.compile(entry["hold"]) if entry else None
    packaged = sorted(name for name in map(bare, host.packages) if pattern and pattern.search(name))
    held = {bare(name) for name in host.held}
    unheld = [name for name in packaged if name not in held] if wanted["hold"] else []
    kept = [change("hold", "none", name) for name in unheld]

    # NVIDIA's installer may have taken the place of our packages since.
    ours = Path(wanted["modprobe_file"]).exists() and not UNINSTALLER.exists()
    satisfied = not wanted["branch"] or of_branch(found["version"] or found["loaded"], wanted["branch"])
    holding = {"unheld": unheld, "packaged": packaged, "manager": entry["manager"] if entry else ""}
    if found["answers"] and satisfied and not (ours and from_source(host, wanted, entry, found)):
        return {**holding, "changes": kept}
    if found["mismatch"] and not ours:
        later = restart(wanted, found, found["mismatch"])
        return {**holding, **later, "changes": [*kept, *later["changes"]]}
    if not entry:
        raise RefusalError(
            f"the driver's packages for {host.os_id} are not known; install it there by hand "
            "(known: " + ", ".join(sorted(wanted["distributions"])) + ")"
        )
    if found["answers"] and not satisfied and not packaged:
        raise RefusalError(
            f"driver {found['version']} is there, not of branch {wanted['branch']}, and no package owns it; "
            "remove it (nvidia-uninstall, or on the container's host) or set gpu_driver_branch"
        )
    if UNINSTALLER.exists() and not found["answers"]:
        raise RefusalError(
            f"a driver from NVIDIA's installer is there and does not answer ({found['complaint']}); "
            "run 'nvidia-uninstall' on the host, or mend it, and run this again"
        )

    plan = packages(host, wanted, entry, found)
    done = {**holding, **plan}
    done["prerequisites"] = entry.get("prerequisites", [])
    changes = [*plan["changes"], *kept]
    modprobe = host.read(wanted["modprobe_file"]).strip()
    if modprobe != wanted["modprobe"].strip():
        changes.append(change(wanted["modprobe_file"], "other" if modprobe else "absent", "nouveau off"))
    done["unbuilt"] = [] if plan["missing"] else unbuilt(found)
    reason = restart_reason(found, done)
    if not plan["missing"]:
        changes += settled(host, wanted, found, done, bool(reason))
    if reason:
        later = restart(wanted, found, reason)
        changes += later.pop("changes")
        done.update(later)
    elif found["hardware"] and not found["answers"] and not changes:
        raise RefusalError(
            f"the driver is installed and loaded, and does not answer ({found['complaint']}); "
            "read 'dmesg | grep -i nvidia' on the host, mend it and run this again"
        )
    return {**done, "changes": changes}


def from_source(host: Host, wanted: dict, entry: dict, found: dict) -> bool:
    """Tell whether the driver that works is of the packages of the wanted source."""
    source = entry and entry["sources"].get(wanted["source"])
    if not source:
        return False
    branch = major(found["version"])
    names = {each.format(branch=branch) for names in source["packages"].values() for each in names}
    return branch in source.get("branches", [branch]) and not names.isdisjoint(map(bare, host.packages))


def packages(host: Host, wanted: dict, entry: dict, found: dict) -> dict:
    """Return which packages and sources are missing, with the text that the source's file should have."""
    source = entry["sources"].get(wanted["source"])
    name = entry["name"]
    if not source:
        raise RefusalError(f"{name} has no driver of its own; set gpu_driver_source to nvidia")
    # What works is of the right branch, unless another is asked for.
    exact = wanted["branch"] or major(found["version"]) or source["branch"]
    branch = major(exact)
    branches = source.get("branches", [branch])
    if branch not in branches:
        raise RefusalError(
            f"{name} has the driver of branch {' or '.join(branches)}, not {branch}; "
            "set gpu_driver_branch to that, or gpu_driver_source to nvidia"
        )
    arch, repository_arch = ARCHITECTURES.get(os.uname().machine, (os.uname().machine,) * 2)
    release = host.os_id.replace(".", "")
    words = {"branch": branch, "arch": arch, "repository_arch": repository_arch, "release": release}
    installed = {bare(each): version for each, version in host.packages.items()}
    # The first of a module's packages is the module's own.
    own = {module: names[0].format(**words) for module, names in source["packages"].items()}
    works = [module for module in own if found["answers"] and own[module] in installed]
    module = wanted["module"] or next(iter(works), source["module"])
    names = [each.format(**words) for each in source["packages"][module]] + headers(entry, found, words)
    missing = [each for each in names if each not in installed]
    changes = [
        change(f"package {each}", "absent", f"branch {branch}" if branch in each else "present") for each in missing
    ]

    # A package whose name does not tell its branch is told by its version.
    version = re.sub(r"^\d+:|-.*", "", installed.get(own[module], ""))
    if version and not of_branch(version, branch):
        missing = [*names]
        changes.append(change(f"package {own[module]}", version, f"branch {branch}"))
    if exact != branch and not of_branch(version, exact):
        raise RefusalError(
            f"driver {exact} is wanted, and packages are installed by branch, at its newest version; "
            f"set gpu_driver_branch to {branch}, or install that very version by hand"
        )
    plan = {"missing": missing, "module": module, "branch": exact, "repositories": {}, "source_text": ""}
    plan["stream"] = source.get("stream", {}).get(module, "").format(**words)
    plan["source_file"] = entry["source_file"]
    if "repository" in source:
        repository = {**source["repository"]}
        for key in ("url", "key_url"):
            repository[key] = repository[key].format(repository=wanted["repository"], **words)
        repository["fingerprints"] = wanted["fingerprints"] or repository["fingerprints"]
        repository["source"] = plan["source_file"]
        if not repository["fingerprints"]:
            raise RefusalError(
                f"the fingerprint of NVIDIA's key for {name} is not known; "
                "set gpu_driver_key_fingerprint to its 40 hexadecimal digits, from a place that you trust"
            )
        plan["repositories"] = {host.os_id: repository}
    outcome = foresee(host, missing) if missing else None
    off = source_changes(host, source, plan, outcome)
    if outcome and not (off or outcome.unknown):
        changes = brought(host, missing, "", outcome)
    return {**plan, "source_off": bool(off), "changes": [*off, *changes]}


def source_changes(host: Host, source: dict, plan: dict, outcome: Outcome | None) -> list[dict]:
    """Return what is off about where the packages come from, and put the text that the source's file should have into
    `plan`. A host whose own sources have all that is missing needs none of ours.
    """
    if plan["repositories"]:
        return list(sources(host, plan["repositories"], outcome))
    present = host.read(plan["source_file"])
    plan["source_text"] = present
    if outcome is None or not outcome.unknown:
        return []
    lacking = apt_sources.lacking(host, plan["source_file"], source["components"])
    plan["source_text"] = f"{SOURCE_HEAD}{lacking}\n" if lacking else ""
    if present.strip() == plan["source_text"].strip():
        return []
    return [change(plan["source_file"], "other" if present else "absent", "as wanted")]


def headers(entry: dict, found: dict, words: dict) -> list[str]:
    """Return the packages of kernel headers: for the newest kernel always, for the running one where it is this host's.

    In an image that is built without a GPU the kernel that runs is the builder's.
    """
    kernel = os.uname().release
    match = re.search(entry["kernel"], kernel)
    flavour = match["flavour"] if match else entry["flavour"].format(**words)
    names = [each.format(flavour=flavour) for each in entry["headers_newest"]]
    if found["hardware"] and not (KERNELS / kernel / "build").exists():
        if not match:
            raise RefusalError(
                f"the running kernel {kernel} is not {entry['name']}'s and has no headers in {KERNELS}/{kernel}/build; "
                "install them, or start the distribution's own kernel, and run this again"
            )
        names.append(entry["headers"].format(kernel=kernel))
    return names


def kernels() -> list[str]:
    """Return the kernels that DKMS can build for, the oldest first."""
    return sorted((path.parent.name for path in KERNELS.glob("*/build")), key=natural)


def unbuilt(found: dict) -> list[str]:
    """Return the kernels that lack the module: of the newest, and of the running one where it is this host's."""
    known = kernels()
    concerned = {*known[-1:], *({os.uname().release} & set(known) if found["hardware"] else ())}
    return sorted(kernel for kernel in concerned if not has_module(kernel))


def restart_reason(found: dict, done: dict) -> str:
    """Return why the host wants a restart, be it only once the missing packages are there; '' where it does not."""
    runs, silent = found["version"] or found["loaded"], found["hardware"] and not found["answers"]
    if found["mismatch"]:
        return str(found["mismatch"])
    if runs and (found["answers"] or silent) and not of_branch(runs, done["branch"]):
        return f"driver {runs} runs, and branch {done['branch']} is wanted"
    if silent and (LOADED / "nouveau").exists():
        return "nouveau holds the GPU"
    # What is still to be built may be for the kernel that runs.
    if silent and not (runs or done["missing"] or done["unbuilt"] or has_module(os.uname().release)):
        return f"kernel {os.uname().release} runs, and the module is for {(kernels() or ['none'])[-1]}"
    return ""


def settled(host: Host, wanted: dict, found: dict, done: dict, restarts: bool) -> list[dict]:
    """Return what is off beyond packages, and put into `done` what the tasks need: loading, persistence."""
    changes = [change(f"module for kernel {kernel}", "not built", "built by DKMS") for kernel in done["unbuilt"]]

    done["load"] = bool(found["hardware"]) and not (found["answers"] or found["loaded"] or restarts)
    if done["load"]:
        changes.append(change("kernel module nvidia", "not loaded", "loaded"))

    done["persistence"] = {}
    if wanted["persistence"] and host.systemd:
        unit = host.unit(PERSISTENCE)
        state, runs = unit.get("UnitFileState", ""), unit.get("ActiveState") == "active"
        if unit.get("LoadState") == "masked" or state in {"masked", "masked-runtime", "disabled"}:
            changes.append(change(PERSISTENCE, state or "masked", "enabled"))
        elif found["answers"] and not runs:
            changes.append(change(PERSISTENCE, unit.get("ActiveState") or "not there", "active"))
        # Without a GPU that answers it cannot run, and must not be made to fail.
        done["persistence"] = {"name": PERSISTENCE, "start": found["answers"], "known": bool(state)}
    return changes


def restart(wanted: dict, found: dict, reason: str) -> dict:
    """Return the restart as a change where the role will make it, and as something to tell where it will not."""
    done = {"restart": reason, "restart_now": wanted["reboot"] == "auto" and not found["local"], "changes": []}
    if done["restart_now"]:
        done["changes"] = [change("restart", reason, "restarted")]
    return done


def is_controller(host: Host, wanted: dict) -> bool:
    """Tell whether this host is the very machine that the command runs on, whatever connection leads here."""
    here = {"machine_id": "/etc/machine-id", "boot_id": "/proc/sys/kernel/random/boot_id"}
    same_machine = all(
        wanted["controller"].get(name) and wanted["controller"][name] == host.read(path).strip()
        for name, path in here.items()
    )
    return bool(wanted["local"]) or same_machine


def has_module(kernel: str) -> bool:
    """Tell whether a kernel has NVIDIA's module on disk."""
    files = (path for folder in MODULE_FOLDERS for path in (KERNELS / kernel / folder).glob("nvidia*"))
    return any(MODULE_FILE.fullmatch(path.name) for path in files)


def of_branch(version: str, branch: str) -> bool:
    """Tell whether a driver's version is of a branch: 535.261.03 is of 535, and of 535.261."""
    return f"{version}.".startswith(f"{branch}.")


def major(version: str) -> str:
    """Return the branch's number of a version; '' of ''."""
    return version.split(".", maxsplit=1)[0]


def same(loaded: str, library: str) -> bool:
    """Tell whether two versions are one, where either may be cut short (nvidia-smi prints two parts of three)."""
    return of_branch(loaded, library) or of_branch(library, loaded)


def bare(name: str) -> str:
    """Return a package's name without its architecture."""
    return name.split(":", maxsplit=1)[0]


def natural(version: str) -> list:
    """Return a key that sorts 6.1.0-9 before 6.1.0-10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", version)]
