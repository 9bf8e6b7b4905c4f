#!/usr/bin/env python3
"""What a role alone costs on a host that needs nothing, beside the role that many use for the same task.

    ansible-galaxy role install geerlingguy.docker -p ROLES
    .venv/bin/python benchmarks/role_alone.py ROLES [--debian 13] [--rounds 5]

Makes a lab host. Two playbooks with one role each, `provisioner.gpu_hosts.docker_engine` and `geerlingguy.docker`,
bring it Debian's own engine; then each finds nothing to do, in turn and several times, by ansible-playbook as it
comes, over the connection that Ansible keeps. Prints the median, the quickest and the ratio with its aim.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from lab import TOOLS, as_it_comes, hosts, run

OURS, PEER = "provisioner.gpu_hosts.docker_engine", "geerlingguy.docker"
DEBIANS_OWN: dict[str, Any] = {
    "docker_packages": ["docker.io"],
    "docker_obsolete_packages": [],
    "docker_add_repo": False,
    "docker_install_compose_plugin": False,
}
"""The peer's variables, by which it takes Debian's own engine, as ours does by default."""


def playbook(work: Path, role: str, variables: dict[str, Any], *, facts: bool) -> Path:
    """A playbook of one role; the peer cannot do without facts, ours gathers none."""
    path = work / f"{role}.yml"
    play = {"hosts": "all", "become": True, "gather_facts": facts, "roles": [role], "vars": variables}
    path.write_text(json.dumps([play]))
    return path


def measure(inventory: Path, roles: Path, rounds: int, work: Path) -> None:
    playbooks = {
        OURS: playbook(work, OURS, {}, facts=False),
        # Extra variables, since the role's own vars outrank a play's.
        PEER: playbook(work, PEER, {}, facts=True),
    }
    given = {OURS: [], PEER: ["-e", json.dumps(DEBIANS_OWN)]}
    environment = as_it_comes(work) | {"ANSIBLE_ROLES_PATH": str(roles.absolute())}
    walls: dict[str, list[float]] = {OURS: [], PEER: []}
    cpu: dict[str, list[float]] = {OURS: [], PEER: []}
    for number in range(rounds + 1):
        for name, path in playbooks.items():
            wall, seconds, _ = run([TOOLS / "ansible-playbook", "-i", inventory, *given[name], path], environment)
            print(f"round {number}: {name}: {wall:.2f} s", file=sys.stderr, flush=True)
            if number:  # the first round brings the engine
                walls[name].append(wall)
                cpu[name].append(seconds)
    for name, seconds in walls.items():
        print(
            f"{name:<36} median {statistics.median(seconds):6.2f} s   quickest {min(seconds):6.2f} s   "
            f"CPU {statistics.median(cpu[name]):6.2f} s"
        )
    ratio = statistics.median(walls[OURS]) / statistics.median(walls[PEER])
    print(f"{OURS} to {PEER}: {ratio:.2f}   (aim: at most 1.5)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("roles", type=Path, metavar="ROLES", help="a folder that has the role geerlingguy.docker")
    parser.add_argument("--debian", type=int, choices=(12, 13), default=13)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if not (options.roles / PEER).is_dir():
        parser.error(
            f"{options.roles} has no {PEER}: `ansible-galaxy role install {PEER} -p {options.roles}` brings it"
        )
    with (
        tempfile.TemporaryDirectory(prefix="role-alone-") as folder,
        hosts(1, Path(folder), options.debian) as inventory,
    ):
        measure(inventory, options.roles, options.rounds, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
