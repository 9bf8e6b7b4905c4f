#!/usr/bin/python3
"""A STAND-IN for NVIDIA's container runtime, for tests: runc, with the GPUs put into the containers that ask for them.

NVIDIA's toolkit is in no registry that the tests reach. The Docker engine takes --gpus where there is a program
nvidia-container-runtime-hook, and names it in the container's specification; by that this one knows who asked. It is
no part of the product, knows one kind of machine, whose driver is in one folder, and gives all GPUs or none.
"""

import json
import os
import shutil
import stat
import sys
from pathlib import Path

HOOK = "nvidia-container-runtime-hook"
DRIVER = "/usr/local/nvidia"


def with_gpus(specification: dict) -> dict:
    """Return a container's specification with the host's GPU devices and the folder of its driver."""
    linux = specification["linux"]
    for path in sorted(Path("/dev").glob("nvidia*")):
        status = path.stat()
        if not stat.S_ISCHR(status.st_mode):
            continue
        number = {"type": "c", "major": os.major(status.st_rdev), "minor": os.minor(status.st_rdev)}
        linux.setdefault("devices", []).append({"path": str(path), "fileMode": 0o666, "uid": 0, "gid": 0, **number})
        allowed = linux.setdefault("resources", {}).setdefault("devices", [])
        allowed.append({"allow": True, "access": "rwm", **number})
    bind = {"type": "bind", "source": DRIVER, "destination": DRIVER, "options": ["rbind", "ro", "nosuid", "nodev"]}
    specification.setdefault("mounts", []).append(bind)
    return specification


def main(words: list[str]) -> None:
    """Do what runc does; before it creates a container, see whether that asked for GPUs."""
    if "create" in words and "--bundle" in words:
        path = Path(words[words.index("--bundle") + 1], "config.json")
        specification = json.loads(path.read_text())
        hooks = specification.get("hooks", {}).get("prestart", [])
        asked = [hook for hook in hooks if hook["path"].endswith(HOOK)]
        if asked:
            specification["hooks"]["prestart"] = [hook for hook in hooks if hook not in asked]
            path.write_text(json.dumps(with_gpus(specification)))
    runc = shutil.which("runc") or "/usr/sbin/runc"
    os.execv(runc, ["runc", *words])  # noqa: S606 - it is to take this process's place


if __name__ == "__main__":
    main(sys.argv[1:])
