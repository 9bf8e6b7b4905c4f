#!/usr/bin/python
"""Ansible module: one of npm's packages in a folder of its own, at one version."""

from __future__ import annotations

DOCUMENTATION = r"""
module: npm_package
short_description: One of npm's packages in a folder of its own, at one version
description:
  - Installs it anew, whatever is left there of another version, or of one that is broken. Everybody may read it.
  - Registry, proxies, certificates and logins are those of root's own npm settings. Those that would have it elsewhere,
    or not at all (C(global), C(location), C(dry-run)), do not count.
options:
  npm: {description: The words that run npm., type: list, elements: str, required: true}
  folder: {description: Where it is installed., type: path, required: true}
  name: {description: The package's name., type: str, required: true}
  version: {description: Its version., type: str, required: true}
"""

import json
import os
import shutil
from pathlib import Path

from ansible.module_utils import provisioner_variables as variables
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.provisioner_installers import failure

# What root's .npmrc says of these is for other uses of npm.
HERE = ["--no-global", "--location=project", "--no-dry-run"]
BRIEF = ["--save-exact", "--no-audit", "--no-fund", "--loglevel=error"]


def version_in(folder: Path, name: str) -> str:
    """The version of the package that is in `folder`; '' where there is none."""
    try:
        return str(json.loads((folder / "node_modules" / name / "package.json").read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError):
        return ""


def main() -> None:
    """Have it there."""
    module = AnsibleModule(
        argument_spec={
            "npm": {"type": "list", "elements": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    variables.take()
    npm, folder, name, version = (module.params[key] for key in ("npm", "folder", "name", "version"))
    wanted, folder = f"{name}@{version}", Path(folder)
    if module.check_mode:
        module.exit_json(changed=True)
    os.umask(0o022)
    try:
        # npm believes its own notes about what it installed; without them it looks.
        if (folder / "node_modules").exists():
            shutil.rmtree(folder / "node_modules")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}; mend that on the host and run this again")
    code, out, errors = module.run_command([*npm, "install", "--prefix", str(folder), *HERE, *BRIEF, wanted])
    if code:
        module.fail_json(msg=failure(wanted, "npm", errors or out, "devcontainer_cli_version"), stderr=errors)
    there = version_in(folder, name)
    if there != version:
        module.fail_json(
            msg=f"npm says that it installed {wanted}, and {there or 'none'} is in {folder}; a setting of root's npm "
            "sends it elsewhere: see 'npm config list' there, mend it and run this again"
        )
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
