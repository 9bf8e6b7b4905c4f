"""How a host's NVIDIA driver differs from what role gpu_driver wants. Reads only; Python 3.9 and its standard library.

A driver that is loaded or installed is the site's, unless the role brought it: then nothing of it is touched, held or
unheld, and nothing is installed beside it. Where it does not do, the host is refused, in nvidia-smi's own words. Only a
host without any driver gets one without being asked.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import apt_sources, nvidia
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import obstacle
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError, change, refuse_if
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.installation import Outcome, foresee
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.nvidia import bare, major, of_branch
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.packages import brought, sources

SOURCE_HEAD = "# Written by provisioner: where the NVIDIA driver is.\n"
PERSISTENCE = "nvidia-persistenced.service"
# How the two package managers name this machine, and how NVIDIA's repository does.
ARCHITECTURES = {"x86_64": ("amd64", "x86_64"), "aarch64": ("arm64", "sbsa")}
AGAIN = "mend it and run this again"


def look(host: Host, wanted: dict) -> dict:
    """Return what is off, and what the tasks need to mend it.

    `changes` is empty where nothing is to be done. `skipped` says why a host is none of the role's business, `restart`
    why the host needs a restart ('' each where it does not apply); `reboot_required` tells whether that restart is left
    to a person who wants to hear of it. Raise RefusalError where the driver cannot be brought here.
    """
    found = {"changes": [], "notes": [], "skipped": "", "restart": "", **nvidia.driver(host)}
    found["hardware"] = nvidia.hardware()
    if nvidia.WSL.exists() and not found["answers"]:
        return {**found, "skipped": f"this is WSL, whose driver is Windows' ({found['complaint']})"}
    # Where a GPU is lent to a container the PCI bus may not be seen, and what nvidia-smi says tells.
    if not (found["hardware"] or found["answers"] or found["mismatch"] or wanted["force"]):
        return {**found, "skipped": nvidia.no_gpu()}
    found["local"] = is_controller(host, wanted)
    found.update(upkeep(host, wanted, found))
    if found["mismatch"]:
        found["notes"].append(f"gpu_driver: driver/library version mismatch: {found['mismatch']}")
    if found["works"]:
        found["notes"] += [f"gpu_driver: {remark}" for remark in nvidia.remarks(found)]
    if nvidia.lacks_fabric_manager(host):
        version = f"; the driver is {found['version']}" if found["answers"] else ""
        found["notes"].append(f"gpu_driver: {nvidia.NO_FABRIC}; {nvidia.FABRIC_REMEDY}{version}")
    left = bool(found["restart"]) and not found["restart_now"]
    found["reboot_required"] = left and wanted["reboot"] != "never"
    if left:
        found["notes"].append(f"gpu_driver: the host needs a restart: {found['restart']}{why_not(wanted)}")
    return found


def why_not(wanted: dict) -> str:
    """Return why the role does not restart a host that wants it."""
    if wanted["reboot"] == "auto":
        return "; not restarted, since it is the machine that this runs on"
    return f"; not restarted, since gpu_driver_reboot is {wanted['reboot']}"


def upkeep(host: Host, wanted: dict, found: dict) -> dict:
    """Return what is off on a host that should have the driver."""
    entry = entry_of(host, wanted)
    installed = nvidia.installed(host, entry.get("driver", ""))
    ours = is_ours(host, wanted, entry, found, installed)
    # An nvidia-smi is of a driver, whatever it says.
    if not ours and (found["loaded"] or installed or not found["smi_missing"]):
        return theirs(host, wanted, found, installed)
    if not entry:
        raise RefusalError(
            f"the driver's packages for {host.os_id} are not known; install it there by hand "
            "(known: " + ", ".join(sorted(wanted["distributions"])) + ")"
        )
    if not ours:
        refuse_beforehand(host)
    return mended(host, wanted, entry, found, ours)


def entry_of(host: Host, wanted: dict) -> dict:
    """Return the role's data for the host's distribution, with the site's own packages in it; {} for none."""
    entry = host.pick(wanted["distributions"]) or {}
    source = entry.get("sources", {}).get(wanted["source"])
    if not (wanted.get("packages") and source):
        return entry
    packages = {**source["packages"], (wanted["module"] or source["module"]): wanted["packages"]}
    return {**entry, "sources": {**entry["sources"], wanted["source"]: {**source, "packages": packages}}}


def is_ours(host: Host, wanted: dict, entry: dict, found: dict, installed: str) -> bool:
    """Return whether the role manages the driver: it began to, and what is there is still of one of its sources.

    NVIDIA's installer may have taken the place of the role's packages since, and so may other packages.
    """
    if not (entry and Path(wanted["modprobe_file"]).exists()) or nvidia.UNINSTALLER.exists():
        return False
    runs = found["version"] or found["loaded"]
    source, _unused = source_of(host, entry)
    if not source:
        return not (runs or installed.startswith("package "))
    return not runs or major(runs) in entry["sources"][source].get("branches", [major(runs)])


def source_of(host: Host, entry: dict) -> tuple[str, str]:
    """Return the source in the role's data that the installed driver is of, and its branch; '' each for none."""
    versions = {bare(name): version for name, version in {**host.unfinished, **host.packages}.items()}
    # NVIDIA's repository has packages of the distribution's names beside its own.
    for source, data in sorted(entry["sources"].items(), key=lambda item: "repository" not in item[1]):
        for own, *_unused in data["packages"].values():
            pattern = re.compile(re.escape(own).replace(re.escape("{branch}"), r"(\d+)"))
            for name in sorted(versions, reverse=True):
                match = pattern.fullmatch(name)
                if match:
                    return str(source), next(iter(match.groups()), "") or major(upstream(versions[name]))
    return "", ""


def upstream(version: str) -> str:
    """Return a package's version without the distribution's part of it; '' of what is none."""
    return re.sub(r"^\d+:|-.*", "", version) if version[:1].isdigit() else ""


# --- a driver that is the site's ---


def theirs(host: Host, wanted: dict, found: dict, installed: str) -> dict:
    """Return that nothing is to be done about a driver of the site's. Raise RefusalError where it does not do."""
    left = {"changes": [], "unheld": [], "packaged": [], "manager": "", "restart_now": False}
    version = found["version"] or found["loaded"]
    if version and wanted["branch"] and not of_branch(version, wanted["branch"]):
        raise RefusalError(
            f"driver {version} is there, not of branch {wanted['branch']}, and is the site's "
            f"({installed or 'no package owns it'}); change it there, or set gpu_driver_branch to {major(version)}"
        )
    if found["kind"] and wanted["module"] not in {"", found["kind"]}:
        raise RefusalError(
            f"the module of driver {version} is the {found['kind']} one, not the {wanted['module']}, and the role "
            "does not replace it; change it on the host, or leave gpu_driver_module empty"
        )
    if found["works"]:
        return left
    reason = standing_reason(found)
    if reason and not in_container(host):
        return {**left, **restart(wanted, found, reason)}
    # An image for GPU machines has none to try its driver on.
    if not (found["hardware"] or found["mismatch"]):
        return left
    raise RefusalError(f"{trouble(found, installed)}; {remedy(host, found)}; it is the site's, and left as it is")


def trouble(found: dict, installed: str) -> str:
    """Return what is wrong with a driver that is there and does not do."""
    if found["loaded"] or found["mismatch"]:
        return f"driver {found['loaded'] or 'of another version'} is loaded and does not answer ({found['complaint']})"
    return f"a driver is installed ({installed or 'nvidia-smi'}) and not loaded ({found['complaint']})"


def remedy(host: Host, found: dict) -> str:
    """Return what a person can do about a driver that does not do."""
    if not (found["loaded"] or found["mismatch"]):
        return f"{what_keeps_it(host)}; {AGAIN}"
    if nvidia.GPU_OPERATOR.exists():
        return f"it is the GPU Operator's, in {nvidia.GPU_OPERATOR}, for its own containers: use a driver on the host"
    if found["smi_missing"] or in_container(host):
        version = f"version {found['loaded']}" if found["loaded"] else "its version"
        return f"bring nvidia-smi and the libraries of {version}, and run this again"
    return f"read 'dmesg | grep -i nvidia' on the host (a card that is lost or hangs needs a restart), {AGAIN}"


def what_keeps_it(host: Host) -> str:
    """Return what keeps a driver that is installed from being loaded, and what can be done about that."""
    kernel = os.uname().release
    broken = next((f"{name} is {state}" for name, state in host.unfinished.items() if "nvidia" in name), "")
    if broken:
        return f"package {broken}: 'dpkg --configure -a' finishes it or says why not (DKMS: see /var/lib/dkms)"
    if not nvidia.trusts_dkms(host):
        return "Secure Boot is on: enroll the key of its module ('mokutil --import', and a restart)"
    if nvidia.UNINSTALLER.exists():
        return "NVIDIA's installer brought it: mend it by that, or run 'nvidia-uninstall' on the host for another"
    if not nvidia.has_module(kernel):
        return f"kernel {kernel} has no module of it: install that kernel's headers, and 'dkms autoinstall' builds it"
    return "'modprobe nvidia' loads it or says why not"


def in_container(host: Host) -> bool:
    """Return whether the host is a container, whose kernel and driver's module are its own host's."""
    return host.read(nvidia.CONTAINER).strip() in nvidia.CONTAINERS


def standing_reason(found: dict) -> str:
    """Return why a restart is the remedy for the driver as it stands; '' where it is not."""
    if found["mismatch"]:
        return str(found["mismatch"])
    if found["hardware"] and not (found["answers"] or found["loaded"]):
        return "nouveau holds the GPU" if (nvidia.LOADED / "nouveau").exists() else nvidia.another_kernel()
    return ""


# --- a driver that is the role's, or is to be ---


def refuse_beforehand(host: Host) -> None:
    """Raise RefusalError where a driver that the role would bring is not this host's to have."""
    lent = nvidia.lent()
    if lent:
        names = ", ".join(f"{address} to {driver}" for address, driver in lent.items())
        raise RefusalError(
            f"of the NVIDIA GPUs {names} is given away, and a driver would be for all of them; "
            "install it on the host by hand, for those that it may have, and run this again"
        )
    if in_container(host):
        raise RefusalError(
            f"this is a container ({host.read(nvidia.CONTAINER).strip()}), whose kernel has no NVIDIA driver loaded; "
            "install the driver on the container's own host, its libraries here, and run this again"
        )


def mended(host: Host, wanted: dict, entry: dict, found: dict, ours: bool) -> dict:
    """Return what is off about a driver that the role has brought, or is to bring."""
    if found["hardware"] and not (found["answers"] or found["loaded"] or nvidia.trusts_dkms(host)):
        raise RefusalError(
            "Secure Boot is on, and would not load a module that DKMS builds here; install a signed driver by hand, "
            "enroll DKMS's key ('mokutil --import /var/lib/dkms/mok.pub', and a restart), or turn Secure Boot off"
        )
    # What is let go for the while of an install is what the role holds itself.
    packaged = packages_of(host, entry) if ours else []
    unheld = without_hold(host, packaged) if wanted["hold"] else []
    done = {"unheld": unheld, "packaged": packaged, "manager": entry["manager"]}

    plan = packages(host, wanted, entry, found)
    refuse_held(host, set(plan["missing"]) - set(done["packaged"]))
    done.update(plan, prerequisites=entry.get("prerequisites", []))
    changes = [*plan["changes"], *(change("hold", "none", name) for name in unheld), *nouveau_off(host, wanted)]
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
            f"read 'dmesg | grep -i nvidia' on the host, {AGAIN}"
        )
    return {**done, "changes": changes}


def packages_of(host: Host, entry: dict) -> list[str]:
    """Return the packages of a driver that are installed, those that are held together."""
    return sorted(name for name in map(bare, host.packages) if re.search(entry["hold"], name))


def without_hold(host: Host, names: list[str]) -> list[str]:
    """Return which of these packages are not on hold."""
    held = {bare(name) for name in host.held}
    return [name for name in names if name not in held]


def nouveau_off(host: Host, wanted: dict) -> list[dict]:
    """Return what is off about the file that keeps nouveau from being loaded."""
    modprobe = host.read(wanted["modprobe_file"]).strip()
    if modprobe == wanted["modprobe"].strip():
        return []
    refuse_if(obstacle(wanted["modprobe_file"], "file"))
    return [change(wanted["modprobe_file"], "other" if modprobe else "absent", "nouveau off")]


def refuse_held(host: Host, names: set[str]) -> None:
    """Raise RefusalError where the site has put a package on hold that would have to be installed."""
    # A hold on what is not installed only apt-mark tells.
    asked = host.ask("apt-mark", "showhold").split() if names and host.which("apt-mark") else host.held
    held = sorted(names & set(map(bare, asked)))
    if held:
        raise RefusalError(
            f"package {held[0]} is on hold here, and would have to be installed; "
            f"'apt-mark unhold {' '.join(held)}' allows it, or install a driver by hand"
        )


def packages(host: Host, wanted: dict, entry: dict, found: dict) -> dict:
    """Return which packages and sources are missing, with the text that the source's file should have."""
    source, exact = chosen(host, wanted, entry, found)
    branch = major(exact)
    words = words_of(host, entry["name"], source, branch)
    installed = {bare(each): version for each, version in host.packages.items()}
    module, own = module_of(wanted, source, words, installed)
    names = [each.format(**words) for each in source["packages"][module]] + headers(entry, found, words)
    missing = [each for each in names if each not in installed]
    changes = [absent(each, branch) for each in missing]

    # A package whose name does not tell its branch is told by its version.
    version = upstream(installed.get(own, ""))
    if version and not of_branch(version, branch):
        missing = [*names]
        changes.append(change(f"package {own}", version, f"branch {branch}"))
    if exact != branch and not of_branch(version, exact):
        raise RefusalError(
            f"driver {exact} is wanted, and packages are installed by branch, at its newest version; "
            f"set gpu_driver_branch to {branch}, or install that very version by hand"
        )
    plan = {"missing": missing, "module": module, "branch": exact, "repositories": {}, "source_text": ""}
    plan["stream"] = source.get("stream", {}).get(module, "").format(**words)
    plan["source_file"] = entry["source_file"]
    if "repository" in source:
        plan["repositories"] = {host.os_id: repository_of(wanted, entry, source["repository"], words)}
    outcome = foresee(host, missing) if missing else None
    off = source_changes(host, source, plan, outcome)
    if outcome and not (off or outcome.unknown):
        changes = brought(host, missing, "", outcome)
    return {**plan, "source_off": bool(off), "changes": [*off, *changes]}


def chosen(host: Host, wanted: dict, entry: dict, found: dict) -> tuple[dict, str]:
    """Return where the driver comes from, and which: what is installed decides, unless another branch is asked for."""
    there, its_branch = ("", "") if wanted["branch"] else source_of(host, entry)
    source = entry["sources"].get(there or wanted["source"])
    if not source:
        raise RefusalError(f"{entry['name']} has no driver of its own; set gpu_driver_source to nvidia")
    return source, wanted["branch"] or major(found["version"]) or its_branch or source["branch"]


def module_of(wanted: dict, source: dict, words: dict[str, str], installed: dict[str, str]) -> tuple[str, str]:
    """Return which kernel module is to be there, and the package that is its own: the first of those it has."""
    own = {module: names[0].format(**words) for module, names in source["packages"].items()}
    present = [module for module in own if own[module] in installed]
    module = wanted["module"] or next(iter(present), source["module"])
    return module, own[module]


def absent(package: str, branch: str) -> dict[str, str]:
    """Return the change that a package is installed, by the driver's branch where its name tells that."""
    return change(f"package {package}", "absent", f"branch {branch}" if branch in package else "present")


def words_of(host: Host, name: str, source: dict, branch: str) -> dict[str, str]:
    """Return what names of packages and URLs depend on. Raise RefusalError where the source has no such driver.

    `name` is the distribution's.
    """
    branches = source.get("branches", [branch])
    if branch not in branches:
        raise RefusalError(
            f"{name} has the driver of branch {' or '.join(branches)}, not {branch}; "
            "set gpu_driver_branch to that, or gpu_driver_source to nvidia"
        )
    machine = os.uname().machine
    if machine not in source.get("machines", ARCHITECTURES):
        raise RefusalError(f"no {name} for {machine} is known there; leave gpu_driver_source at distribution")
    arch, repository_arch = ARCHITECTURES[machine]
    release = host.os_id.replace(".", "")
    return {"branch": branch, "arch": arch, "repository_arch": repository_arch, "release": release}


def repository_of(wanted: dict, entry: dict, repository: dict, words: dict[str, str]) -> dict:
    """Return the repository of NVIDIA's packages. Raise RefusalError where nobody vouches for its key."""
    urls = {key: repository[key].format(repository=wanted["repository"], **words) for key in ("url", "key_url")}
    fingerprints = wanted["fingerprints"] or repository["fingerprints"]
    if not fingerprints:
        raise RefusalError(
            f"the fingerprint of NVIDIA's key for {entry['name']} is not known; "
            "set gpu_driver_key_fingerprint to its 40 hexadecimal digits, from a place that you trust"
        )
    return {**repository, **urls, "fingerprints": fingerprints, "source": entry["source_file"]}


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
    refuse_if(obstacle(plan["source_file"], "file"))
    return [change(plan["source_file"], "other" if present else "absent", "as wanted")]


def headers(entry: dict, found: dict, words: dict) -> list[str]:
    """Return the packages of kernel headers: for the newest kernel always, for the running one where it is this host's.

    In an image that is built without a GPU the kernel that runs is the builder's. Where it is the site's own, so are
    its headers, and those of kernels to come.
    """
    kernel = os.uname().release
    match = re.search(entry["kernel"], kernel)
    built = nvidia.KERNELS / kernel / "build"
    if found["hardware"] and not match:
        if built.exists():
            return []
        where = f"'apt-get install proxmox-headers-{kernel}'" if kernel.endswith("-pve") else "install them"
        raise RefusalError(
            f"the running kernel {kernel} is not {entry['name']}'s and has no headers in {built}; "
            f"{where}, or start the distribution's own kernel, and run this again"
        )
    flavour = match["flavour"] if match else entry["flavour"].format(**words)
    names = [each.format(flavour=flavour) for each in entry["headers_newest"]]
    if found["hardware"] and not built.exists():
        names.append(entry["headers"].format(kernel=kernel))
    return names


def kernels() -> list[str]:
    """Return the kernels that DKMS can build for, the oldest first."""
    return sorted((path.parent.name for path in nvidia.KERNELS.glob("*/build")), key=nvidia.natural)


def unbuilt(found: dict) -> list[str]:
    """Return the kernels that lack the module: of the newest, and of the running one where it is this host's."""
    known = kernels()
    concerned = {*known[-1:], *({os.uname().release} & set(known) if found["hardware"] else ())}
    return sorted(kernel for kernel in concerned if not nvidia.has_module(kernel))


def restart_reason(found: dict, done: dict) -> str:
    """Return why the host needs a restart, be it only once the missing packages are there; '' where it does not."""
    runs, silent = found["version"] or found["loaded"], found["hardware"] and not found["answers"]
    if found["mismatch"]:
        return str(found["mismatch"])
    if runs and (found["answers"] or silent) and not of_branch(runs, done["branch"]):
        return f"driver {runs} runs, and branch {done['branch']} is wanted"
    if not silent:
        return ""
    if (nvidia.LOADED / "nouveau").exists():
        return "nouveau holds the GPU"
    # What is still to be built may be for the kernel that runs.
    if not (runs or done["missing"] or done["unbuilt"] or nvidia.has_module(os.uname().release)):
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
    """Return whether this host is the very machine that the command runs on, whatever connection leads here."""
    here = {"machine_id": "/etc/machine-id", "boot_id": "/proc/sys/kernel/random/boot_id"}
    same_machine = all(
        wanted["controller"].get(name) and wanted["controller"][name] == host.read(path).strip()
        for name, path in here.items()
    )
    return bool(wanted["local"]) or same_machine
