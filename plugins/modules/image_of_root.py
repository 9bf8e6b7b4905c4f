#!/usr/bin/python
"""Ansible module: a base image of a root file system that the site has."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_of_root
short_description: A base image of a root file system, a folder's or an archive's
author: The provisioner authors (!UNKNOWN)
description:
  - A folder is read as it is, on its own file system alone, so that of what is mounted in it only the empty folder is
    in the image. Nothing of it is written to disk twice.
  - The image and its name appear at once, when it is whole.
options:
  name: {description: The image's name., type: str, required: true}
  source: {description: "A folder, or an archive that tar reads.", type: path, required: true}
  exclude: {description: Patterns of a folder's paths that are left out., type: list, elements: str, default: []}
  inputs: {description: Hash of all that decides what is in the image., type: str, required: true}
  label: {description: The label that keeps this hash., type: str, required: true}
  environment: {description: The image's variables., type: dict, default: {}}
  work: {description: A folder whose lock lets one make it at a time., type: path, required: true}
"""

EXAMPLES = r"""
- name: Make a base image of the host itself
  provisioner.gpu_hosts.image_of_root:
    name: site/base:1
    source: /
    exclude: [./opt/*]
    inputs: "{{ inputs }}"
    label: provisioner.inputs
    environment: {CUDA_HOME: /usr/local/cuda}
    work: /var/lib/provisioner/work
"""

import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import told
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.workplace import piped, workplace

ENGINE = "check that the host has free disk and that 'docker info' works there, and run this again"
# A file that was written to while it was read.
TAR_CHANGED = 1


def make(params: dict) -> str:
    """Make the image; return why it could not be made, in one line, '' where it was."""
    changes = [f"--change=ENV {name}={value}" for name, value in params["environment"].items()]
    changes += [f"--change=LABEL {params['label']}={params['inputs']}", '--change=CMD ["/bin/bash"]']
    words = ["docker", "import", *changes, f"--message=made by provisioner of {params['source']}"]
    source = Path(params["source"])
    if not source.is_dir():
        return failed(subprocess.run([*words, source, params["name"]], capture_output=True, text=True, check=False))
    excluded = [f"--exclude={pattern}" for pattern in params["exclude"]]
    tar = ["tar", "--create", "--one-file-system", "--numeric-owner", "--anchored", *excluded, "-C", source, "."]
    code, done = piped(tar, [*words, "-", params["name"]])
    if code not in (0, TAR_CHANGED) and not done.returncode:
        return f"reading {source} failed: tar ended with {code}; see what it cannot read, and run again"
    return failed(done)


def failed(done: subprocess.CompletedProcess) -> str:
    """Return why docker import failed; '' where it did not."""
    if not done.returncode:
        return ""
    said = (done.stderr or done.stdout).strip().splitlines()
    return f"docker import failed: {said[-1] if said else f'exit code {done.returncode}'}; {ENGINE}"


def main() -> None:
    """Make the image."""
    module = AnsibleModule(
        argument_spec={
            **{key: {"type": "str", "required": True} for key in ("name", "inputs", "label")},
            **{key: {"type": "path", "required": True} for key in ("source", "work")},
            "exclude": {"type": "list", "elements": "str", "default": []},
            "environment": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    if not module.check_mode:
        with told(module, module.params["work"]), workplace(Path(module.params["work"])):
            why = make(module.params)
            if why:
                module.fail_json(msg=why)
    after = f"{module.params['name']} of {module.params['source']}\n"
    module.exit_json(changed=True, diff={"before": "", "after": after})


if __name__ == "__main__":
    main()
