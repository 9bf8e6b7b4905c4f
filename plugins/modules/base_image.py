#!/usr/bin/python
"""Ansible module: a CUDA base image, made from the distribution's packages and wheels of CUDA's compiler."""

from __future__ import annotations

DOCUMENTATION = r"""
module: base_image
short_description: A CUDA base image from package registries alone
author: The provisioner authors (!UNKNOWN)
description:
  - The packages and the mirror are those of the host's own release, and pip runs on the host with the host's own
    settings, so neither pip nor a site's CA bundle is ever in the image.
  - The image and its name appear at once, when it is whole.
extends_documentation_fragment: provisioner.gpu_hosts.patient
options:
  name: {description: The image's name., type: str, required: true}
  inputs: {description: Hash of all that decides what is in the image., type: str, required: true}
  label: {description: The label that keeps this hash., type: str, required: true}
  labels:
    description:
      - "Names of the labels that say what the image was made of: archive, the sum of what was imported, which its one
        layer has; toolkit, the sum of the sums of the toolkit's files; wheels, which they came in."
    type: dict
    required: true
  toolkit: {description: The folder below wheels that has the toolkit., type: str, required: true}
  anew: {description: Make it although one from these inputs is there., type: bool, default: false}
  work: {description: A folder to make it in; removed in the end., type: path, required: true}
  distribution: {description: Whose packages to take; apt calls it the origin., type: str, required: true}
  release: {description: The release's code name., type: str, required: true}
  keyring: {description: The keys that the packages must be signed with., type: path, required: true}
  lock: {description: Text of a requirements file with CUDA's wheels and their sums., type: str, required: true}
  dpkg_options: {description: Settings of dpkg in the image., type: list, elements: str, default: []}
  hooks:
    description: Hooks of mmdebstrap once the packages are in the tree, $1. The wheels are in the folder wheels.
    type: list
    elements: str
    default: []
  environment: {description: The image's variables., type: dict, default: {}}
"""

EXAMPLES = r"""
- name: Make the base image from packages
  provisioner.gpu_hosts.base_image:
    name: provisioner/cuda:13.0-devel
    inputs: "{{ inputs }}"
    label: provisioner.inputs
    labels: {archive: provisioner.archive, toolkit: provisioner.toolkit, wheels: provisioner.wheels}
    toolkit: nvidia/cu13
    work: /var/lib/provisioner/work
    distribution: Debian
    release: bookworm
    keyring: /usr/share/keyrings/debian-archive-keyring.gpg
    lock: "{{ lookup('ansible.builtin.file', 'cuda.txt') }}"
    dpkg_options: []
    hooks: []
    environment: {CUDA_HOME: /usr/local/cuda}
"""

import hashlib
import re
import subprocess
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import variables
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import told
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.patience import REPORT, PatientModule
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.workplace import pip_install, run, workplace

LARGEST = 100 * 1024**2
MIRROR = "run 'apt-get update' on the host, mend what it complains of and run this again"
ENGINE = "check that the host has free disk and that 'docker info' works there, and run this again"


def present(module: PatientModule) -> tuple[str, str]:
    """Return the id and hash of inputs of the image that is there; empty where there is none."""
    template = '{{.Id}} {{index .Config.Labels "' + module.params["label"] + '"}}'
    command = ["docker", "image", "inspect", "--format", template, module.params["name"]]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    image_id, _unused, inputs = asked.stdout.strip().partition(" ") if asked.returncode == 0 else ("", "", "")
    return image_id, inputs


def package_sources(module: PatientModule) -> list[str]:
    """Return the lines of sources.list with which the host itself gets its release's packages, without backports."""
    origin, release, keyring = (module.params[name] for name in ("distribution", "release", "keyring"))
    line = f"$(CODENAME) deb [signed-by={keyring}] $(REPO_URI) $(RELEASE) $(COMPONENT)"
    command = ["apt-get", "indextargets", "--format", line, "Created-By: Packages", f"Origin: {origin}"]
    wanted = (release, f"{release}-updates", f"{release}-security")
    for update in (False, True):  # a host whose lists were removed knows nothing until they are there again
        if update:
            run(module, "apt-get update", ["apt-get", "--quiet", "update"], MIRROR)
        lines = run(module, "asking apt for its sources", command, MIRROR).splitlines()
        split = [line.split(" ", 1) for line in lines if "-backports " not in line]
        sources = list(dict.fromkeys(source for codename, source in split if codename in wanted))
        if sources:
            return sources
    module.fail_json(msg=f"apt knows no packages of {origin} {release} on this host; {MIRROR}")
    raise AssertionError("fail_json does not return")


def ways_to_mirrors(module: PatientModule, work: Path) -> list[str]:
    """Return the options by which mmdebstrap's apt uses the host's own proxies and CA bundle; nothing of them stays."""
    command = ["apt-config", "dump", "Acquire::http", "Acquire::https"]
    settings, place = work / "acquire.conf", "$1/etc/apt/apt.conf.d/acquire"
    settings.write_text(run(module, "asking apt for its settings", command, MIRROR), encoding="utf-8")
    return [f'--setup-hook=cp {settings} "{place}"', f'--customize-hook=rm "{place}"']


def sha256(path: Path) -> str:
    """Return a file's SHA-256, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def tree_sum(folder: Path) -> str:
    """Return the SHA-256 of what `sha256sum` prints for the files of a folder, in order of their paths.

    The same as tree_sum() of base_files.py, which sums the toolkit in an image, and none of the largest.
    """
    files = sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())
    sums = (sha256(path) if path.stat().st_size <= LARGEST else "-" for _unused, path in files)
    lines = (f"{digest}  {name}\n" for digest, (name, _unused) in zip(sums, files))  # noqa: B905 (Python 3.9)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def make(module: PatientModule, work: Path) -> None:
    """Make the image in the folder `work`."""
    params, rootfs = module.params, work / "rootfs.tar"
    options = ["--no-deps", "--no-compile", "--target", str(work / "wheels")]
    pip_install(module, work, params["lock"], "CUDA's wheels", "local_sources_base_image_build", *options)
    # In mounts of its own, which go with it: it mounts /proc and /sys in the tree, and a killed one unmounts nothing.
    bootstrap = ["unshare", "--mount", "mmdebstrap", "--variant=minbase"]
    bootstrap += [f"--dpkgopt={option}" for option in params["dpkg_options"]]
    bootstrap += [f"--customize-hook={hook}" for hook in params["hooks"]]
    bootstrap += ways_to_mirrors(module, work)
    tree = [*bootstrap, params["release"], str(rootfs), *package_sources(module)]
    # Its temporary files go with the folder, even when it is killed.
    run(module, "mmdebstrap", tree, MIRROR, cwd=str(work), environ_update={"TMPDIR": str(work)})
    made = {
        "archive": f"sha256:{sha256(rootfs)}",
        "toolkit": f"sha256:{tree_sum(work / 'wheels' / params['toolkit'])}",
        "wheels": ",".join(sorted(re.findall(r"^[\w.-]+==[^\s\\;]+", params["lock"], re.MULTILINE))),
    }
    changes = [f"--change=ENV {name}={value}" for name, value in params["environment"].items()]
    changes += [f"--change=LABEL {label}={made[what]}" for what, label in params["labels"].items()]
    changes += [f"--change=LABEL {params['label']}={params['inputs']}", '--change=CMD ["/bin/bash"]']
    message = "--message=made by provisioner from the distribution's packages and CUDA's wheels"
    run(module, "docker import", ["docker", "import", *changes, message, str(rootfs), params["name"]], ENGINE)


def main() -> None:
    """Make the image unless it is there from the same inputs."""
    text, texts = {"type": "str", "required": True}, {"type": "list", "elements": "str", "default": []}
    module = PatientModule(
        argument_spec={
            **REPORT,
            **dict.fromkeys(("name", "inputs", "label", "toolkit", "distribution", "release", "lock"), text),
            **{name: {"type": "path", "required": True} for name in ("work", "keyring")},
            **dict.fromkeys(("dpkg_options", "hooks"), texts),
            "environment": {"type": "dict", "default": {}},
            "labels": {"type": "dict", "required": True},
            "anew": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    variables.take()
    name, inputs = module.params["name"], module.params["inputs"]
    if module.check_mode:
        module.exit_json(changed=True, diff={"before": "", "after": f"{name} from inputs {inputs}\n"})
    with told(module, module.params["work"]), workplace(Path(module.params["work"])) as work:
        before, there = present(module)
        changed = there != inputs or module.params["anew"]
        if changed:
            make(module, work)
            # The one that it replaces; it stays where a container uses it or an image was built from it.
            if before:
                module.run_command(["docker", "image", "rm", before])
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
