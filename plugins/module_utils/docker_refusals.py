"""Docker engines that stay as the site has them and that no run can use so: told, with the remedy, never mended."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import docker_daemon as daemon
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import docker_processes as processes
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.engine import SERVICE, SOCKET, SOCKET_UNIT, Engine
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError


def check_answering(engine: Engine, oldest: str, *, client: bool) -> None:
    """Raise RefusalError where an answering engine is not this host's, is older than `oldest` or lacks a `client`."""
    if not engine.is_here:
        raise RefusalError(
            f"root's docker client asks at {engine.elsewhere}, another machine, which a run would measure; unset that "
            "(DOCKER_HOST, 'docker context use default'), and run this again"
        )
    if daemon.release(engine.version) < daemon.release(oldest):
        raise RefusalError(
            f"Docker {engine.version} is too old: {oldest} is the first that gives containers GPUs; upgrade it when "
            "its containers may stop, and run this again"
        )
    if not client:
        raise RefusalError(
            f"Docker {engine.version} answers on {SOCKET}, and no docker client is on root's PATH; link it there (for "
            "a snap 'ln -s /snap/bin/docker /usr/local/bin/docker') or install one, and run this again"
        )


def check_silent(host: Host, engine: Engine, wanted: dict, settings: dict, keeper: str) -> None:
    """Raise RefusalError where an engine that does not answer must not be started, restarted or brought.

    `settings` are those of daemon.json; `keeper` is what keeps the engine that runs.
    """
    _check_other_answers(host, engine)
    unit = host.unit(SERVICE)
    if unit.get("ActiveState") == "activating":
        return  # it starts soon, by itself
    number = len(engine.containers)
    runs = f"its {number} running container{'s' * (number > 1)}" if number else ""
    found = processes.daemons()
    for one in found:
        _check_listens(host, one, wanted, settings)
    if found and (keeper == "other" or len(found) > 1):
        raise RefusalError(
            f"dockerd (process {found[0].pid}) does not answer on {SOCKET}, and is not {SERVICE}'s; it and what "
            "it runs are left alone: find out why it is silent, mend that, and run this again"
        )
    if found and runs:
        raise RefusalError(
            f"the Docker engine does not answer on {SOCKET}, and is not restarted under {runs}; restart it when they "
            f"may stop ('systemctl restart {SOCKET_UNIT} {SERVICE}'), and run this again"
        )
    if runs and settings.get("live-restore") is not True:
        raise RefusalError(
            f"the Docker engine is gone, and a start of it would stop {runs}; start it when they may stop ('systemctl "
            f"start {SERVICE}'), and run this again"
        )


def _check_other_answers(host: Host, engine: Engine) -> None:
    """Raise RefusalError where something else has the place of an engine that answers."""
    if engine.elsewhere:
        raise RefusalError(
            f"root's docker client asks at {engine.elsewhere}, and no engine answers there; have one answer, or unset "
            "that (DOCKER_HOST, 'docker context use default'), and run this again"
        )
    if engine.podman:
        raise RefusalError(
            f"Podman {engine.podman} answers on {SOCKET}, which gives no GPUs by --gpus; where nothing needs it there, "
            "stop podman.socket and remove podman-docker, and run this again"
        )
    if "podman-docker" in host.packages:
        raise RefusalError(
            "the docker command is Podman's, and no Docker engine can be installed beside it; remove podman-docker "
            "where nothing needs it, and run this again"
        )
    if Path(SOCKET).is_dir():
        raise RefusalError(f"{SOCKET} is a folder, where no engine can listen; 'rmdir {SOCKET}', and run this again")


def _check_listens(host: Host, one: processes.Daemon, wanted: dict, settings: dict) -> None:
    """Raise RefusalError where the dockerd `one` is a user's own, or listens on other addresses only."""
    if one.user != "root":
        there = host.unit(SERVICE).get("LoadState") == "loaded"
        start = f"'systemctl enable --now {SERVICE}'" if there else "install one by hand"
        raise RefusalError(
            f"the Docker engine here is rootless, user {one.user}'s, and its containers cannot write what root lays "
            f"down for them; have the system's own run beside it ({start}), and run this again"
        )
    read = (processes.option(one.words, "--config-file") or [wanted["daemon_json"]])[-1]
    hosts = hosts_of(settings) if read == wanted["daemon_json"] else []
    activated = re.findall(r"(\S+) \(Stream\)", host.unit(SOCKET_UNIT).get("Listen", ""))
    addresses = processes.addresses(one, hosts, activated)
    if not any(processes.same_socket(address, SOCKET) for address in addresses):
        there = f"docker -H {addresses[0]}"  # without, the client would first wait for the socket
        raise RefusalError(
            f"the Docker engine listens on {' and '.join(addresses)}, not on {SOCKET}, and this is left so; point "
            f"root's client there ('{there} context create site --docker host={addresses[0]} && {there} context use "
            "site'), and run this again"
        )


def check_start(host: Host, wanted: dict, settings: dict) -> None:
    """Raise RefusalError where the engine that is to be started would not start, or not listen on the socket."""
    path, hosts = wanted["daemon_json"], hosts_of(settings)
    unit = host.unit(SERVICE)
    words = unit.get("ExecStart", "").replace(";", " ").split()
    # The unit that the packages bring has -H.
    flagged = host.systemd and (unit.get("LoadState") != "loaded" or bool(processes.option(words, "-H", "--host")))
    if hosts and flagged:
        raise RefusalError(
            f"hosts is set in {path} and by -H in {SERVICE}, with which dockerd does not start; take it out of either "
            f"('systemctl edit {SERVICE}'), and run this again"
        )
    if hosts and not any(processes.same_socket(address, SOCKET) for address in hosts):
        raise RefusalError(
            f"by hosts in {path} dockerd would listen on {' and '.join(hosts)} only; add unix://{SOCKET}, and run this "
            "again"
        )
    said = daemon.complaint(host, path) if settings and host.which("dockerd") else ""
    if said:
        raise RefusalError(daemon.refusal(path, said))


def hosts_of(settings: dict) -> list[str]:
    """Return the addresses that daemon.json has dockerd listen on; none where it leaves that to others."""
    hosts = settings.get("hosts")
    return [str(address) for address in hosts] if isinstance(hosts, list) else []
