#!/usr/bin/python
"""Ansible module: a virtual environment of its own for one of PyPI's packages."""

from __future__ import annotations

DOCUMENTATION = r"""
module: python_venv
short_description: A virtual environment of its own for one package at one version
description:
  - Installs it anew where a file of it is missing or was changed. What it depends on is left out.
  - Everybody may read it.
  - Index, proxies and certificates are those of root's own pip settings.
  - Calls for one folder take turns, so one that comes later waits for what one before it began, in the background too.
options:
  folder: {description: Where it is made., type: path, required: true}
  name: {description: The package's name., type: str, required: true}
  version: {description: Its version., type: str, required: true}
  setting: {description: What a person mends where there is no such version., type: str, default: the version}
"""

import base64
import csv
import fcntl
import hashlib
import importlib.metadata
import os
from pathlib import Path

from ansible.module_utils import provisioner_variables as variables
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.provisioner_installers import ANY_USER, failure


def is_there(folder: Path, name: str, version: str) -> bool:
    """Whether the environment has the package at this version, every file as its RECORD has it."""
    places = [str(place) for place in folder.glob("lib/python3*/site-packages")]
    return any(
        (package.metadata["Name"], package.version) == (name, version) and is_intact(package)
        for package in importlib.metadata.distributions(path=places)
    )


def is_intact(package: importlib.metadata.Distribution) -> bool:
    """Whether each file has the sum that the package's RECORD has; what was compiled there has none.

    RECORD is read here: from Python 3.12 on, `package.files` leaves out what is missing.
    """
    for row in csv.reader((package.read_text("RECORD") or "").splitlines()):
        path, digest = (*row, "", "")[:2]
        kind, _, value = digest.partition("=")
        try:
            found = hashlib.new(kind, Path(package.locate_file(path)).read_bytes()).digest() if kind else b""
        except OSError:
            return False
        if base64.urlsafe_b64encode(found).decode().rstrip("=") != value:
            return False
    return True


def run(module: AnsibleModule, command: list[str], wanted: str) -> None:
    """Run `command`; where it fails the module fails, in one line."""
    code, out, errors = module.run_command(command, environ_update=ANY_USER)
    if code:
        module.fail_json(msg=failure(wanted, "pip", errors or out, module.params["setting"]), stderr=errors)


def main() -> None:
    """Have it there."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "setting": {"type": "str", "default": "the version"},
        },
        supports_check_mode=True,
    )
    variables.take()
    folder, name, version = (module.params[key] for key in ("folder", "name", "version"))
    if module.check_mode:
        module.exit_json(changed=not is_there(Path(folder), name, version))
    os.umask(0o022)
    Path(folder).parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_there(Path(folder), name, version):
            module.exit_json(changed=False)
        pip, wanted = f"{folder}/bin/pip", f"{name}=={version}"
        if not Path(pip).exists():
            run(module, ["/usr/bin/python3", "-m", "venv", folder], wanted)
        options = ["--no-cache-dir", "--disable-pip-version-check", "--no-deps", "--force-reinstall"]
        run(module, [pip, "install", *options, wanted], wanted)
        if not is_there(Path(folder), name, version):
            module.fail_json(
                msg=f"pip says that it installed {wanted}, and it is not in {folder}; a setting of root's pip sends it "
                "elsewhere: see 'pip config list' there, mend it and run this again"
            )
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
