#!/usr/bin/python
"""Ansible module: what Docker engine a host has, and how it is kept running. Changes nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: docker_engine_state
short_description: The Docker engine of a host
options:
  environment:
    description: The variables that dockerd should run with.
    type: dict
    default: {}
  drop_in:
    description: Our file with these variables, where systemd keeps dockerd running.
    type: path
  pid_file:
    description: Where the pid of a dockerd lies that was started without systemd.
    type: path
    required: true
"""

RETURN = r"""
answers: {description: An engine answers to the docker client., type: bool, returned: always}
version: {description: Its version; empty where none answers., type: str, returned: always}
dockerd:
  description: Path of the dockerd that could be started; empty without it or without a docker client.
  type: str
  returned: always
keeper:
  description: What keeps dockerd running - systemd, detached (started through the pid file), or other.
  type: str
  returned: always
containers: {description: How many containers run., type: int, returned: always}
stale:
  description: It is ours to restart, and runs with other variables or an older CA bundle than it should.
  type: bool
  returned: always
settled: {description: It answers, starts with the host, and has what it should have., type: bool, returned: always}
"""

# The kernel tells a start in whole seconds: a CA bundle written less than this after it may as well be older.
CLOCK_GRAIN_SECONDS = 2


def systemd_unit(module: AnsibleModule) -> tuple[int, bool]:
    """Main pid of docker.service (0: not running under systemd) and whether it starts with the host."""
    if not Path("/run/systemd/system").is_dir():
        return 0, False
    _, out, _ = module.run_command(["systemctl", "show", "docker.service", "--property=MainPID,UnitFileState"])
    properties = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
    return int(properties.get("MainPID", 0)), properties.get("UnitFileState") == "enabled"


def detached_pid(pid_file: Path) -> int:
    """Pid of the dockerd that `pid_file` names, 0 where there is none."""
    try:
        pid = int(pid_file.read_text().strip())
        return pid if Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd" else 0
    except (OSError, ValueError):
        return 0


def started_at(pid: int) -> float:
    """When process `pid` started, in seconds since the epoch."""
    boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    return int(boot.split()[1]) + int(ticks) / os.sysconf("SC_CLK_TCK")


def is_stale(pid: int, wanted: dict[str, str]) -> bool:
    """Whether process `pid` lacks a variable of `wanted`, or started before its CA bundle was last written."""
    environ = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    if not {f"{name}={value}" for name, value in wanted.items()} <= set(environ):
        return True
    bundle = Path(wanted.get("SSL_CERT_FILE", ""))
    return bundle.is_file() and bundle.stat().st_mtime > started_at(pid) + CLOCK_GRAIN_SECONDS


def main() -> None:
    """Look, and say what is there."""
    module = AnsibleModule(
        argument_spec={
            "environment": {"type": "dict", "default": {}, "no_log": True},
            "drop_in": {"type": "path"},
            "pid_file": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    wanted, drop_in = module.params["environment"], module.params["drop_in"]
    docker = shutil.which("docker")
    version, containers = "", 0
    if docker:
        code, out, _ = module.run_command([docker, "version", "--format", "{{.Server.Version}}"])
        version = out.strip() if code == 0 else ""
    if docker and version:
        containers = len(module.run_command([docker, "ps", "--quiet"])[1].split())
    service, enabled = systemd_unit(module)
    detached = detached_pid(Path(module.params["pid_file"]))
    pid, keeper = (service, "systemd") if service else (detached, "detached" if detached else "other")
    stale = bool(version and pid and is_stale(pid, wanted))
    leftover = bool(drop_in and not wanted and Path(drop_in).exists())
    module.exit_json(
        changed=False,
        answers=bool(version),
        version=version,
        dockerd=(shutil.which("dockerd") or "") if docker else "",
        keeper=keeper,
        containers=containers,
        stale=stale,
        settled=bool(version) and not stale and not leftover and (enabled or keeper != "systemd"),
    )


if __name__ == "__main__":
    main()
