#!/usr/bin/python
"""Ansible module: one of npm's packages in a folder of its own, at one version."""

from __future__ import annotations

DOCUMENTATION = r"""
module: npm_package
short_description: One of npm's packages in a folder of its own, at one version
author: The provisioner authors (!UNKNOWN)
description:
  - Installs it anew, whatever is left there of another version, or of one that is broken. Everybody may read it.
  - Only what has the sums of the lock; where it cannot be had, what was there stays.
  - Registry, proxies, certificates and logins are those of root's own npm settings. Those that would have it elsewhere,
    or not at all (C(global), C(location), C(dry-run)), do not count.
extends_documentation_fragment: provisioner.gpu_hosts.patient
options:
  npm: {description: The words that run npm., type: list, elements: str, required: true}
  folder: {description: Where it is installed., type: path, required: true}
  name: {description: The package's name., type: str, required: true}
  version: {description: Its version., type: str, required: true}
  lock: {description: The text of a package-lock.json with its sum., type: str, required: true}
  archives: {description: A folder of archives as C(npm pack) names them; no registry is asked then., type: path}
"""

EXAMPLES = r"""
- name: Install the Dev Container CLI
  provisioner.gpu_hosts.npm_package:
    npm: [/usr/bin/npm]
    folder: /opt/provisioner/devcontainer-cli
    name: "@devcontainers/cli"
    version: 0.89.0
    lock: "{{ lookup('ansible.builtin.file', 'package-lock.json') }}"
"""

import json
import os
import shutil
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import variables
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.devcontainer_cli import CLI_BYTES
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import obstacle
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import refuse_if, told
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.installers import NO_CACHE, failure
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.patience import REPORT, PatientModule

# What root's .npmrc says of these is for other uses of npm.
HERE = ["--no-global", "--location=project", "--no-dry-run"]
BRIEF = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]


def version_in(folder: Path, name: str) -> str:
    """Return the version of the package that is in `folder`; '' where there is none."""
    try:
        return str(json.loads((folder / "node_modules" / name / "package.json").read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError):
        return ""


def from_archives(lock: str, folder: str) -> str:
    """Return a lock by which npm takes each package from an archive of `npm pack` in `folder`; the sums stay."""
    found = json.loads(lock)
    for place, package in found["packages"].items():
        if place:
            name = place.partition("node_modules/")[2].lstrip("@").replace("/", "-")
            package["resolved"] = f"file://{folder}/{name}-{package['version']}.tgz"
    return json.dumps(found)


def begin(folder: Path, lock: str) -> None:
    """Have the lock, and the package.json that it is of, in `folder`, and nothing else. Raise OSError."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    wanted = json.loads(lock)["packages"][""]
    (folder / "package.json").write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
    (folder / "package-lock.json").write_text(lock, encoding="utf-8")


def put(made: Path, place: Path) -> None:
    """Have what is in the folder `made` in the folder `place`, instead of what is there of the same names."""
    for each in made.iterdir():
        there = place / each.name
        if there.is_dir() and not there.is_symlink():
            shutil.rmtree(there)
        each.replace(there)


def main() -> None:
    """Have it there."""
    module = PatientModule(
        argument_spec={
            **REPORT,
            "npm": {"type": "list", "elements": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "lock": {"type": "str", "required": True},
            "archives": {"type": "path"},
        },
        supports_check_mode=True,
    )
    variables.take()
    npm, folder = module.params["npm"], Path(module.params["folder"])
    new = folder / ".new"
    lock, archives = module.params["lock"], module.params["archives"]
    offline = ["--offline"] if archives else []
    if module.check_mode:
        module.exit_json(changed=True)
    os.umask(0o022)
    with told(module, folder):
        refuse_if(obstacle(folder, "directory"))
        try:
            begin(new, from_archives(lock, archives) if archives else lock)
            refuse_if(installed(module, [*npm, "ci", "--prefix", str(new), *HERE, *BRIEF, *offline], new))
            put(new, folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    module.exit_json(changed=True)


def installed(module: PatientModule, command: list[str], folder: Path) -> str:
    """Run npm, and say why the package is not in `folder` then; '' where it is."""
    name, version = module.params["name"], module.params["version"]
    wanted = f"{name}@{version}"
    code, out, errors = module.run_command(command, environ_update=NO_CACHE)
    if code:
        said, places = errors or out, (folder, Path.home())
        return failure(wanted, "npm", said, "devcontainer_cli_version", *places, needed=CLI_BYTES)
    there = version_in(folder, name)
    if there == version:
        return ""
    return (
        f"npm says that it installed {wanted}, and {there or 'none'} is in {folder}; a setting of root's npm "
        "sends it elsewhere: see 'npm config list' there, mend it and run this again"
    )


if __name__ == "__main__":
    main()
