"""Throwaway hosts to measure on, what is wanted of them, and how a command is measured: shared by the benchmarks."""

import argparse
import json
import os
import resource
import shlex
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from memory import tree_memory

ROOT = Path(__file__).parents[1]
COMMAND = ROOT / "bin/provisioner"
TOOLS = Path(sys.executable).parent
WITHOUT = {"local_sources_base_image_build": None, "local_sources_xformers_sdist": None}
"""The base image and the xformers repository are left out: no peer has them."""


def command_line(what: str, *, count: int, debian: int) -> argparse.ArgumentParser:
    """The options that benchmarks on lab hosts share; `count` hosts of release `debian` where nothing is said.

    The first line of `what` says what is measured.
    """
    parser = argparse.ArgumentParser(description=what.splitlines()[0])
    parser.add_argument("--debian", type=int, choices=(12, 13), default=debian)
    parser.add_argument("--hosts", type=int, default=count)
    parser.add_argument("--before", type=absolute, metavar="CHECKOUT", help="a checkout of another commit")
    parser.add_argument("--inventory", type=absolute, metavar="PATH", help="hosts of an inventory that `lab up` wrote")
    return parser


def absolute(path: str) -> Path:
    """A path that means the same from another folder."""
    return Path(path).absolute()


@contextmanager
def hosts(count: int, work: Path, debian: int = 12) -> Iterator[Path]:
    """Make `count` lab hosts for as long as the context lasts, and give an inventory of them."""
    lab = f"bench{os.getpid()}"
    try:
        up = [COMMAND, "lab", "up", "--name", lab, "-n", str(count), "--debian", str(debian), "--json"]
        made = json.loads(subprocess.run(up, check=True, stdout=subprocess.PIPE).stdout)
        inventory = yaml.safe_load(Path(made["inventory"]).read_text())
        inventory["all"]["vars"] = WITHOUT
        path = work / "hosts.yml"
        path.write_text(yaml.safe_dump(inventory))
        yield path
    finally:
        subprocess.run([COMMAND, "lab", "down", "--name", lab], check=False)


def several_names(inventory: Path, count: int, work: Path) -> Path:
    """An inventory of `count` hosts: those of `inventory`, in turn, under several names."""
    content = yaml.safe_load(inventory.read_text())
    known = list(content["all"]["hosts"].values())
    # Each name gets a connection of its own, as a host would.
    own = {"ansible_control_path": "%(directory)s/{{ inventory_hostname }}"}
    content["all"]["hosts"] = {f"host{number}": known[number % len(known)] | own for number in range(count)}
    path = work / "several_names.yml"
    path.write_text(yaml.safe_dump(content))
    return path


def ssh(inventory: Path, name: str) -> list[str]:
    """The words that, followed by a command, run it on a lab's host."""
    host = yaml.safe_load(inventory.read_text())["all"]["hosts"][name]
    options = ["-i", host["ansible_ssh_private_key_file"], *shlex.split(host["ansible_ssh_common_args"])]
    return ["ssh", *options, f"{host['ansible_user']}@{host['ansible_host']}"]


def on_lab_host(inventory: Path, name: str, work: Path, command: list[str], before: Path | None = None) -> int:
    """Run a benchmark of this tree on one of a lab's hosts, with --inventory of the others, and return its exit code.

    `before` is another checkout that goes along, as the folder of that name.
    """
    content = yaml.safe_load(inventory.read_text())
    keys = Path(content["all"]["hosts"].pop(name)["ansible_ssh_private_key_file"]).parent
    rest = work / "others.yml"
    rest.write_text(yaml.safe_dump(content))
    given = tracked(ROOT) | {"others.yml": rest, str(keys): keys}
    if before:
        given |= {f"before/{path}": source for path, source in tracked(before).items()}
    words = f"bin/provisioner --version && exec .venv/bin/python {shlex.join(command)} --inventory others.yml"
    if authority := os.environ.get("SSL_CERT_FILE"):
        given["ca.crt"] = Path(authority).resolve()
        words = f"export SSL_CERT_FILE=$PWD/ca.crt PIP_CERT=$PWD/ca.crt && {words}"
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for path, source in given.items():
                archive.add(source, Path("/root/provisioner") / path)
        file.seek(0)
        subprocess.run([*ssh(inventory, name), "tar -C / -xf -"], stdin=file, check=True)
    return subprocess.run([*ssh(inventory, name), f"cd /root/provisioner && {words}"], check=False).returncode


def tracked(checkout: Path) -> dict[str, Path]:
    """The files of a checkout, by their path in it."""
    paths = subprocess.check_output(["git", "ls-files"], cwd=checkout, text=True).split()
    return {path: checkout / path for path in paths}


def prepare(inventory: Path, work: Path, *options: str, checkout: Path = ROOT) -> tuple[list[Any], dict[str, str]]:
    """The command `provisioner prepare` for hosts, with its environment."""
    command = [checkout / "bin/provisioner", "prepare", "-i", inventory, "--profile", "registries", *options]
    return command, {"PROVISIONER_STATE_DIR": str(work / "state")}


def as_it_comes(work: Path) -> dict[str, str]:
    """The environment in which ansible-playbook, with no setting of ours, finds the roles and modules here."""
    configuration = work / "defaults.cfg"
    configuration.touch()
    return {
        "ANSIBLE_CONFIG": str(configuration),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT),
        "ANSIBLE_PYTHON_INTERPRETER": "auto_silent",
    }


def run(
    command: list[Any],
    environment: dict[str, str],
    *,
    watch: bool = False,
    given: str = "",
    ends: tuple[int, ...] = (0,),
) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds and, where watched, peak memory in bytes of a command with all that it starts.

    `given` is its input, `ends` are the exit codes that are no failure of it. It runs in a folder that has no
    ansible.cfg, lest one checkout reads another's.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as file:
        file.write(given.encode())
        file.seek(0)
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=tempfile.gettempdir(),
            env=os.environ | environment,
            stdin=file,
            stdout=said,
            stderr=said,
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
        if code not in ends:
            said.seek(0)
            sys.exit(f"{command[0]} ended with {code}:\n{said.read().decode()[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak[0]


def wanted_state(inventory: Path, work: Path) -> dict[str, Any]:
    """What the roles want of a host, resolved by Ansible, so that the peers keep the very same.

    In `command`, @NODE@ stands for the Node that is found, which is `node` where there is one.
    """
    play = {
        "hosts": "all",
        "gather_facts": False,
        "vars_files": [str(ROOT / "inventory/profiles/registries.yml"), str(ROOT / "playbooks/group_vars/all.yml")],
        "tasks": [
            {"import_tasks": str(ROOT / "playbooks/tasks/variables.yml")},
            {"run_once": True, "setup": {"gather_subset": ["!all", "min"]}},
            {
                "run_once": True,
                "become": True,
                "provisioner.gpu_hosts.look": {"roles": ["devcontainer_cli"]},
                "register": "looked",
            },
            {
                "run_once": True,
                "delegate_to": "localhost",
                "become": False,
                "copy": {"content": "{{ state | to_json }}", "dest": str(work / "state.json"), "mode": "0600"},
                "vars": {
                    "ansible_python_interpreter": sys.executable,
                    "release": "{{ ansible_facts.distribution_major_version }}",
                    "state": {
                        "ca_bundle": "{{ site_ca_bundle }}",
                        "ca_path": "{{ site_ca_path }}",
                        "apt_settings_path": "{{ site_apt_settings_path }}",
                        "apt_settings": "{{ site_apt_settings }}",
                        "environment": "{{ site_environment }}",
                        "variables": [
                            ["{{ site_environment_path }}", "{{ site_environment_content }}"],
                            ["{{ docker_engine_environment_path }}", "{{ docker_engine_environment_content }}"],
                        ],
                        "packages": "{{ docker_engine_packages.distribution['debian' ~ release] + ['python3-venv'] }}",
                        "drop_in": "{{ docker_engine_drop_in }}",
                        "drop_in_content": "{{ docker_engine_drop_in_content }}",
                        "node_folder": "{{ devcontainer_cli_node_folder }}",
                        "node_version": "{{ devcontainer_cli_node_version }}",
                        "cli_version": "{{ devcontainer_cli_version }}",
                        "prefix": "{{ devcontainer_cli_prefix }}",
                        "path": "{{ devcontainer_cli_path }}",
                        "link": "{{ devcontainer_cli_link }}",
                        "node": "{{ looked.looks.devcontainer_cli.node }}",
                        "command": "{{ devcontainer_cli_command }}",
                    },
                },
            },
        ],
    }
    path = work / "state.yml"
    path.write_text(json.dumps([play]))
    run([TOOLS / "ansible-playbook", "-i", inventory, path], {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")})
    return json.loads((work / "state.json").read_text())
