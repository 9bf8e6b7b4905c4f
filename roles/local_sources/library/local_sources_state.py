#!/usr/bin/python
"""Ansible module: from which inputs a base image and a git repository were made. Changes nothing."""

from __future__ import annotations

import shutil

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: local_sources_state
short_description: From which inputs a base image and a git repository were made
options:
  image: {description: The image's name., type: str, required: true}
  label: {description: The image's label that holds the hash of its inputs., type: str, required: true}
  repository: {description: Path of the bare git repository., type: path, required: true}
"""

RETURN = r"""
image: {description: Hash of the image's inputs; empty where there is no such image., type: str, returned: always}
repository: {description: Hash of the repository's inputs; empty where there is none., type: str, returned: always}
"""


def ask(module: AnsibleModule, command: list[str]) -> str:
    """What `command` prints, without the line's end; empty where it fails or is not installed."""
    if not shutil.which(command[0]):
        return ""
    code, out, _ = module.run_command(command)
    return out.strip() if code == 0 else ""


def main() -> None:
    """Look, and say what is there."""
    module = AnsibleModule(
        argument_spec={
            "image": {"type": "str", "required": True},
            "label": {"type": "str", "required": True},
            "repository": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    template = '{{index .Config.Labels "' + module.params["label"] + '"}}'
    config = module.params["repository"] + "/config"
    module.exit_json(
        changed=False,
        image=ask(module, ["docker", "image", "inspect", "--format", template, module.params["image"]]),
        repository=ask(module, ["git", "config", "--file", config, "--get", "provisioner.inputs"]),
    )


if __name__ == "__main__":
    main()
