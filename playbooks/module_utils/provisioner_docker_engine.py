"""What is off about a host's Docker engine, and how it is kept running."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
from pathlib import Path

from ansible.module_utils import provisioner_docker_daemon as daemon
from ansible.module_utils.provisioner_engine import SERVICE, Engine
from ansible.module_utils.provisioner_host import Host, RefusalError, change
from ansible.module_utils.provisioner_packages import look as look_at_packages

# What docker.service may need, by which package it is of.
SOCKET = "docker.socket"
COMPANIONS = ("containerd.service", SOCKET)

# The kernel tells a start in whole seconds: a CA bundle written less than this after it may as well be older.
CLOCK_GRAIN_SECONDS = 2


def look(host: Host, wanted: dict) -> dict:
    """`wanted` is docker_engine_wanted; a daemon.json that is broken is refused. The facts beside `changes`:

    - `answers`: an engine answers to the docker client; `version` is its version
    - `dockerd`: path of the dockerd that could be started; '' without it or without a docker client
    - `install`: there is something to install; `packages`: those that are missing
    - `users`: those to put into the engine's group
    - `keeper`: what keeps it running: systemd, detached (started through the pid file), or other
    - `containers`: how many run; `restart`: it is to be started anew, and no container is in the way
    - `leftovers`: pid files that a killed engine has left
    - `companions`: units that docker.service needs and that are masked or, of a service, not active
    - `run`: something of how it is kept running is to be mended
    - `settings`: files with its settings are off: `drop_in`, systemd's, or `hollow`: daemon.json is empty, with which
      dockerd before 23.0 does not start
    """
    # No engine would start again with it, whoever wants that: told before anything is changed.
    daemon.settings(host, wanted["daemon_json"])
    if not wanted["packages"]:
        raise RefusalError(f"docker_engine_source is {wanted['source']!r}; set it to distribution or docker")
    host.units(SERVICE, *COMPANIONS)
    engine = Engine(host)
    unit = host.unit(SERVICE)
    service, detached = int(unit.get("MainPID") or 0), _pid_in(wanted["pid_file"], "dockerd")
    pid, keeper = (service, "systemd") if service else (detached, "detached" if detached else "other")
    dockerd = host.which("dockerd") if engine.client else ""
    packages = _packages(host, wanted, there=bool(engine.version or dockerd))
    install = look_at_packages(host, packages, "", wanted["repositories"], wanted["instead"])
    users = [user for user in wanted["users"] if not _is_member(user, wanted["group"])]
    members = [change(f"user {user}", "not in group " + wanted["group"], "in it") for user in users]
    settings: list[dict[str, str]] = []
    hollow = Path(wanted["daemon_json"]).is_file() and not host.read(wanted["daemon_json"]).strip()
    if hollow:
        settings.append(change(wanted["daemon_json"], "empty", "{}"))
    running: list[dict[str, str]] = []
    leftovers: list[str] = []
    if not engine.version:
        running.append(change("the Docker engine", "does not answer" if dockerd else "absent", "answers"))
        files = wanted["pid_files"].items()
        leftovers = [path for path, name in files if os.path.lexists(path) and not _pid_in(path, name)]
        running += [change(path, "left by a killed engine", "absent") for path in leftovers]
    # An engine that neither systemd's docker.service nor the pid file keeps is left alone.
    drop_in: list[dict[str, str]] = []
    companions: list[str] = []
    if host.systemd and (keeper == "systemd" or not engine.version):
        drop_in = _drop_in_changes(host, wanted)
        running += _unit_changes(unit, engine.version)
        needed = _companion_changes(host, unit, engine.version)
        companions = [off["what"] for off in needed]
        running += needed
    stale = bool(engine.version and pid) and _is_stale(host, pid, wanted)
    notes = []
    if stale and engine.containers:
        notes.append(
            "the engine has not got the site's present CA bundle or proxies yet, since it is not restarted under its "
            f"{engine.containers} running containers; restart it when they may stop"
        )
    elif stale:
        running.append(change("the Docker engine", "runs with old settings", "restarted with the site's"))
    return {
        "changes": settings + drop_in + install + members + running,
        "notes": notes,
        "answers": bool(engine.version),
        "version": engine.version,
        "dockerd": dockerd,
        "install": bool(install),
        "packages": packages,
        "users": users,
        "keeper": keeper,
        "containers": engine.containers,
        "systemd": host.systemd,
        "run": bool(running),
        "settings": bool(settings + drop_in),
        "drop_in": bool(drop_in),
        "hollow": hollow,
        "leftovers": leftovers,
        "companions": companions,
        "restart": not engine.version or (not engine.containers and (stale or SOCKET in companions)),
    }


def _packages(host: Host, wanted: dict, *, there: bool) -> list[str]:
    """The packages that are missing; none where the engine that is there came from elsewhere."""
    names = host.pick(wanted["packages"])
    if names and (not there or names[0] in host.packages):
        return [name for name in names if name not in host.packages]
    if not there:
        elsewhere = "" if wanted["repositories"] else "set docker_engine_source to docker, or "
        raise RefusalError(
            f"no engine is known for {host.os_id}; {elsewhere}install Docker there by hand, and run this again"
        )
    return []


def _is_member(user: str, group: str) -> bool:
    """Whether `user` is in `group`, which may not be there yet."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise RefusalError(
            f"there is no user {user} on the host; make it, or take it out of docker_engine_users"
        ) from None
    try:
        found = grp.getgrnam(group)
    except KeyError:
        return False
    return user in found.gr_mem or entry.pw_gid == found.gr_gid


def _unit_changes(unit: dict, version: str) -> list[dict[str, str]]:
    """What is off about how systemd starts it; of one that is still to be installed only that it is absent."""
    state, found = unit.get("UnitFileState", ""), []
    if state != "enabled" and (state or version):
        found.append(change(SERVICE, state or "unknown", "enabled"))
    if unit.get("NeedDaemonReload") == "yes":
        found.append(change(f"{SERVICE}: files", "not read by systemd", "read"))
    return found


def _companion_changes(host: Host, unit: dict, version: str) -> list[dict[str, str]]:
    """What is off about the units that it needs. Of a dockerd that answers nobody sees that it has no containerd."""
    needed = {name for kind in ("Requires", "Wants", "BindsTo") for name in unit.get(kind, "").split()}
    found = []
    for name in COMPANIONS:
        state = host.unit(name)
        if name not in needed:
            continue
        if state.get("LoadState") == "masked":
            found.append(change(name, "masked", "not masked"))
        elif version and name.endswith(".service") and state.get("ActiveState") != "active":
            found.append(change(name, state.get("ActiveState", "unknown"), "active"))
    return found


def _drop_in_changes(host: Host, wanted: dict) -> list[dict[str, str]]:
    path = wanted["drop_in"]
    if wanted["environment"]:
        folder = host.file_changes(str(Path(path).parent), mode="0755", kind="directory")
        return folder + host.file_changes(path, mode="0600", sha256=wanted["drop_in_sha256"])
    return [change(path, "present", "absent")] if os.path.lexists(path) else []


def _pid_in(pid_file: str, name: str) -> int:
    """Pid of the process `name` that `pid_file` names, 0 where there is none."""
    try:
        pid = int(Path(pid_file).read_text().strip())
        return pid if Path(f"/proc/{pid}/comm").read_text().strip() == name else 0
    except (OSError, ValueError):
        return 0


def _started_at(pid: int) -> float:
    """When process `pid` started, in seconds since the epoch."""
    boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    return int(boot.split()[1]) + int(ticks) / os.sysconf("SC_CLK_TCK")


def _is_stale(host: Host, pid: int, wanted: dict) -> bool:
    """Whether process `pid` lacks a variable, or started before its CA bundle was written or will be.

    Values are told as their sums: a proxy's URL may hold a password.
    """
    pairs = (entry.partition("=") for entry in host.read(f"/proc/{pid}/environ").split("\0"))
    has = {name: value for name, _, value in pairs if name in wanted["environment"]}
    if {name: hashlib.sha256(value.encode()).hexdigest() for name, value in has.items()} != wanted["environment"]:
        return True
    if "SSL_CERT_FILE" not in has:
        return False
    bundle = Path(has["SSL_CERT_FILE"])
    brought = wanted["site_ca_sha256"] if str(bundle) == wanted["site_ca_path"] else ""
    if brought and host.sha256(bundle) != brought:
        return True  # role site is about to bring another
    return bundle.is_file() and bundle.stat().st_mtime > _started_at(pid) + CLOCK_GRAIN_SECONDS
