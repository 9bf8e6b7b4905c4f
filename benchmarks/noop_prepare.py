#!/usr/bin/env python3
"""What `provisioner prepare` costs on hosts that need nothing, beside pyinfra and plain ansible-playbook.

    .venv/bin/python benchmarks/noop_prepare.py [--debian 13] [--hosts 8] [--rounds 3] [--names 32] [--before CHECKOUT]
                                                [--inventory PATH]

Makes lab hosts (more than 11 need a higher fs.inotify.max_user_instances), and one more of the same release that is
the controller, so that both ends of a connection have the same OpenSSH. There it prepares the hosts once, and then
times, in turn and several times, three tools that find nothing to do: `provisioner prepare`, pyinfra with
pyinfra_deploy.py, and, once, ansible-playbook as it comes with task_by_task.yml. Each connects anew each time;
`provisioner prepare` is timed once more right after, since it keeps its connections for five minutes and the peers do
not, and once connecting anew with the key exchange that pyinfra has (curve25519), which is cheaper than the one that
OpenSSH chooses. Prints the median and the quickest of each, the ratios with their aims, and the controller's CPU time
and memory for an inventory of --names hosts, which are the same hosts under several names. pyinfra is installed into a
virtual environment of its own that is thrown away. The base image and the xformers repository, which no peer has, are
left out.

With --before, which names a checkout of another commit, its `prepare` is timed too, in the same rounds.

With --inventory the hosts are those, and this machine is the controller; no lab is made.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import yaml
from lab import ROOT, TOOLS, as_it_comes, command_line, hosts, on_lab_host, prepare, run, several_names, wanted_state

HERE = Path(__file__).parent
PYINFRA = "pyinfra==3.10.0"
OURS = "provisioner prepare"
AGAIN = "provisioner prepare, connected"
ALIKE = "provisioner prepare, curve25519"
BEFORE = "provisioner prepare, before"


def pyinfra_inventory(inventory: Path, work: Path) -> Path:
    """The lab's hosts as pyinfra takes them, with the same keys."""
    known = yaml.safe_load(inventory.read_text())["all"]["hosts"].values()
    config = "".join(
        f"Host {variables['ansible_host']}\n  IdentityFile {variables['ansible_ssh_private_key_file']}\n"
        "  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n"
        for variables in known
    )
    (work / "ssh_config").write_text(config)
    entries = [
        (
            variables["ansible_host"],
            {
                "ssh_user": variables["ansible_user"],
                "ssh_key": variables["ansible_ssh_private_key_file"],
                "ssh_config_file": str(work / "ssh_config"),
                "ssh_strict_host_key_checking": "off",
            },
        )
        for variables in known
    ]
    path = work / "inventory.py"
    path.write_text(f"hosts = {entries!r}\n")
    return path


def connecting_anew(work: Path) -> dict[str, str]:
    """The setting by which Ansible opens connections of its own; those that linger from before are closed."""
    for path in work.glob("connections-*/*"):
        subprocess.run(["ssh", "-O", "exit", "-o", f"ControlPath={path}", "-"], capture_output=True, check=False)
    return {"ANSIBLE_SSH_CONTROL_PATH_DIR": tempfile.mkdtemp(prefix="connections-", dir=work)}


def tools(inventory: Path, work: Path, before: Path | None) -> dict[str, tuple[list[Any], dict[str, str]]]:
    """The command of each tool, with its environment."""
    alike, environment = prepare(inventory, work)
    peers = [TOOLS / "ansible-playbook", "-i", inventory, "-e", "provisioner_profile=registries"]
    return {
        **({BEFORE: prepare(inventory, work, checkout=before)} if before else {}),
        OURS: prepare(inventory, work),
        AGAIN: prepare(inventory, work),
        ALIKE: (alike, environment | {"ANSIBLE_SSH_EXTRA_ARGS": "-o KexAlgorithms=curve25519-sha256"}),
        "pyinfra": (
            [work / "venv/bin/pyinfra", "-y", pyinfra_inventory(inventory, work), HERE / "pyinfra_deploy.py"],
            {"NOOP_PREPARE_STATE": str(work / "state.json")},
        ),
        "ansible-playbook": (
            [*peers, HERE / "task_by_task.yml"],
            as_it_comes(work),
        ),
    }


def measure(inventory: Path, rounds: int, names: int, work: Path, before: Path | None = None) -> None:
    count = len(yaml.safe_load(inventory.read_text())["all"]["hosts"])
    (work / "state").mkdir()
    for checkout in filter(None, (ROOT, before)):
        run(*prepare(inventory, work, checkout=checkout))
    wanted_state(inventory, work)
    venv.create(work / "venv", with_pip=True)
    subprocess.run([work / "venv/bin/pip", "install", "--quiet", "--quiet", PYINFRA], check=True)
    walls: dict[str, list[float]] = {}
    cpu: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for name, (command, environment) in tools(inventory, work, before).items():
            if name == "ansible-playbook" and number != 1:
                continue  # it takes long, and its ratio is far from what is aimed at
            if name != AGAIN:
                connections = connecting_anew(work)
            wall, seconds, _ = run(command, environment | connections)
            print(f"round {number}: {name}: {wall:.2f} s", file=sys.stderr, flush=True)
            if number:  # the first round only warms files up
                walls.setdefault(name, []).append(wall)
                cpu.setdefault(name, []).append(seconds)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{count} hosts that need nothing, {rounds} rounds in turn; load at the end {load}")
    show(walls, cpu)
    command, environment = prepare(several_names(inventory, names, work), work)
    wall, seconds, _ = run(command, environment | connecting_anew(work))
    _, _, memory = run(command, environment | connecting_anew(work), watch=True)
    connecting_anew(work)
    print(f"{names} names of those hosts: {wall:.2f} s")
    print(f"controller's CPU       {seconds / names:6.3f} s a host   (aim: at most 0.3 at 32 hosts)")
    print(f"controller's memory    {memory / 1e6:6.0f} MB   (aim: under 300)")


def show(walls: dict[str, list[float]], cpu: dict[str, list[float]]) -> None:
    """Print the seconds of each tool, and ours to those of the others."""
    for name, seconds in walls.items():
        middle, quickest = statistics.median(seconds), min(seconds)
        print(
            f"{name:<31} median {middle:7.2f} s   quickest {quickest:7.2f} s   "
            f"CPU {statistics.median(cpu[name]):6.2f} s"
        )
        if max(seconds) > 1.5 * quickest:
            print(f"  warning: {name} varies by more than half; something else was busy on this machine")
    for ours in filter(walls.__contains__, (BEFORE, OURS, AGAIN, ALIKE)):
        for peer, aim in (("pyinfra", "0.75"), ("ansible-playbook", "0.1")):
            ratio = statistics.median(walls[ours]) / statistics.median(walls[peer])
            print(f"{ours:<31} to {peer:<18} {ratio:6.3f}   (aim: at most {aim})")
    for ours in filter(walls.__contains__, (BEFORE, OURS)):
        ratios = [mine / theirs for mine, theirs in zip(walls[ours], walls["pyinfra"], strict=True)]
        print(f"{ours:<31} to pyinfra, round by round: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")


def main() -> int:
    parser = command_line(__doc__, count=8, debian=13)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--names", type=int, default=32)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="noop-prepare-") as folder:
        work = Path(folder)
        if options.inventory:
            measure(options.inventory, options.rounds, options.names, work, options.before)
            return 0
        with hosts(options.hosts + 1, work, options.debian) as inventory:
            *_, controller = yaml.safe_load(inventory.read_text())["all"]["hosts"]
            again = ["benchmarks/noop_prepare.py", "--rounds", str(options.rounds), "--names", str(options.names)]
            again += ["--before", "before"] if options.before else []
            return on_lab_host(inventory, controller, work, again, options.before)


if __name__ == "__main__":
    sys.exit(main())
