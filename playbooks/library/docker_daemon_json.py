#!/usr/bin/python
"""Ansible module: runtimes and features in Docker's daemon.json, with everything else there kept."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_daemon_json
short_description: Runtimes and features in Docker's daemon.json
description:
  - What a site has in the file stays. A file that cannot be read as JSON, and settings that dockerd itself refuses,
    are an error, and the file stays as it is.
options:
  path: {description: The file., type: path, default: /etc/docker/daemon.json}
  runtimes: {description: Runtimes by name, with path and more as dockerd takes them., type: dict, default: {}}
  features: {description: Features by name; one that the site has set, either way, stays., type: dict, default: {}}
"""

RETURN = r"""
path: {description: The file., type: path, returned: always}
"""

import os
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.provisioner_docker_daemon import BrokenSettingsError, merged, parse, refusal, rendered
from ansible.module_utils.provisioner_host import Host

HAND = "the file stays as it is: mend it and run this again"


def refused(host: Host, path: str) -> str:
    """Why dockerd would not start with the settings in `path`; empty where it would, or is too old to say (20.10)."""
    code, out, errors = host.run("dockerd", "--validate", "--config-file", path)
    said = [line for line in (errors + out).splitlines() if line.strip()]
    if code in {0, 124, 127} or any("unknown flag" in line for line in said):
        return ""
    return said[-1] if said else f"exit code {code}"


def main() -> None:
    """Have the settings in the file."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/etc/docker/daemon.json"},
            "runtimes": {"type": "dict", "default": {}},
            "features": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    host, shown = Host(), module.params["path"]
    path = Path(os.path.realpath(shown))  # a link to a site's own file stays one
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        settings = parse(before)
    except (BrokenSettingsError, UnicodeDecodeError) as error:
        module.fail_json(msg=refusal(shown, error))
    target = merged(settings, module.params["runtimes"], module.params["features"], host.which)
    if target == settings:
        module.exit_json(changed=False, path=shown)
    after = rendered(target, before)
    if not module.check_mode:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".daemon.json-")
        temporary = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(after)
        complaint = refused(host, name)
        if complaint:
            temporary.unlink()
            module.fail_json(msg=f"dockerd refuses {shown} with what is to be added: {complaint}; {HAND}")
        temporary.chmod(0o644)
        module.atomic_move(name, str(path))  # keeps mode, owner and labels of a file that was there
    module.exit_json(changed=True, path=shown, diff={"before": before, "after": after})


if __name__ == "__main__":
    main()
