#!/usr/bin/python3
"""Run on a lab host: makes signed apt repositories under /srv/repository, for tests, and prints the fingerprints of the
two keys. All packages in them are stand-ins, and their descriptions say so.

    toolkit/deb/ARCH      the NVIDIA Container Toolkit's four, at versions 1.0-1 and 2.0-1, signed with the first key
    stranger/deb/ARCH     the same, signed with the second key
    docker/linux/debian   Docker's, with suite and component, signed with the first key; with the argument `engine`
                          its docker-ce is Debian's docker.io under that name
    one.asc, two.gpg      the keys
"""

import hashlib
import os
import shutil
import subprocess
import sys
from email.utils import formatdate
from pathlib import Path

ROOT = Path("/srv/repository")
ARCH = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
CODENAME = next(
    line.split("=")[1].strip()
    for line in Path("/etc/os-release").read_text().splitlines()
    if "VERSION_CODENAME" in line
)
PROGRAMS = {
    "nvidia-container-runtime": 'exec runc "$@"\n',
    # As `nvidia-ctk cdi generate --output=FILE` would: a description that names a library of the driver.
    "nvidia-ctk": (
        '[ "$1 $2" = "cdi generate" ] || exit 2\n'
        "version=$(cat /run/driver-version)\n"
        "printf 'cdiVersion: 0.5.0\\nkind: nvidia.com/gpu\\ndevices:\\n- name: all\\n  containerEdits:\\n"
        '    env: [LIBRARY=libcuda.so.%s]\\n\' "$version" >"${3#--output=}"\n'
    ),
}
TOOLKIT = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)
DOCKER = ("docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def build(name, version, folder, programs=()):
    """Make a package in `folder`; gives its file."""
    tree = ROOT / "package"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: {ARCH}\nMaintainer: Nobody <nobody@localhost>\n"
        f"Description: stand-in for {name}, made by a test\n"
    )
    for program in programs:
        path = tree / "usr/bin" / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n# A stand-in, made by a test.\n" + PROGRAMS[program])
        path.chmod(0o755)
    return pack(tree, folder / f"{name}_{version}_{ARCH}.deb")


def pack(tree, file):
    """Make a package of a tree, which goes."""
    run("dpkg-deb", "--build", "--root-owner-group", "-Znone", str(tree), str(file))
    shutil.rmtree(tree)
    return file


def renamed(package, name, version, folder):
    """Make a package in `folder` that is one of Debian's under another name; gives its file."""
    run("apt-get", "--quiet", "-o", "APT::Sandbox::User=root", "download", package)
    (original,) = Path.cwd().glob(f"{package}_*.deb")
    tree = ROOT / "package"
    run("dpkg-deb", "--raw-extract", str(original), str(tree))
    original.unlink()
    control = tree / "DEBIAN/control"
    lines = [line for line in control.read_text().splitlines() if not line.startswith("Conflicts:")]
    fields = {"Package:": f"Package: {name}", "Version:": f"Version: {version}"}
    control.write_text("".join(f"{fields.get(line.split(' ')[0], line)}\n" for line in lines))
    return pack(tree, folder / f"{name}_{version}_{ARCH}.deb")


def entry(file, root):
    content = file.read_bytes()
    return (
        run("dpkg-deb", "--field", str(file)) + f"Filename: {os.path.relpath(file, root)}\nSize: {len(content)}\n"
        f"SHA256: {hashlib.sha256(content).hexdigest()}\n\n"
    )


def release(folder, index, key, **fields):
    """Sign a Release for the one file `index` below `folder`."""
    content = (folder / index).read_bytes()
    lines = [f"{name}: {value}" for name, value in {**fields, "Date": formatdate(usegmt=True)}.items()]
    text = "\n".join([*lines, "SHA256:", f" {hashlib.sha256(content).hexdigest()} {len(content)} {index}", ""])
    (folder / "Release").write_text(text)
    sign = ("gpg", "--batch", "--yes", "--local-user", key, "--clearsign")
    run(*sign, "--output", str(folder / "InRelease"), str(folder / "Release"))


def main():
    fingerprints = []
    for name in ("one", "two"):
        run("gpg", "--batch", "--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", "never")
        listed = run("gpg", "--with-colons", "--list-keys", name).splitlines()
        fingerprints.append(next(line.split(":")[9] for line in listed if line.startswith("fpr")))
    flat = ROOT / "toolkit/deb" / ARCH
    flat.mkdir(parents=True)
    files = [
        build(name, version, flat, PROGRAMS if name == TOOLKIT[0] else ())
        for name in TOOLKIT
        for version in ("1.0-1", "2.0-1")
    ]
    (flat / "Packages").write_text("".join(entry(file, flat) for file in files))
    other = ROOT / "stranger/deb" / ARCH
    shutil.copytree(flat, other)
    release(flat, "Packages", fingerprints[0])
    release(other, "Packages", fingerprints[1])

    docker = ROOT / "docker/linux/debian"
    suite = docker / "dists" / CODENAME
    index = suite / f"stable/binary-{ARCH}/Packages"
    index.parent.mkdir(parents=True)
    (docker / "pool").mkdir()
    files = [build(name, "5:99.0-1", docker / "pool") for name in DOCKER]
    if "engine" in sys.argv:
        files.append(renamed("docker.io", "docker-ce", "5:99.0-2", docker / "pool"))
    index.write_text("".join(entry(file, docker) for file in files))
    fields = {"Suite": CODENAME, "Codename": CODENAME, "Components": "stable", "Architectures": ARCH}
    release(suite, f"stable/binary-{ARCH}/Packages", fingerprints[0], **fields)

    (ROOT / "one.asc").write_text(run("gpg", "--armor", "--export", fingerprints[0]))
    run("gpg", "--output", str(ROOT / "two.gpg"), "--export", fingerprints[1])
    print(*fingerprints)


main()
