"""What a role's probe asks of the host that it runs on. Reads only; the standard library and Python 3.9 are enough.

A probe is `<role>.py` beside this file, with `look(host: Host, wanted: dict) -> dict`. Its answer has
`changes`, a list of `change(...)`, empty where there is nothing to do; it may have `notes`, lines that a person should
read, and whatever else the role's tasks need. Where the wanted state cannot be had it raises `RefusalError`.
"""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import (
    LARGEST_OF_ALL,
    content,
    due_mode,
    is_foreign,
    locked,
    not_ours,
    obstacle,
    trouble,
)

# Programs answer in English, and do not wait for someone to page through what they say.
SPEECH = {"LC_ALL": "C", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}
# For commands that cron and sudo may not find.
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# A program that does not answer within this many seconds counts as failed: a probe must not hang with a sick service.
PATIENCE = 60
# Kinds of machines, as the kernel calls them, that there are packages, wheels and images for; runs were made on the
# first only.
MACHINES = ("x86_64", "aarch64")


class RefusalError(Exception):
    """What keeps a host from getting what is wanted, in one line: what; how to mend it."""


def refuse_if(why: str) -> None:
    """Raise RefusalError unless `why` is empty."""
    if why:
        raise RefusalError(why)


@contextmanager
def told(module: object, place: str | os.PathLike[str]) -> Iterator[None]:
    """Have an Ansible `module` fail in one line where the block raises RefusalError or OSError.

    `place` is what most of it writes to: an error in the midst of writing names no file.
    """
    try:
        yield
    except RefusalError as refusal:
        module.fail_json(msg=str(refusal))
    except OSError as error:
        module.fail_json(msg=trouble(error.filename or place, error))


def change(what: str, before: object, after: object) -> dict[str, str]:
    """Return one thing that is not as it is wanted, for people: what it is, how it is, how it will be."""
    return {"what": str(what), "from": str(before), "to": str(after)}


class Host:
    """The host, asked; what is asked twice is asked of it once."""

    def __init__(self) -> None:
        path = os.environ.get("PATH", "")
        missing = [folder for folder in SYSTEM_PATH.split(":") if folder not in path.split(":")]
        os.environ["PATH"] = ":".join(filter(None, [path, *missing]))
        self._units: dict[str, dict[str, str]] = {}
        # The packages that roles have asked for in this look: those of one are there when the next installs its own.
        self.asked: list[str] = []

    def which(self, command: str) -> str:
        """Return the path of `command`; '' where it is not installed."""
        # shutil.which would do, but shutil imports every compressor there is.
        paths = [Path(folder, command) for folder in os.environ["PATH"].split(":")]
        return next((str(path) for path in paths if path.is_file() and os.access(path, os.X_OK)), "")

    def run(self, *command: str, patience: float = PATIENCE) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr of `command`; (127, '', why) if it cannot be run, 124 if it hangs."""
        pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
        try:
            process = subprocess.Popen(
                command, env={**os.environ, **SPEECH}, stdin=subprocess.DEVNULL, start_new_session=True, **pipes
            )
        except OSError as error:
            return 127, "", str(error)
        try:
            out, err = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            # It and what it started are killed, and not waited for: what hangs in a sick device's driver cannot die.
            with suppress(PermissionError):  # what sudo runs as another user
                os.killpg(process.pid, signal.SIGKILL)
            return 124, "", f"{command[0]} did not answer within {patience} s"
        return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")

    def ask(self, *command: str) -> str:
        """Return what `command` prints, without the white space around it; '' where it fails."""
        code, out, _unused = self.run(*command)
        return out.strip() if code == 0 else ""

    @staticmethod
    def read(path: str | os.PathLike[str]) -> str:
        """Return what is in a file; '' where there is none that can be read."""
        try:
            return content(path).decode(errors="replace")
        except OSError:
            return ""

    def sha256(self, path: str | os.PathLike[str]) -> str:
        """Return the sum of a file's content; '' where there is none that can be read."""
        try:
            return hashlib.sha256(content(path, LARGEST_OF_ALL)).hexdigest()
        except OSError:
            return ""

    def file_changes(
        self, path: str, *, mode: str, kind: str = "file", sha256: str = "", what: str = ""
    ) -> list[dict[str, str]]:
        """Return what is off about a file or a directory (`kind`): whether it is there, its mode (as '0644'), its sum.

        Root owns all that we wrote; `what` is what a person calls it, the path without one. Raise RefusalError where
        what is the site's, or cannot be changed, is in the way.
        """
        name = what or path
        refuse_if(obstacle(path, kind))
        try:
            status = Path(path).stat()
        except OSError:
            refuse_if(locked(path))
            return [change(name, "absent", "present")]
        foreign, due = is_foreign(path), due_mode(path, status, int(mode, 8))
        found = []
        if sha256 and self.sha256(path) != sha256:
            found.append(change(f"{name}: content", "other", "as wanted"))
        if stat.S_IMODE(status.st_mode) != due:
            found.append(change(f"{name}: mode", f"{stat.S_IMODE(status.st_mode):04o}", f"{due:04o}"))
        if (status.st_uid, status.st_gid) != (0, 0) and not foreign:
            found.append(change(f"{name}: owner", f"{status.st_uid}:{status.st_gid}", "0:0"))
        if found:
            refuse_if(not_ours(path) if foreign else locked(path))
        return found

    # --- what it is ---

    @cached_property
    def os_release(self) -> dict[str, str]:
        """The keys of /etc/os-release."""
        pairs = (line.split("=", 1) for line in self.read("/etc/os-release").splitlines() if "=" in line)
        return {key.strip(): value.strip().strip("\"'") for key, value in pairs}

    @property
    def os_family_ids(self) -> list[str]:
        """Names to look for data by, from the most exact: ["ubuntu22.04", "ubuntu22", "ubuntu", "debian"]."""
        release = self.os_release
        name, version = release.get("ID", "linux"), release.get("VERSION_ID", "")
        own = [name + version, name + version.split(".")[0], name]
        return list(dict.fromkeys([*own, *release.get("ID_LIKE", "").split()]))

    @property
    def os_id(self) -> str:
        """The distribution and its release, such as debian12 or ubuntu22.04."""
        return self.os_family_ids[0]

    def pick(self, by_os: dict | list) -> object:
        """Return the entry of `by_os` for this distribution, the most exact one; None for none. A list is for all."""
        if isinstance(by_os, list):
            return by_os
        return next((by_os[name] for name in self.os_family_ids if name in by_os), None)

    @property
    def systemd(self) -> bool:
        """Whether systemd is PID 1."""
        return Path("/run/systemd/system").is_dir()

    # --- packages ---

    @cached_property
    def _dpkg(self) -> list[list[str]]:
        query = (
            "dpkg-query",
            "--show",
            "--showformat",
            "${db:Status-Want} ${db:Status-Status} ${Package} ${Version}\n",
        )
        return [line.split(" ") for line in self.ask(*query).splitlines() if line.count(" ") == 3]

    @cached_property
    def packages(self) -> dict[str, str]:
        """Name and version of each package that is completely installed; dpkg's or rpm's."""
        if self.which("dpkg-query"):
            return {name: version for _unused, status, name, version in self._dpkg if status == "installed"}
        lines = self.ask("rpm", "-qa", "--qf", "%{NAME} %{EVR}\n").splitlines()
        return {name: version for name, _unused, version in (line.partition(" ") for line in lines)}

    @cached_property
    def unfinished(self) -> dict[str, str]:
        """Name and state of each package that dpkg began with and has not finished: half-configured, unpacked, ..."""
        if not self.which("dpkg-query"):
            return {}
        done = {"installed", "not-installed", "config-files"}
        return {name: status for _unused, status, name, *_unused in self._dpkg if status not in done}

    @cached_property
    def held(self) -> set[str]:
        """Packages that stay at their version: dpkg's holds, dnf's versionlocks."""
        if self.which("dpkg-query"):
            return {name for want, _unused, name, _unused in self._dpkg if want == "hold"}
        return _locked(
            self.read("/etc/dnf/plugins/versionlock.list") or self.read("/etc/yum/pluginconf.d/versionlock.list")
        )

    def missing(self, names: list[str]) -> list[dict[str, str]]:
        """Return a change for each package of `names` that is not installed."""
        return [change(f"package {name}", "absent", "installed") for name in names if name not in self.packages]

    # --- services ---

    def units(self, *names: str) -> None:
        """Ask systemd about units that `unit` will be asked for, all at once."""
        new = [name for name in names if name not in self._units]
        if not new:
            return
        blocks = self.ask("systemctl", "show", "--", *new).split("\n\n") if self.systemd else []
        for name, block in zip(new, blocks + [""] * len(new)):  # noqa: B905 - Python 3.9 has no strict
            lines = (line.split("=", 1) for line in block.splitlines() if "=" in line)
            self._units[name] = dict(lines)

    def unit(self, name: str) -> dict[str, str]:
        """Return what `systemctl show` says of a unit; {} without systemd."""
        self.units(name)
        return self._units[name]


def _locked(text: str) -> set[str]:
    """Return the package names in dnf's versionlock.list, whose entries are NAME-[EPOCH:]VERSION-RELEASE.ARCH."""
    entries = (line.strip() for line in text.splitlines())
    return {entry.rsplit("-", 2)[0] for entry in entries if entry and entry[0] not in "#!" and entry.count("-") >= 2}


def at_home(path: str) -> str:
    """Return a path that begins with ~USER with that user's home instead; as it is where there is no such user."""
    return os.path.expanduser(path)  # noqa: PTH111 - pathlib's raises an error then
