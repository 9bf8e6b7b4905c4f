"""What is off about the NVIDIA Container Toolkit on a host, and about the Docker engine that should know of it."""

from __future__ import annotations

import json

from ansible.module_utils import provisioner_docker_daemon as daemon
from ansible.module_utils import provisioner_packages as packages
from ansible.module_utils.provisioner_engine import SERVICE, Engine
from ansible.module_utils.provisioner_gpu_driver import NO_GPU, hardware
from ansible.module_utils.provisioner_host import Host, change

Changes = list[dict[str, str]]


def look(host: Host, wanted: dict) -> dict:
    """How `host` differs from `wanted`, which is the role's `nvidia_container_toolkit_wanted`.

    Beside `changes` and `notes`: `skipped`, why the toolkit does not belong here, or ''; `runtimes` and `features`, for
    daemon.json; `engine`, what is to be done with the engine, as `engine_action` says; `containers`, the names of those
    that a restart reaches; `cdi_spec`, the path of the CDI specification that has to be generated, or ''. Raises
    RefusalError where the distribution is not known, and where daemon.json cannot be read.
    """
    driver = host.read(wanted["driver_version"]).strip()
    if not (wanted["force"] or driver or hardware()):
        return {"changes": [], "notes": [], "skipped": NO_GPU}

    names = wanted["packages"]
    changes = packages.look(host, names, wanted["version"], wanted["repositories"])
    changes += packages.holds(host, names) if wanted["hold"] else []

    engine = Engine(host)
    info = engine.answer("/info") or {}
    version = info.get("ServerVersion") or host.ask("dockerd", "--version")
    has_cdi = wanted["cdi"] and daemon.major(version) >= wanted["cdi_engine"]
    features = {"cdi": True} if has_cdi else {}
    found = {
        "skipped": "",
        "notes": [],
        "runtimes": wanted["runtimes"],
        "features": features,
        "engine": "",
        "containers": [],
        "cdi_spec": "",
    }

    settings = daemon.settings(host, wanted["daemon_json"])
    target = daemon.merged(settings, wanted["runtimes"], features, host.which)
    changes += daemon_changes(wanted["daemon_json"], settings, target)

    if "ServerVersion" in info:
        found["engine"], why, found["notes"] = engine_action(host, wanted, info, target)
        if found["engine"]:
            found["containers"] = container_names(engine)
            changes.append(change("Docker engine", why, found["engine"]))
    if has_cdi and target["features"]["cdi"] and driver:
        found["cdi_spec"], why = stale_cdi_spec(host, wanted["cdi_specs"], driver)
        if found["cdi_spec"]:
            changes.append(change("CDI specification", why, f"{found['cdi_spec']} for driver {driver}"))
    return {**found, "changes": changes}


def daemon_changes(path: str, settings: dict, target: dict) -> Changes:
    """What `target` has that daemon.json, as `settings`, has not."""
    return [
        change(f"{path}: {group}.{name}", _shown(settings.get(group, {}).get(name)), _shown(value))
        for group in ("runtimes", "features")
        for name, value in target.get(group, {}).items()
        if settings.get(group, {}).get(name) != value
    ]


def engine_action(host: Host, wanted: dict, info: dict, target: dict) -> tuple[str, str, list[str]]:
    """What to do so that the running engine has the settings `target`, why, and what a person should know.

    `restart` where that stops no container, or may; `reload`, which gives it runtimes but no features, where it would.
    """
    known = info.get("Runtimes") or {}
    names = [name for name in wanted["runtimes"] if target["runtimes"][name]["path"] != _path(known.get(name))]
    no_cdi = bool(target.get("features", {}).get("cdi")) and not info.get("CDISpecDirs")
    if not names and not no_cdi:
        return "", "", []
    why = "without " + " and ".join([f"runtime {name}" for name in names] + ["CDI"] * no_cdi)
    unit = host.unit(SERVICE)
    # Containers outlive the restart only where the engine that stops and the one that starts both spare them.
    spared = info.get("LiveRestoreEnabled") and (
        target.get("live-restore") is True or "--live-restore" in unit.get("ExecStart", "")
    )
    running = info.get("ContainersRunning", 0)
    if unit.get("ActiveState") == "active" and (not running or spared or wanted["restart"] == "always"):
        fate = "which they outlive (live-restore)" if spared else "which stops them"
        warning = f"the Docker engine has {running} running containers and is to be restarted, {fate}"
        return "restart", why, [warning] * bool(running)
    notes = []
    if no_cdi:
        notes = [
            f"the Docker engine is {why} until it is restarted, and has {running} running containers: "
            "restart it when they may stop, or set nvidia_container_toolkit_restart to always"
        ]
    return ("reload" if names else ""), why, notes


def _shown(value: object) -> str:
    return "absent" if value is None else json.dumps(value)


def _path(runtime: object) -> str:
    return str(runtime.get("path", "")) if isinstance(runtime, dict) else ""


def container_names(engine: Engine) -> list[str]:
    """Names of the containers that run."""
    found = engine.answer("/containers/json") or []
    return sorted(str(one["Names"][0]).lstrip("/") for one in found if one.get("Names"))


def stale_cdi_spec(host: Host, paths: list[str], driver: str) -> tuple[str, str]:
    """Path of the CDI specification to write and what is wrong with it; ('', '') where it is that of `driver`.

    Of `paths` the last one that exists is the one that the engine goes by.
    """
    present = [path for path in paths if host.read(path)]
    path = present[-1] if present else paths[0]
    if not present:
        return path, "absent"
    # It names the driver's libraries, whose names end in the driver's version.
    return ("", "") if driver in host.read(path) else (path, "of another driver")
