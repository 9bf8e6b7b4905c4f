"""What is off about the NVIDIA Container Toolkit on a host, and about the Docker engine that should know of it."""

from __future__ import annotations

import json
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import docker_daemon as daemon
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import engine as engines
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import packages
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import toolkit_refusals as refusals
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.docker_processes import started_at
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.engine import Engine
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import locked, obstacle
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError, change, refuse_if
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.nvidia import hardware, no_gpu

Changes = list[dict[str, str]]

GPU_DEVICES = "nvidia.com/gpu="
HOOK = "nvidia-container-runtime-hook"
OLD_ENGINE = (
    f"the Docker engine runs since before {HOOK} was installed or upgraded; where --gpus fails with 'could not select "
    "device driver', restart the engine when its containers may stop"
)


def look(host: Host, wanted: dict) -> dict:
    """Return how `host` differs from `wanted`, which is the role's `nvidia_container_toolkit_wanted`.

    Beside `changes` and `notes`: `skipped`, why the toolkit does not belong here, or ''; `install`, something of the
    packages or their repository is off; `runtimes` and `features`, for daemon.json; `engine`, what is to be done with
    the engine, as `engine_action` says, and `pid`, its process; `containers`, the names of those that a restart
    reaches; `cdi_spec`, the path of the CDI specification that has to be generated, or ''. Raise RefusalError where
    the distribution is not known, where daemon.json cannot be read, or not be written without loss, and where no
    container could get a GPU by what the site has set.
    """
    if not wanted["manage"]:
        return {"changes": [], "notes": [], "skipped": "the site gives containers the GPUs in a way of its own"}
    driver = host.read(wanted["driver_version"]).strip()
    if not (wanted["force"] or driver or hardware()):
        return {"changes": [], "notes": [], "skipped": no_gpu()}

    engine = engines.of(host)
    version = engine.version or host.ask("dockerd", "--version")
    if serves_gpus_by_cdi(host, wanted, engine):
        folders = engine.info.get("CDISpecDirs") or []
        return {**_nothing(), **(cdi_spec(host, wanted["cdi_specs"], driver, folders) if driver else {})}
    refusals.check_mode(host, wanted, version)

    install = look_at_packages(host, wanted)
    has_cdi, is_default = knows_cdi(wanted, version)
    features = {"cdi": True} if has_cdi and not is_default else {}
    target, missing = look_at_daemon(host, wanted, engine, features)
    restart = look_at_engine(host, wanted, engine, target)
    by_cdi = has_cdi and (target.get("features") or {}).get("cdi", is_default)
    spec = cdi_spec(host, wanted["cdi_specs"], driver) if by_cdi and driver else {"changes": []}
    return {
        **_nothing(),
        "install": bool(install),
        "runtimes": wanted["runtimes"],
        "features": features,
        **restart,
        **spec,
        "changes": install + missing + restart["changes"] + spec["changes"],
    }


def _nothing() -> dict:
    """Return what `look` tells where nothing is off."""
    return {
        "skipped": "",
        "notes": [],
        "changes": [],
        "install": False,
        "runtimes": {},
        "features": {},
        "engine": "",
        "pid": 0,
        "containers": [],
        "cdi_spec": "",
    }


def look_at_packages(host: Host, wanted: dict) -> Changes:
    """Return what is off about the packages, and about their holds where they are to be held."""
    changes = packages.look(host, wanted["packages"], wanted["version"], wanted["repositories"])
    return changes + (packages.holds(host, wanted["packages"]) if wanted["hold"] else [])


def look_at_daemon(host: Host, wanted: dict, engine: Engine, features: dict) -> tuple[dict, Changes]:
    """Return the settings that daemon.json should have, and those that it lacks. Raise RefusalError as `look` does."""
    path = wanted["daemon_json"]
    settings = daemon.settings(host, path)
    target = daemon.merged(settings.values, wanted["runtimes"], features, host.which)
    missing = daemon_changes(path, settings.values, target)
    if missing:
        refuse_if(obstacle(path, "file") or locked(path))
        refusals.check_settings(path, settings, missing[0]["what"].rpartition(": ")[2], engine.daemon)
    return target, missing


def look_at_engine(host: Host, wanted: dict, engine: Engine, target: dict) -> dict:
    """Return what is to be done so that an engine that answers has the settings `target`; nothing for others."""
    if not engine.info:
        return {"changes": []}
    action, why, notes = engine_action(host, wanted, engine, target)
    if not action:
        return {"changes": [], "engine": action, "notes": notes}
    return {
        "changes": [change("Docker engine", why, action)],
        "engine": action,
        "notes": notes,
        "pid": engine.daemon.pid if engine.daemon else 0,
        "containers": engine.containers,
    }


def knows_cdi(wanted: dict, version: str) -> tuple[bool, bool]:
    """Return whether an engine of this version is to give devices by CDI, and whether it does so by default."""
    release = daemon.release(version)
    has_cdi = wanted["cdi"] and release >= daemon.release(wanted["cdi_engine"])
    return has_cdi, release >= daemon.release(wanted["cdi_default_engine"])


def serves_gpus_by_cdi(host: Host, wanted: dict, engine: Engine) -> bool:
    """Return whether the engine gives containers the GPUs by CDI, for --gpus too: it needs no runtime and no hook."""
    if wanted["version"] or daemon.release(engine.version) < daemon.release(wanted["cdi_gpus_engine"]):
        return False
    devices = engine.info.get("DiscoveredDevices") or []
    return bool(host.which("nvidia-cdi-hook")) and any(str(one.get("ID")).startswith(GPU_DEVICES) for one in devices)


def daemon_changes(path: str, settings: dict, target: dict) -> Changes:
    """Return what `target` has that daemon.json, as `settings`, has not."""
    return [
        change(f"{path}: {group}.{name}", _shown((settings.get(group) or {}).get(name)), _shown(value))
        for group in ("runtimes", "features")
        for name, value in (target.get(group) or {}).items()
        if (settings.get(group) or {}).get(name) != value
    ]


def engine_action(host: Host, wanted: dict, engine: Engine, target: dict) -> tuple[str, str, list[str]]:
    """Return what to do so that the running engine has the settings `target`, why, and what a person should know.

    `restart` where that disturbs nothing, or may; `reload`, which gives it runtimes but no features, where it would.
    """
    names = _unknown_runtimes(wanted, engine, target)
    no_cdi = bool((target.get("features") or {}).get("cdi")) and not engine.info.get("CDISpecDirs")
    hookless = not _has_seen_hook(host, engine)
    if not names and not no_cdi:
        return "", "", [OLD_ENGINE] * hookless
    if not engine.daemon:
        raise RefusalError(
            f"the Docker engine lacks runtime {' and '.join(wanted['runtimes'])}, and no dockerd is seen on this host; "
            "add it to that engine's settings, and run this again"
        )
    why = "without " + " and ".join([f"runtime {name}" for name in names] + ["CDI"] * no_cdi)
    busy = engines.business(engine)
    if engine.is_systemd_s and (not busy or wanted["restart"] == "always"):
        warning = f"the Docker engine is to be restarted under {busy}, which stops or disturbs that"
        return "restart", why, [warning] * bool(busy)
    return ("reload" if names else ""), why, _lacks_until_restart(busy, no_cdi=no_cdi, hookless=hookless)


def _unknown_runtimes(wanted: dict, engine: Engine, target: dict) -> list[str]:
    """Return the runtimes that the running engine lacks, or has by another path."""
    known = engine.info.get("Runtimes") or {}
    wants = {name: _path(target["runtimes"][name]) for name in wanted["runtimes"]}
    return [name for name, path in wants.items() if name not in known or path != _path(known[name])]


def _lacks_until_restart(busy: str, *, no_cdi: bool, hookless: bool) -> list[str]:
    """Return what a person should know of an engine that is not restarted, since it is `busy` or not systemd's."""
    lacks = " and ".join(["without CDI"] * no_cdi + ["without the toolkit's hook, which --gpus may need"] * hookless)
    if not lacks:
        return []
    return [
        f"the Docker engine is {lacks} until it is restarted, which it is not under {busy or 'what keeps it'}: restart "
        "it when that may be, or set nvidia_container_toolkit_restart to always"
    ]


def _has_seen_hook(host: Host, engine: Engine) -> bool:
    """Return whether the toolkit's hook was there when the engine started: only then it looks for it."""
    hook = host.which(HOOK)
    return bool(hook and engine.daemon) and Path(hook).stat().st_ctime <= started_at(engine.daemon.pid)


def cdi_spec(host: Host, paths: list[str], driver: str, folders: list[str] = ()) -> dict:
    """Return the facts on the CDI specification: one of `paths`, or a file in `folders`, should be of `driver`."""
    texts = [host.read(path) for folder in folders for path in Path(folder).glob("*")]
    path, why = ("", "") if any(driver in text for text in texts) else stale_cdi_spec(host, paths, driver)
    refuse_if(obstacle(path, "file") if path else "")
    changes = [change("CDI specification", why, f"{path} for driver {driver}")] if path else []
    return {"cdi_spec": path, "changes": changes}


def _shown(value: object) -> str:
    return "absent" if value is None else json.dumps(value)


def _path(runtime: object) -> str:
    return str(runtime.get("path", "")) if isinstance(runtime, dict) else ""


def stale_cdi_spec(host: Host, paths: list[str], driver: str) -> tuple[str, str]:
    """Return the path of the CDI specification to write and what is wrong with it; ('', '') where it is `driver`'s.

    Of `paths` the last one that exists is the one that the engine goes by.
    """
    present = [path for path in paths if host.read(path)]
    path = present[-1] if present else paths[0]
    if not present:
        return path, "absent"
    # It names the driver's libraries, whose names end in the driver's version.
    return ("", "") if driver in host.read(path) else (path, "of another driver")
