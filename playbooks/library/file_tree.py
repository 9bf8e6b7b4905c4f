#!/usr/bin/python
"""Ansible module: many small files, written in one call. The action of this name reads them on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: file_tree
short_description: Many small text files in one round trip
description:
  - Each file appears whole or not at all. Other files in the folder are left alone.
options:
  src:
    description: A folder among the role's files, which is laid down whole.
    type: str
  texts:
    description: Path, below O(dest), and content of further files; they are written first.
    type: dict
  copies:
    description: Path, below O(dest), and a file on the host that it is to be like.
    type: dict
    default: {}
  dest:
    description: The folder on the host; it is made where it is missing.
    type: path
    required: true
  absent:
    description: Paths below O(dest) that are removed.
    type: list
    elements: str
    default: []
  files:
    description: What the action makes of O(src) and O(texts). Not for playbooks.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Lay down the scenario
  file_tree:
    src: xformers-devcontainer
    dest: /var/lib/provisioner/scenario_a/xformers-devcontainer
    texts: {benchmarking/scenario_a.env: "MAX_JOBS=8\n"}
"""

RETURN = r"""
changed_files:
  description: Paths below O(dest) that were written or removed.
  type: list
  returned: always
"""

import os
import stat
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


def state(path: Path) -> tuple[str | None, str | None]:
    """Content and mode ("0644") of the file at `path`; (None, None) where it is none, or not of who runs this."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            return None, None
        return path.read_bytes().decode(errors="replace"), f"{stat.S_IMODE(status.st_mode):04o}"
    except OSError:
        return None, None


def write(path: Path, content: str, mode: str) -> None:
    """Put the file there at once; raises OSError and leaves what was there."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), int(mode, 8))
        Path(part).replace(path)
    except OSError:
        Path(part).unlink()
        raise


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "required": True},
            "files": {"type": "list", "elements": "dict", "default": []},
            "copies": {"type": "dict", "default": {}},
            "absent": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    dest = Path(module.params["dest"])
    changes, diff, path = [], [], dest
    os.umask(0o022)
    try:
        files = module.params["files"]
        for name, path in module.params["copies"].items():
            if module.check_mode and not Path(path).exists():  # what would have made it was only checked, too
                changes.append(name)
                continue
            files.append({"path": name, "content": Path(path).read_text(encoding="utf-8"), "mode": "0644"})
        for file in files:
            path = dest / file["path"]
            before, mode = state(path)
            if (before, mode) == (file["content"], file["mode"]):
                continue
            changes.append(file["path"])
            names = {"before_header": f"{path} ({mode or 'absent'})", "after_header": f"{path} ({file['mode']})"}
            diff.append({**names, "before": before or "", "after": file["content"]})
            if not module.check_mode:
                write(path, file["content"], file["mode"])
        for name in module.params["absent"]:
            if os.path.lexists(dest / name):
                changes.append(name)
                diff.append({"before_header": str(dest / name), "after_header": "absent", "before": "", "after": ""})
                if not module.check_mode:
                    (dest / name).unlink()
    except OSError as error:
        message = f"{error.filename or path}: {error.strerror}; mend that on the host and run this again"
        module.fail_json(msg=message, changed_files=changes)
    module.exit_json(changed=bool(changes), changed_files=changes, diff=diff)


if __name__ == "__main__":
    main()
