"""Makes and checks a bundle: one archive of what a host without a network needs, described in `bundle_format`.

Every file in it is pinned: the wheels by a lock with hashes beside the profile, the source release by the profile
itself, the Dev Container CLI and its Node by the locks of their role. So the same call gives the same bytes, on any
day and any machine.
"""

import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import yaml

from provisioner.ansible.environment import pip_index
from provisioner.ansible.inputs import RUNTIMES, profile_data
from provisioner.errors import Exit, ProvisionerError
from provisioner.system.paths import ansible_dir
from provisioner.text.suggestions import did_you_mean

__all__ = ["DEFAULT_PLATFORM", "PROFILE", "check", "default_path", "make", "misfit"]

PROFILE = "offline"
DEFAULT_PLATFORM = "manylinux_2_28_x86_64"
"""Any Linux with glibc 2.28 or newer, which all supported distributions have."""
_PLATFORM = re.compile(r"manylinux_2_(\d{1,2})_(x86_64|aarch64)\Z")
_OLD_NAMES = {"x86_64": ("manylinux2014", "manylinux2010", "manylinux1"), "aarch64": ("manylinux2014",)}


def default_path(state: Path) -> Path:
    """Return where the profile looks for the bundle unless `local_sources_bundle` says otherwise."""
    return state / "bundle.tar"


def make(out: Path, python: str, platform: str, runtime: str | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Fetch everything, check it, write the archive to `out` and give its manifest.

    `python` is the version on the hosts, "3.12"; `platform` a tag as wheels have it. One for the `runtime`
    devcontainer has Node and the Dev Container CLI as well, and serves native too; None is for the profile's runtime.
    Raise ProvisionerError.
    """
    tags = _tags(python, platform)
    if out.exists() and not out.is_file():  # a rename would take its place, were it a device
        raise ProvisionerError(f"{out} exists and is not a file", "name another file with -o", Exit.BAD_INPUT)
    profile = profile_data(PROFILE)
    runtime = runtime or profile["runtime"]
    if runtime not in RUNTIMES:
        remedy = did_you_mean(runtime, RUNTIMES) or f"try {' or '.join(RUNTIMES)}"
        raise ProvisionerError(f"--runtime {runtime!r} is not a runtime", remedy, Exit.BAD_INPUT)
    with tempfile.TemporaryDirectory(prefix="provisioner-bundle-") as temporary:
        work = Path(temporary)
        say(f"fetching wheels for Python {python} on {platform}")
        locks = [_profiles() / profile["bundle"], *([_locks() / "node.txt"] if runtime == "devcontainer" else [])]
        for lock in locks:
            _pip(
                "download", "--dest", work / "wheels", "--no-deps", "--only-binary=:all:", "--require-hashes", *tags,
                *("--requirement", lock),
            )  # fmt: skip
        if runtime == "devcontainer":
            say("fetching the Dev Container CLI")
            _fetch_cli(work / "npm")
        release = f"xformers=={profile['xformers_sdist']['version']}"
        say(f"fetching the source of {release}")
        _fetch_source(release, work)
        files = {
            f"{folder}/{path.name}": path.read_bytes()
            for folder in ("sdist", "wheels", "npm")
            for path in sorted((work / folder).glob("*"))
        }
    manifest = {
        "schema": _format().SCHEMA,
        "python": python,
        "platform": platform,
        "files": {name: sha256(data).hexdigest() for name, data in sorted(files.items())},
    }
    _write(out, manifest, files)
    check(out)
    return manifest


def check(path: Path) -> dict[str, Any]:
    """Check every file in a bundle and return its manifest. Raise ProvisionerError (code 2), one line."""
    profile = profile_data(PROFILE)
    texts = [path.read_text(encoding="utf-8") for path in (_profiles() / profile["bundle"], _locks() / "node.txt")]
    cli = [package["integrity"] for package in _cli_packages().values()]
    known = {*re.findall("sha256:([0-9a-f]{64})", "".join(texts)), profile["xformers_sdist"]["sha256"], *cli}
    try:
        return cast(dict[str, Any], _format().contents(path, known)[0])
    except _format().BundleError as error:
        raise ProvisionerError(str(error), code=Exit.BAD_INPUT) from error


def misfit(manifest: dict[str, Any], machine: str, runtime: str) -> str:
    """Return why a bundle does not serve that kind of machine, or that runtime, and the remedy; '' where it does."""
    return cast(str, _format().misfit(manifest, machine, runtime))


def _write(out: Path, manifest: dict[str, Any], files: dict[str, bytes]) -> None:
    """Write the archive: no time, owner or order in it that could differ; it appears whole or not at all."""
    entries = {_format().MANIFEST: (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode(), **files}
    part = out.with_name(out.name + ".part")
    try:
        with tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
            for name, data in entries.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(data), 0o644
                tar.addfile(entry, io.BytesIO(data))
        part.replace(out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ProvisionerError(
            f"cannot write {out}: {error.strerror or error}", "name another file with -o", Exit.BAD_INPUT
        ) from error


def _cli_packages() -> dict[str, dict[str, str]]:
    """Return what npm's lock has of the Dev Container CLI: by name, each package's version and integrity."""
    packages = json.loads((_locks() / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    return {place.partition("node_modules/")[2]: package for place, package in packages.items() if place}


def _fetch_cli(folder: Path) -> None:
    """Fetch the Dev Container CLI's archives into a folder, as npm has them; check() then compares their sums."""
    folder.mkdir()
    for name, package in _cli_packages().items():
        _run("npm", "pack", "--silent", "--pack-destination", folder, f"{name}@{package['version']}")


def _fetch_source(release: str, work: Path) -> None:
    """Fetch a source release into work/sdist by the tool that role local_sources pins; pip would have to build it."""
    defaults = ansible_dir() / "roles" / "local_sources" / "defaults" / "main.yml"
    lock = _locks() / yaml.safe_load(defaults.read_bytes())["local_sources_finder_lock"]
    _pip(
        *("install", "--target", work / "finder", "--no-cache-dir", "--only-binary=:all:"),
        *("--require-hashes", "--requirement", lock),
    )
    (work / "sdist").mkdir()
    index = pip_index()
    _run(
        sys.executable, "-m", "unearth", "--no-binary", "--download", work / "sdist",
        *(("--index-url", index) if index else ()), release, path=work / "finder",
    )  # fmt: skip


def _tags(python: str, platform: str) -> list[str]:
    """Return pip's options for wheels of a Python and a platform; raise ProvisionerError (code 2)."""
    if not re.fullmatch(r"3\.\d{1,2}", python) or int(python[2:]) < 10:
        raise ProvisionerError(f"--python {python!r} is not 3.10 or newer", "try --python 3.12", Exit.BAD_INPUT)
    found = _PLATFORM.match(platform)
    if not found:
        raise ProvisionerError(
            f"--platform {platform!r} is not a platform of wheels", f"try --platform {DEFAULT_PLATFORM}", Exit.BAD_INPUT
        )
    newest, machine = int(found[1]), found[2]
    # pip goes by the exact names, and what runs on an older glibc runs here.
    names = [f"manylinux_2_{minor}_{machine}" for minor in range(newest, 4, -1)]
    names += [f"{name}_{machine}" for name in _OLD_NAMES[machine]]
    return ["--python-version", python, "--implementation", "cp", *(f"--platform={name}" for name in names)]


def _pip(*arguments: object) -> None:
    _run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments)


def _run(*command: object, path: Path | None = None) -> None:
    """Run a program, with `path` before what Python imports; raise ProvisionerError with its last words."""
    environment = {**os.environ, **({"PYTHONPATH": str(path)} if path else {})}
    try:
        done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ProvisionerError(
            f"the bundle cannot be made: there is no {command[0]} on this machine ({error.strerror})",
            "install Node with npm, or make the bundle where that is",
        ) from error
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR:")] or lines
        raise ProvisionerError(
            f"the bundle cannot be made: {errors[-1] if errors else f'exit code {done.returncode}'}",
            "check that this machine reaches its package index, that of npm too, and that its Python has pip",
        )


def _locks() -> Path:
    return ansible_dir() / "playbooks" / "locks"


def _profiles() -> Path:
    return ansible_dir() / "inventory" / "profiles"


@cache
def _format() -> Any:
    """Return the module that hosts check a bundle by: one text for both sides, which Ansible sends to them as it is."""
    path = ansible_dir() / "plugins" / "module_utils" / "bundle.py"
    spec = importlib.util.spec_from_file_location("bundle_of_hosts", path)
    assert spec and spec.loader  # noqa: S101 - for the type checker
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
