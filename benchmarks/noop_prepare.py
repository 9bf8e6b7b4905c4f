#!/usr/bin/env python3
"""What `provisioner prepare` costs on hosts that need nothing, beside pyinfra and plain ansible-playbook.

    .venv/bin/python benchmarks/noop_prepare.py [--hosts 8] [--rounds 3] [--names 32] [--inventory PATH]

Makes lab hosts (Debian 12; more than 12 need a higher fs.inotify.max_user_instances), prepares them once, and then
times, in turn and several times, three tools that find nothing to do: `provisioner prepare`, pyinfra with
pyinfra_deploy.py, and ansible-playbook as it comes with task_by_task.yml. Each connects anew each time. Prints the
median and the quickest of each, the ratios with their aims, and the controller's CPU time and memory, also for an
inventory of --names hosts, which are the same hosts under several names. pyinfra is installed into a virtual
environment of its own that is thrown away. The base image and the xformers repository, which no peer has, are left out.

With --inventory the hosts are those, prepared already, with profile registries; no lab is made.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from pathlib import Path
from typing import Any

import yaml
from memory import tree_memory

HERE = Path(__file__).parent
ROOT = HERE.parent
COMMAND = ROOT / "bin/provisioner"
PYINFRA = "pyinfra==3.10.0"
WITHOUT = {"local_sources_base_image_build": None, "local_sources_xformers_sdist": None}
TOOLS = Path(sys.executable).parent


def run(command: list[Any], environment: dict[str, str], *, watch: bool = False) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds and, where watched, peak memory in bytes of a command with all that it starts."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            list(map(str, command)), env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        peak = [0]

        def look() -> None:
            while process.poll() is None:
                peak[0] = max(peak[0], tree_memory(process.pid))
                time.sleep(0.2)

        watcher = threading.Thread(target=look)
        if watch:
            watcher.start()
        code = process.wait()
        wall = time.monotonic() - began
        if watch:
            watcher.join()
        if code:
            said.seek(0)
            sys.exit(f"{command[0]} ended with {code}:\n{said.read().decode()[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak[0]


COMMAND_TEXT = "{{ devcontainer_cli_command | replace('@NODE@', looked.looks.devcontainer_cli.node) }}"


def wanted_state(inventory: Path, work: Path) -> dict[str, Any]:
    """What the roles want of a host, resolved by Ansible, so that the peer keeps the very same."""
    play = {
        "hosts": "all",
        "gather_facts": False,
        "vars_files": [str(ROOT / "inventory/profiles/registries.yml")],
        "roles": [{"role": role, "tags": "never"} for role in ("site", "docker_engine", "devcontainer_cli")],
        "tasks": [
            {
                "run_once": True,
                "become": True,
                "look": {"roles": ["devcontainer_cli"]},
                "register": "looked",
            },
            {
                "run_once": True,
                "delegate_to": "localhost",
                "become": False,
                "copy": {"content": "{{ state | to_json }}", "dest": str(work / "state.json"), "mode": "0600"},
                "vars": {
                    "state": {
                        "ca_bundle": "{{ site_ca_bundle }}",
                        "packages": "{{ docker_engine_packages.debian12 + ['python3-venv'] }}",
                        "drop_in": "{{ docker_engine_drop_in }}",
                        "drop_in_content": "{{ docker_engine_drop_in_content }}",
                        "cli_version": "{{ devcontainer_cli_version }}",
                        "prefix": "{{ devcontainer_cli_prefix }}",
                        "path": "{{ devcontainer_cli_path }}",
                        "link": "{{ devcontainer_cli_link }}",
                        "node": "{{ looked.looks.devcontainer_cli.node }}",
                        "command": COMMAND_TEXT,
                    }
                },
            },
        ],
    }
    path = work / "state.yml"
    path.write_text(json.dumps([play]))
    run([TOOLS / "ansible-playbook", "-i", inventory, path], {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")})
    return json.loads((work / "state.json").read_text())


def pyinfra_inventory(inventory: Path, work: Path) -> Path:
    """The lab's hosts as pyinfra takes them, with the same keys."""
    hosts = yaml.safe_load(inventory.read_text())["all"]["hosts"]
    config = "".join(
        f"Host {variables['ansible_host']}\n  IdentityFile {variables['ansible_ssh_private_key_file']}\n"
        "  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n"
        for variables in hosts.values()
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
        for variables in hosts.values()
    ]
    path = work / "inventory.py"
    path.write_text(f"hosts = {entries!r}\n")
    return path


def connecting_anew(work: Path) -> dict[str, str]:
    """The setting by which Ansible opens connections of its own; those that linger from before are closed."""
    for path in work.glob("connections-*/*"):
        subprocess.run(["ssh", "-O", "exit", "-o", f"ControlPath={path}", "-"], capture_output=True, check=False)
    return {"ANSIBLE_SSH_CONTROL_PATH_DIR": tempfile.mkdtemp(prefix="connections-", dir=work)}


def several_names(inventory: Path, count: int, work: Path) -> Path:
    """An inventory of `count` hosts: those of `inventory`, in turn, under several names."""
    content = yaml.safe_load(inventory.read_text())
    hosts = list(content["all"]["hosts"].values())
    content["all"]["hosts"] = {f"host{number}": hosts[number % len(hosts)] for number in range(count)}
    path = work / "several_names.yml"
    path.write_text(yaml.safe_dump(content))
    return path


def tools(inventory: Path, work: Path) -> dict[str, tuple[list[Any], dict[str, str]]]:
    """The command of each tool, with its environment."""
    peers = [TOOLS / "ansible-playbook", "-i", inventory, "-e", "provisioner_profile=registries"]
    return {
        "provisioner prepare": prepare(inventory, work),
        "pyinfra": (
            [work / "venv/bin/pyinfra", "-y", pyinfra_inventory(inventory, work), HERE / "pyinfra_deploy.py"],
            {"NOOP_PREPARE_STATE": str(work / "state.json")},
        ),
        "ansible-playbook": (
            [*peers, HERE / "task_by_task.yml"],
            {
                "ANSIBLE_CONFIG": str(work / "defaults.cfg"),
                "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
                "ANSIBLE_LIBRARY": str(ROOT / "playbooks/library"),
                "ANSIBLE_MODULE_UTILS": str(ROOT / "playbooks/module_utils"),
                "ANSIBLE_PYTHON_INTERPRETER": "auto_silent",
            },
        ),
    }


def prepare(inventory: Path, work: Path) -> tuple[list[Any], dict[str, str]]:
    command = [COMMAND, "prepare", "-i", inventory, "--profile", "registries"]
    return command, {"PROVISIONER_STATE_DIR": str(work / "state")}


def measure(inventory: Path, rounds: int, names: int, work: Path) -> None:
    count = len(yaml.safe_load(inventory.read_text())["all"]["hosts"])
    (work / "state").mkdir()
    (work / "defaults.cfg").touch()
    wanted_state(inventory, work)
    venv.create(work / "venv", with_pip=True)
    subprocess.run([work / "venv/bin/pip", "install", "--quiet", "--quiet", PYINFRA], check=True)
    peers = tools(inventory, work)
    walls: dict[str, list[float]] = {name: [] for name in peers}
    cpu: dict[str, list[float]] = {name: [] for name in peers}
    for number in range(rounds + 1):
        for name, (command, environment) in peers.items():
            wall, seconds, _ = run(command, environment | connecting_anew(work))
            if number:  # the first round only warms files up
                walls[name].append(wall)
                cpu[name].append(seconds)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{count} hosts that need nothing, {rounds} rounds in turn, each connecting anew; load at the end {load}")
    for name, seconds in walls.items():
        middle, quickest = statistics.median(seconds), min(seconds)
        print(
            f"{name:<22} median {middle:7.2f} s   quickest {quickest:7.2f} s   "
            f"CPU {statistics.median(cpu[name]):6.2f} s"
        )
        if max(seconds) > 1.5 * quickest:
            print(f"  warning: {name} varies by more than half; something else was busy on this machine")
    ours = statistics.median(walls["provisioner prepare"])
    for name, aim in (("pyinfra", "0.7, better 0.5"), ("ansible-playbook", "0.1")):
        print(f"ratio to {name:<18} {ours / statistics.median(walls[name]):6.3f}   (aim: at most {aim})")
    command, environment = prepare(several_names(inventory, names, work), work)
    wall, seconds, _ = run(command, environment | connecting_anew(work))
    _, _, memory = run(command, environment | connecting_anew(work), watch=True)
    connecting_anew(work)
    print(f"{names} names of those hosts: {wall:.2f} s")
    print(f"controller's CPU       {seconds / names:6.3f} s a host   (aim: at most 0.3 at 32 hosts)")
    print(f"controller's memory    {memory / 1e6:6.0f} MB   (aim: under 300)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--names", type=int, default=32)
    parser.add_argument("--inventory", type=Path, help="prepared hosts, of an inventory that `lab up` wrote")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="noop-prepare-") as folder:
        work = Path(folder)
        if options.inventory:
            measure(options.inventory.absolute(), options.rounds, options.names, work)
            return 0
        lab = f"noop{os.getpid()}"
        try:
            up = [COMMAND, "lab", "up", "--name", lab, "-n", str(options.hosts), "--json"]
            made = json.loads(subprocess.run(up, check=True, stdout=subprocess.PIPE).stdout)
            inventory = yaml.safe_load(Path(made["inventory"]).read_text())
            inventory["all"]["vars"] = WITHOUT
            path = work / "hosts.yml"
            path.write_text(yaml.safe_dump(inventory))
            subprocess.run(prepare(path, work)[0], check=True)
            measure(path, options.rounds, options.names, work)
        finally:
            subprocess.run([COMMAND, "lab", "down", "--name", lab], check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
