#!/usr/bin/python
"""Ansible module: have DKMS build NVIDIA's module for a kernel, from the sources that its package left."""

from __future__ import annotations

DOCUMENTATION = r"""
module: dkms_module
short_description: NVIDIA's module, built and installed for a kernel
author: The provisioner authors (!UNKNOWN)
description:
  - Does nothing where it is built for that kernel already.
extends_documentation_fragment: provisioner.gpu_hosts.patient
options:
  kernel:
    description: The kernel's release, as a folder of /lib/modules is called.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Have the module built for the kernel that runs
  provisioner.gpu_hosts.dkms_module:
    kernel: 6.1.0-40-amd64
"""

RETURN = r"""
module:
  description: Its name and version, as DKMS has them.
  type: str
  returned: success
"""

import re
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.patience import REPORT, PatientModule


def package(sources: Path) -> tuple[str, str] | None:
    """Return name and version, as DKMS has them, of the folder in `sources` that builds the driver's module."""
    for path in sorted(sources.glob("nvidia*/dkms.conf"), reverse=True):
        text = path.read_text()
        # Others' folders are called so, too: nvidia-fs, say.
        if re.search(r'^BUILT_MODULE_NAME\[\d+\]="?nvidia"?\s*$', text, re.MULTILINE):
            fields = dict(re.findall(r'^PACKAGE_(NAME|VERSION)="?([^"\n]+)', text, re.MULTILINE))
            return fields["NAME"], fields["VERSION"]
    return None


def main() -> None:
    """Build and install, or say why not."""
    module = PatientModule(
        argument_spec={**REPORT, "kernel": {"type": "str", "required": True}}, supports_check_mode=True
    )
    found = package(Path("/usr/src"))
    if found is None:
        module.fail_json(msg="/usr/src has no NVIDIA module for DKMS; reinstall the package of the driver's module")
    name, version = found
    kernel = module.params["kernel"]
    if not module.check_mode:
        code, out, err = module.run_command(["dkms", "install", "--force", "-m", name, "-v", version, "-k", kernel])
        if code:
            said = (err or out).strip().splitlines() or ["no message"]
            module.fail_json(
                msg=f"DKMS cannot build {name} {version} for kernel {kernel}: {said[0]}; "
                f"read /var/lib/dkms/{name}/{version}/build/make.log on the host"
            )
    module.exit_json(changed=True, module=f"{name}/{version}")


if __name__ == "__main__":
    main()
