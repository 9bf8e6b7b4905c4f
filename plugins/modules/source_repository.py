#!/usr/bin/python
"""Ansible module: a bare git repository with one commit, a package's source release."""

from __future__ import annotations

DOCUMENTATION = r"""
module: source_repository
short_description: A bare git repository made from a source release on the host's package index
author: The provisioner authors (!UNKNOWN)
description:
  - Author, dates and message are fixed, so the commit's id is the same on every host.
  - The repository appears at once, when it is whole.
extends_documentation_fragment: provisioner.gpu_hosts.patient
options:
  path: {description: Where the repository is to be., type: path, required: true}
  inputs: {description: Hash of all that decides what is in it., type: str, required: true}
  work: {description: A folder to make it in; removed in the end., type: path, required: true}
  package: {description: The package's name., type: str, required: true}
  version: {description: Its version., type: str, required: true}
  sha256: {description: Checksum of the release's archive., type: str, required: true}
  archive: {description: "The release's archive on the host, where it need not be fetched.", type: path}
  finder: {description: Requirement of the tool that finds a source release., type: str, required: true}
  finder_lock:
    description: Text of a requirements file with that, what it depends on and their sums.
    type: str
    default: ""
  commit_environment: {description: git's variables for the commit., type: dict, required: true}
"""

EXAMPLES = r"""
- name: Make the repository from the source release
  provisioner.gpu_hosts.source_repository:
    path: /var/lib/provisioner/sources/xformers.git
    inputs: "{{ inputs }}"
    work: /var/lib/provisioner/work
    package: xformers
    version: 0.0.35
    sha256: f7fc183a58e4bf0e2ae339a18fb1b1d4a37854c0f2545b4f360fef001646ab76
    finder: unearth==0.19.0
    finder_lock: "{{ lookup('ansible.builtin.file', 'finder.txt') }}"
    commit_environment: {GIT_AUTHOR_NAME: xformers}
"""

import hashlib
import re
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import variables
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import told
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.local_sources import repository_inputs
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.patience import REPORT, PatientModule
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.workplace import pip_install, put, run, workplace

NETWORK = "check that the host reaches its package index (site_ca_bundle, site_https_proxy) and run this again"
DISK = "check that the host has free disk and run this again"


def package_index(module: PatientModule, pip: str) -> str:
    """Return the URL of the index that the host's pip is set to; empty where it is left at pip's own default."""
    settings = run(module, "asking pip for its settings", [pip, "config", "list"], DISK)
    # One from the environment wins over one from a file.
    urls = dict(re.findall(r"^(:env:|global)\.index-url='(.*)'$", settings, re.MULTILINE))
    return str(urls.get(":env:") or urls.get("global") or "")


def fetch(module: PatientModule, work: Path) -> Path:
    """Fetch the release into `work` and give its archive.

    pip cannot do this: to fetch a source release it runs the release's own build, which may need far more.
    """
    params, pip = module.params, str(work / "venv/bin/pip")
    pip_install(module, work, params["finder_lock"], params["finder"], "local_sources_finder")
    find = [str(work / "venv/bin/unearth"), "--no-binary", "--download", str(work)]
    index = package_index(module, pip)
    find += ["--index-url", index] if index else []
    release = f"{params['package']}=={params['version']}"
    run(module, f"fetching the source of {release}", [*find, release], NETWORK)
    return work / f"{params['package']}-{params['version']}.tar.gz"


def checked(module: PatientModule, archive: Path) -> Path:
    """Return the archive where its sum is right."""
    found = hashlib.sha256(archive.read_bytes()).hexdigest() if archive.is_file() else "none"
    if found != module.params["sha256"]:
        module.fail_json(
            msg=f"the sha256 of {archive.name} is {found}, not {module.params['sha256']}; "
            "find out why before you change the one in the profile"
        )
    return archive


def make(module: PatientModule, work: Path) -> None:
    """Make the repository in the folder `work` and put it in its place."""
    params, bare = module.params, work / "bare.git"
    archive = checked(module, Path(params["archive"]) if params["archive"] else fetch(module, work))
    run(module, "unpacking", ["tar", "--no-same-owner", "-xzf", str(archive), "-C", str(work)], DISK)
    tree = work / archive.name.removesuffix(".tar.gz")
    for arguments in (
        ["-C", str(tree), "-c", "init.defaultBranch=main", "init", "--quiet"],
        # Every file of the release, those that a .gitignore names too.
        ["-C", str(tree), "-c", "core.autocrlf=false", "add", "--all", "--force"],
        ["-C", str(tree), "commit", "--quiet", f"--message={params['package']} {params['version']}"],
        ["clone", "--quiet", "--bare", "--no-local", str(tree), str(bare)],
        ["--git-dir", str(bare), "remote", "remove", "origin"],
        ["--git-dir", str(bare), "config", "provisioner.inputs", params["inputs"]],
    ):
        run(module, "git", ["git", *arguments], DISK, environ_update=params["commit_environment"])
    put(bare, Path(params["path"]))


def main() -> None:
    """Make the repository unless it is there from the same inputs."""
    text = {"type": "str", "required": True}
    module = PatientModule(
        argument_spec={
            **REPORT,
            **dict.fromkeys(("inputs", "package", "version", "sha256", "finder"), text),
            **{name: {"type": "path", "required": True} for name in ("path", "work")},
            "archive": {"type": "path"},
            "finder_lock": {"type": "str", "default": ""},
            "commit_environment": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    path, inputs = module.params["path"], module.params["inputs"]
    if module.check_mode:
        module.exit_json(changed=True, diff={"before": "", "after": f"{path} from inputs {inputs}\n"})
    variables.take()
    with told(module, module.params["work"]), workplace(Path(module.params["work"])) as work:
        there = repository_inputs(path)
        if there != inputs:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            make(module, work)
    module.exit_json(changed=there != inputs)


if __name__ == "__main__":
    main()
