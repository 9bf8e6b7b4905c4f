"""What is off about a host's Docker engine, and how it is kept running."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import re
from pathlib import Path
from typing import NamedTuple

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import docker_daemon as daemon
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import docker_processes as processes
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import docker_refusals as refusals
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import engine as engines
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.engine import SERVICE, SOCKET_UNIT, Engine
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import content, obstacle
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError, change, refuse_if
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.packages import look as look_at_packages

# What docker.service may need, by which package it is of.
COMPANIONS = ("containerd.service", SOCKET_UNIT)

# The kernel tells a start in whole seconds: a CA bundle written less than this after it may as well be older.
CLOCK_GRAIN_SECONDS = 2


def look(host: Host, wanted: dict) -> dict:
    """Return the look, by docker_engine_wanted; a site's engine that no run can use is refused. Beside `changes`:

    - `answers`: an engine answers, on the socket or `elsewhere`; `version` is its version
    - `dockerd`: path of the dockerd that could be started; '' without it
    - `install`: there is something to install; `packages`: those that are missing
    - `users`: those to put into the engine's group
    - `keeper`: what keeps it running: systemd, detached (started through the pid file), or other
    - `containers`: how many run; `restart`: it is to be started anew, and no container is in the way
    - `leftovers`: pid files that a killed engine has left
    - `unread`: systemd has not read the unit's files as they are now
    - `companions`: units that docker.service needs and that are masked, of a service not active, of a socket silent
    - `run`: something of how it is kept running is to be mended
    - `settings`: files with its settings are off: `variables`, those with its environment, or `hollow`: daemon.json is
      empty, with which dockerd before 23.0 does not start
    """
    if not wanted["packages"]:
        raise RefusalError(f"docker_engine_source is {wanted['source']!r}; set it to distribution or docker")
    host.units(SERVICE, *COMPANIONS)
    engine = engines.of(host)
    # No engine would start again with one that is broken, whoever wants that: told before anything is changed.
    settings = daemon.settings(host, wanted["daemon_json"])
    kept = _kept(host.unit(SERVICE), wanted["pid_file"])
    keeper = kept[1]
    dockerd = host.which("dockerd")
    if not engine.answers:
        refusals.check_silent(host, engine, wanted, settings.values, keeper)
    installed = _installed(host, wanted, engine, dockerd)
    configured = _configured(host, wanted, engine, settings.text, keeper)
    running = _running(host, wanted, engine, dockerd, kept)
    if running["restart"] or not engine.answers:
        refusals.check_start(host, wanted, settings.values)
    return {
        **installed,
        **configured,
        **running,
        "changes": configured["changes"] + installed["changes"] + running["changes"],
        "notes": _notes(wanted["daemon_json"], settings.values, answers=engine.answers) + running["notes"],
        "answers": engine.answers,
        "elsewhere": engine.elsewhere,
        "version": engine.version,
        "dockerd": dockerd,
        "keeper": keeper,
        "containers": len(engine.containers),
        "systemd": host.systemd,
    }


def _installed(host: Host, wanted: dict, engine: Engine, dockerd: str) -> dict:
    """Return what is off about the engine's packages and group; raise RefusalError where that may not be mended."""
    packages = _packages(host, wanted, there=bool(engine.answers or dockerd))
    if engine.answers:
        refusals.check_answering(engine, wanted["oldest"], client=bool(engine.client or packages))
    install = look_at_packages(host, packages, "", wanted["repositories"], wanted["instead"])
    users = _to_join(wanted, install)
    members = [change(f"user {user}", "not in group " + wanted["group"], "in it") for user in users]
    return {"changes": install + members, "install": bool(install), "packages": packages, "users": users}


def _configured(host: Host, wanted: dict, engine: Engine, text: str, keeper: str) -> dict:
    """Return what is off about the files with the engine's settings; `text` is daemon.json's."""
    hollow = _is_hollow(host, wanted["daemon_json"], text, engine.version)
    emptied = [change(wanted["daemon_json"], "empty", "{}")] * hollow
    # An engine that neither systemd's docker.service nor the pid file keeps is left alone.
    kept = keeper in ("systemd", "detached") or not engine.answers
    variables = _variable_changes(host, wanted) if kept else []
    changes = emptied + variables
    return {"changes": changes, "settings": bool(changes), "variables": bool(variables), "hollow": hollow}


def _running(host: Host, wanted: dict, engine: Engine, dockerd: str, kept: tuple[int, str]) -> dict:
    """Return what is off about how the engine is kept running, `kept`, and whether it is to be started anew."""
    unit = host.unit(SERVICE)
    pid, keeper = kept
    hangs = bool(not engine.answers and pid and unit.get("ActiveState") != "activating")
    leftovers = [] if engine.answers else _leftovers(wanted["pid_files"])
    changes = [] if engine.answers else _silent_changes(unit, dockerd, leftovers, hangs=hangs)
    unread = _is_unread(unit, wanted["drop_in"])
    companions: list[str] = []
    if host.systemd and (keeper == "systemd" or not engine.answers):
        needed = _companion_changes(host, unit, engine.answers)
        changes += _unit_changes(unit, engine.answers, unread=unread) + needed
        companions = _companions(unit, needed, hangs=hangs)
    restart = _restart(host, wanted, engine, pid, socket=SOCKET_UNIT in companions)
    changes += restart.changes
    return {
        "changes": changes,
        "notes": restart.notes,
        "run": bool(changes),
        "leftovers": leftovers,
        "companions": companions,
        "unread": unread,
        "restart": hangs or restart.due,
    }


def _silent_changes(unit: dict, dockerd: str, leftovers: list[str], *, hangs: bool) -> list[dict[str, str]]:
    """Return what is off about an engine that does not answer."""
    before = "starts" if unit.get("ActiveState") == "activating" else "does not answer" if dockerd else "absent"
    engine = change("the Docker engine", before, "restarted, with its socket" if hangs else "answers")
    return [engine, *(change(path, "left by a killed engine", "absent") for path in leftovers)]


def _companions(unit: dict, needed: list[dict[str, str]], *, hangs: bool) -> list[str]:
    """Return the units to be mended with the engine: those that are off, and of one that hangs the socket."""
    companions = [off["what"] for off in needed]
    if hangs and SOCKET_UNIT in _needed(unit) and SOCKET_UNIT not in companions:
        companions.append(SOCKET_UNIT)  # its file may be gone, which only it makes
    return companions


class Restart(NamedTuple):
    """Whether an engine that answers is to be started anew, what that changes, and what a person should know."""

    due: bool
    changes: list[dict[str, str]]
    notes: list[str]


def _restart(host: Host, wanted: dict, engine: Engine, pid: int, *, socket: bool) -> Restart:
    """Return whether the engine is restarted for the site's settings, or for its `socket`: never under what it runs."""
    stale = bool(engine.answers and pid) and _is_stale(host, pid, wanted)
    busy = bool(stale or socket) and engines.business(engine)
    if stale and busy:
        return Restart(
            due=False,
            changes=[],
            notes=[
                "the engine does not have the site's present CA bundle or proxies yet, since it is not restarted under "
                f"{busy}; restart it when that is possible"
            ],
        )
    changes = [change("the Docker engine", "runs with old settings", "restarted with the site's")] if stale else []
    return Restart(not busy and (stale or socket), changes, [])


def _notes(path: str, settings: dict, *, answers: bool) -> list[str]:
    """Return notes on a site's own settings, and on a start beside what else the host has."""
    notes = []
    if settings.get("userns-remap"):
        notes.append(
            f"userns-remap is set in {path}, with which a container cannot write what root lays down for a run; use "
            "the runtime native there, or take it out when the engine's containers may stop"
        )
    if settings.get("iptables") is False:
        notes.append(
            f"iptables is false in {path}: a container reaches a network only where the site's own rules have it"
        )
    bridges = sorted(one.parent.name for one in Path("/sys/class/net").glob("*/bridge"))
    others = [name for name in bridges if not re.fullmatch(r"docker\w*|br-[0-9a-f]{12}", name)]
    if others and not answers and settings.get("iptables") is not False:
        notes.append(
            f"the engine's start may have the firewall drop what the host forwards (FORWARD), and there is a bridge of "
            f"the site's, {others[0]}; let its traffic through in the chain DOCKER-USER"
        )
    return notes


def _is_hollow(host: Host, path: str, text: str, version: str) -> bool:
    """Return whether daemon.json is there and empty, and its engine is or may be one that does not start with that."""
    if text.strip() or not Path(path).is_file() or daemon.major(version) >= 23:
        return False
    return bool(version) or daemon.complaint(host, path) != ""


def _packages(host: Host, wanted: dict, *, there: bool) -> list[str]:
    """Return the packages that are missing; none where the engine that is there came from elsewhere."""
    names = host.pick(wanted["packages"])
    if names and (not there or names[0] in host.packages):
        return [name for name in names if name not in host.packages]
    if not there:
        elsewhere = "" if wanted["repositories"] else "set docker_engine_source to docker, or "
        raise RefusalError(
            f"no engine is known for {host.os_id}; {elsewhere}install Docker there by hand, and run this again"
        )
    return []


def _to_join(wanted: dict, install: list[dict[str, str]]) -> list[str]:
    """Return the users that are not in the engine's group yet. Raise RefusalError where no package makes that group."""
    group = wanted["group"]
    users = [user for user in wanted["users"] if not _is_member(user, group)]
    try:
        grp.getgrnam(group)
    except KeyError:
        if users and not install:
            raise RefusalError(
                f"there is no group {group} on the host; make it ('groupadd --system {group}') and have the engine's "
                "socket in it, or take its users out of docker_engine_users, and run this again"
            ) from None
    return users


def _is_member(user: str, group: str) -> bool:
    """Return whether `user` is in `group`, which may not be there yet."""
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


def _is_unread(unit: dict, drop_in: str) -> bool:
    """Return whether systemd has not read the unit's files as they are.

    By its own answer, and by the drop-ins that it knows: one in a folder that is new it does not see by itself.
    """
    if unit.get("NeedDaemonReload") == "yes":
        return True
    known = drop_in in unit.get("DropInPaths", "").split()
    return unit.get("LoadState") == "loaded" and known != os.path.lexists(drop_in)


def _unit_changes(unit: dict, answers: bool, *, unread: bool) -> list[dict[str, str]]:
    """Return what is off about how systemd starts it; of one that is still to be installed only that it is absent.

    One that the site starts in another way is static, linked or generated, and stays so.
    """
    state, found = unit.get("UnitFileState", ""), []
    if state in ("disabled", "masked", "masked-runtime", "enabled-runtime") or (answers and not state):
        found.append(change(SERVICE, state or "unknown", "enabled"))
    if unread:
        found.append(change(f"{SERVICE}: files", "not read by systemd", "read"))
    return found


def _needed(unit: dict) -> set[str]:
    return {name for kind in ("Requires", "Wants", "BindsTo") for name in unit.get(kind, "").split()}


def _companion_changes(host: Host, unit: dict, answers: bool) -> list[dict[str, str]]:
    """Return what is off about the units that it needs: a dockerd may answer although it has no containerd."""
    needed = _needed(unit)
    found = []
    for name in COMPANIONS:
        state = host.unit(name)
        if name not in needed:
            continue
        if state.get("LoadState") == "masked":
            found.append(change(name, "masked", "not masked"))
        elif answers and name.endswith(".service") and state.get("ActiveState") != "active":
            found.append(change(name, state.get("ActiveState", "unknown"), "active"))
    return found


def _variable_changes(host: Host, wanted: dict) -> list[dict[str, str]]:
    """Return what is off about the file with dockerd's environment, and about what has systemd read it."""
    files = {wanted["environment_path"]: ("0600", wanted["environment_sha256"])}
    if host.systemd:
        files[wanted["drop_in"]] = ("0644", wanted["drop_in_sha256"])
    if not wanted["environment"]:
        return [change(path, "present", "absent") for path in files if os.path.lexists(path)]
    found = []
    for path, (mode, sha256) in files.items():
        found += host.file_changes(str(Path(path).parent), mode="0755", kind="directory")
        found += host.file_changes(path, mode=mode, sha256=sha256)
    return found


def _kept(unit: dict, pid_file: str) -> tuple[int, str]:
    """Return the pid of dockerd, 0 where neither systemd nor the pid file has it, and what keeps it running."""
    service, detached = int(unit.get("MainPID") or 0), _pid_in(pid_file, "dockerd")
    return (service, "systemd") if service else (detached, "detached" if detached else "other")


def _leftovers(files: dict[str, str]) -> list[str]:
    """Return the pid files whose process is gone; each is given with the name of its process."""
    there = {path: name for path, name in files.items() if os.path.lexists(path)}
    for path in there:
        refuse_if(obstacle(path, "file"))
    return [path for path, name in there.items() if not _pid_in(path, name)]


def _pid_in(pid_file: str, name: str) -> int:
    """Return the pid of the process `name` that `pid_file` names, 0 where there is none."""
    try:
        pid = int(content(pid_file).decode())
        return pid if Path(f"/proc/{pid}/comm").read_text().strip() == name else 0
    except (OSError, ValueError):
        return 0


def _is_stale(host: Host, pid: int, wanted: dict) -> bool:
    """Return whether process `pid` lacks a variable, or started before its CA bundle was written or will be.

    Values are told as their sums: a proxy's URL may hold a password.
    """
    pairs = (entry.partition("=") for entry in host.read(f"/proc/{pid}/environ").split("\0"))
    has = {name: value for name, _unused, value in pairs if name in wanted["environment"]}
    if {name: hashlib.sha256(value.encode()).hexdigest() for name, value in has.items()} != wanted["environment"]:
        return True
    if "SSL_CERT_FILE" not in has:
        return False
    bundle = Path(has["SSL_CERT_FILE"])
    brought = wanted["site_ca_sha256"] if str(bundle) == wanted["site_ca_path"] else ""
    if brought and host.sha256(bundle) != brought:
        return True  # role site is about to bring another
    return bundle.is_file() and bundle.stat().st_mtime > processes.started_at(pid) + CLOCK_GRAIN_SECONDS
