"""Says, before any host is touched, which hosts an inventory has and which are meant.

It is read by Ansible's own `ansible-inventory`, as the job will read it, in a process with limits on memory and time:
what would not come to an end ends there, and the job is not begun.
"""

import json
import os
import re
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any, BinaryIO

from provisioner.ansible import given_variables, inventory_cache, program, site_settings
from provisioner.ansible.environment import ansible_environment
from provisioner.errors import Exit, ProvisionerError
from provisioner.system.paths import given
from provisioner.text import bounds, names
from provisioner.text.display import printable
from provisioner.text.suggestions import did_you_mean

__all__ = ["Inventory", "label", "read", "select", "variables"]

_REMEDY = "give one with -i; inventory/fleet.example.yml shows how it looks"
_WRITE_DOWN = "mend it, or convert it once and give the result: `ansible-inventory -i IT --list --yaml --output NEW`"
_VARIABLES = ("group_vars", "host_vars")
"""The folders beside an inventory that Ansible reads with it."""
_PROGRAM = (sys.executable, "-P", program.__file__, "inventory")  # no module of ours (-P) may shadow one of Ansible's
_TERM = r"[!&]?[A-Za-z_*][\w.*?-]*"
_PLAIN = re.compile(rf"{_TERM}(,{_TERM})*|{_TERM}(:{_TERM}){{0,6}}")
"""Limits that mean the same however they are read: no slice, no address, no port."""
_LOOK = 0.005
"""Seconds between two looks whether Ansible has read it, which takes half a second."""


@dataclass
class Inventory:
    """The hosts of an inventory, by name, with their groups; `local` are those that are this machine."""

    sources: tuple[str, ...]
    """What Ansible's -i is given, each time."""
    hosts: dict[str, None] = field(default_factory=dict)
    groups: dict[str, set[str]] = field(default_factory=dict)
    local: set[str] = field(default_factory=set)
    profiles: dict[str, str] = field(default_factory=dict)
    """The profile of each host that has one of its own."""
    wrong: dict[str, str] = field(default_factory=dict)
    """What is wrong with the variables of each host that has one of another type than a role wants."""
    earlier: dict[str, list[str]] = field(default_factory=dict)
    """The variables of each host that are given by their earlier names."""

    @property
    def source(self) -> str:
        """What it is called when it is spoken of."""
        return label(self.sources)


def label(sources: Sequence[str]) -> str:
    """Return what an inventory of these sources is called."""
    return ", ".join(sources)


def read(given_sources: str | Sequence[str], state: Path | None = None) -> Inventory:
    """Read the inventory of one source or several: paths, or host names separated by commas, as Ansible takes them.

    What Ansible says of it is kept below `state`, while its files stay as they are.
    Raise ProvisionerError (code 2) where one is missing, broken, beyond the limits, or none has a host.
    """
    files: list[Path] = []
    sources: list[str] = []
    for source in [given_sources] if isinstance(given_sources, str) else given_sources:
        if _is_list(source):
            sources.append(source)
            continue
        path = given(source)
        if not path.exists():
            raise _bad(f"no inventory at {path}")
        files += _files_of(path)
        sources.append(str(path))
    environment = ansible_environment()
    key = inventory_cache.key(sources, files, environment) if state and files else None
    if state and key:
        return _kept(sources, state, key)
    return _understood(sources, _ask_ansible(sources))


def _kept(sources: Sequence[str], state: Path, key: str) -> Inventory:
    """Return what is kept of the inventory by `key`, after Ansible was asked where nothing is."""
    kept = inventory_cache.load(state, key)
    with suppress(KeyError, TypeError, ValueError):  # of another shape than we write
        return Inventory(
            tuple(sources),
            hosts=dict.fromkeys(map(names.host, kept["hosts"])),
            groups={name: set(hosts) for name, hosts in kept["groups"].items()},
            local=set(kept["local"]),
            profiles=dict(kept["profiles"]),
            wrong=dict(kept["wrong"]),
            earlier=dict(kept["earlier"]),
        )
    found = _understood(sources, _ask_ansible(sources))
    groups = {name: sorted(hosts) for name, hosts in found.groups.items()}
    kept = {"hosts": list(found.hosts), "groups": groups, "local": sorted(found.local)}
    kept |= {"profiles": found.profiles, "wrong": found.wrong, "earlier": found.earlier}
    inventory_cache.save(state, key, kept)
    return found


def select(inventory: Inventory, limit: str | None) -> tuple[str, ...]:
    """Return the hosts that `limit` leaves, in the inventory's order.

    Names, groups, wildcards, `!` and `&` are understood here; anything else is asked of Ansible.
    Raise ProvisionerError (code 2) where nothing is left.
    """
    if not limit:
        return tuple(inventory.hosts)
    chosen = _chosen(inventory, limit) if _PLAIN.fullmatch(limit) else _chosen_by_ansible(inventory, limit)
    if not chosen:
        known = list(inventory.hosts)
        shown = ", ".join(known[:5]) + (", …" if len(known) > 5 else "")
        meant = did_you_mean(limit, [*known, *inventory.groups])
        raise _bad(f"--limit {printable(limit)} matches no host", meant or f"the inventory has {shown}")
    return tuple(name for name in inventory.hosts if name in chosen)


def variables(sources: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the variables of each host that has some, those of its groups among them. Raise as read() does."""
    found: dict[str, dict[str, Any]] = _ask_ansible(sources).get("_meta", {}).get("hostvars", {})
    return found


def _chosen_by_ansible(inventory: Inventory, limit: str) -> set[str]:
    try:
        return set(_hosts_of(_ask_ansible(inventory.sources, f"--limit={limit}"), "all"))
    except ProvisionerError as error:
        reason = error.message.removeprefix(f"the inventory {inventory.source}: ")
        raise _bad(f"--limit {printable(limit)}: {reason}", "give names of hosts and groups") from error


def _chosen(inventory: Inventory, limit: str) -> set[str]:
    terms = [term for term in re.split(r"[,:]", limit) if term]
    wanted = [term for term in terms if term[0] not in "!&"]
    chosen = set().union(*(_members(inventory, term) for term in wanted)) if wanted else set(inventory.hosts)
    for term in terms:
        if term.startswith("&"):
            chosen &= _members(inventory, term[1:])
        elif term.startswith("!"):
            chosen -= _members(inventory, term[1:])
    return chosen


def _members(inventory: Inventory, term: str) -> set[str]:
    if term in {"all", "*"}:
        return set(inventory.hosts)
    found = {name for name in inventory.hosts if fnmatchcase(name, term)}
    return found.union(*(hosts for name, hosts in inventory.groups.items() if fnmatchcase(name, term)))


def _is_list(source: str) -> bool:
    """Return whether it is a list of names of hosts, not a path, by Ansible's own rule."""
    try:
        return "," in source and not Path(source).exists()
    except OSError:  # too long for a path
        return True


# --- before Ansible opens it ---


def _files_of(path: Path) -> list[Path]:
    """Return the files that Ansible reads for the inventory at `path`.

    Raise ProvisionerError (code 2) where it would wait for a pipe or read a device, or very much.
    """
    beside = path if path.is_dir() else path.parent
    found: list[Path] = []
    size = 0
    for file in chain(_files(path), *(_files(beside / name) for name in _VARIABLES)):
        try:
            status = file.stat()
        except OSError:
            status = None  # a broken link, which Ansible reports
        found.append(file)
        if status is None:
            continue
        if not stat.S_ISREG(status.st_mode):
            raise _bad(f"the inventory {path}: {file} is a pipe, a device or a socket", "give files, or remove it")
        size += status.st_size
        if len(found) > bounds.INVENTORY_FILES or size > bounds.INVENTORY:
            most = f"{bounds.INVENTORY_FILES} files or {bounds.INVENTORY >> 20} MiB"
            raise _bad(f"the inventory {path} has more than {most}", "give the inventory that you mean")
    return found


def _files(path: Path) -> Iterator[Path]:
    """Yield what is there that is no folder; links to folders are not followed."""
    if not path.is_dir():
        yield from [path] if path.exists() else []
        return
    for at, _folders, files in os.walk(path):
        yield from (Path(at) / name for name in files)


# --- Ansible reads it ---


def _ask_ansible(sources: Sequence[str], *more: str) -> dict[str, Any]:
    """Return what ansible-inventory says of it. Raise ProvisionerError (code 2)."""
    source = label(sources)
    with TemporaryFile() as out, TemporaryFile() as err:
        try:
            asked = [f"--inventory={source}" for source in sources]
            code, memory = _run([*_PROGRAM, *asked, "--list", *more], out, err)
        except TimeoutError as error:
            raise _beyond(source, f"takes more than {bounds.INVENTORY_SECONDS} s to read") from error
        said = _text(err, bounds.ANSWER)
        answer = _text(out, bounds.INVENTORY_ANSWER + 1)
    if code and (memory > bounds.INVENTORY_MEMORY // 2 or "MemoryError" in said):
        raise _beyond(source, f"takes more than {bounds.INVENTORY_MEMORY >> 20} MiB of memory")
    if code == -signal.SIGXCPU:
        raise _beyond(source, f"takes more than {bounds.INVENTORY_CPU} s of this machine's processor")
    if code < 0:
        raise _beyond(source, f"makes Ansible end by {signal.Signals(-code).name}")
    if len(answer) > bounds.INVENTORY_ANSWER:
        raise _beyond(source, f"means more than {bounds.INVENTORY_ANSWER >> 20} MiB of variables")
    # A key that is not known is left out by Ansible, and with it the hosts below it.
    skipped = re.search(r"^\[WARNING\]: (Skipping .*)", said, re.MULTILINE)
    if code or skipped:
        raise _bad(f"the inventory {source}: {skipped[1] if skipped and not code else _reason(said)}", "mend it there")
    try:
        document: dict[str, Any] = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise _beyond(source, "is nested too deep") from error
    return document


def _run(command: list[str], out: BinaryIO, err: BinaryIO) -> tuple[int, int]:
    """Run a program within the limits and return its exit code and the bytes of memory that it took.

    Raise TimeoutError where it does not come to its end; it ends then, with what it has started.
    """
    with TemporaryDirectory() as folder:
        environment = ansible_environment().within(Path(folder))
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, start_new_session=True
        )
        return _watched(process)


def _watched(process: subprocess.Popen[bytes]) -> tuple[int, int]:
    """Wait for a process within the limits, as `_run` tells."""
    deadline = time.monotonic() + bounds.INVENTORY_SECONDS
    pid = status = memory = 0
    try:
        # RLIMIT_DATA, not RLIMIT_AS: some languages reserve far more addresses than they use.
        resource.prlimit(process.pid, resource.RLIMIT_DATA, (bounds.INVENTORY_MEMORY, bounds.INVENTORY_MEMORY))
        resource.prlimit(process.pid, resource.RLIMIT_CPU, (bounds.INVENTORY_CPU, bounds.INVENTORY_CPU + 5))
        while not pid and time.monotonic() < deadline:
            time.sleep(_LOOK)
            memory = max(memory, _data(process.pid))
            pid, status = os.waitpid(process.pid, os.WNOHANG)
    finally:
        if not pid:  # too slow, or interrupted
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if not pid:
        raise TimeoutError
    process.returncode = os.waitstatus_to_exitcode(status)  # Popen cannot wait for it any more
    return process.returncode, memory


def _data(pid: int) -> int:
    """Return the bytes of data of a process, as its limit counts them; 0 where it has ended."""
    # Not from wait4, whose figure includes the copy of ourselves that the process was before exec.
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[5]) * resource.getpagesize()
    except OSError:
        return 0


def _text(file: BinaryIO, most: int) -> str:
    file.seek(0)
    return file.read(most).decode(errors="replace")


def _reason(said: str) -> str:
    """Return why Ansible could not read it, of all that it said: each of its plugins tells what it thinks."""
    last = next((line for line in reversed(said.splitlines()) if "ERROR" in line), "Ansible cannot read it")
    error = re.sub(r"^.*ERROR[]!:]* *", "", last)
    reasons = dict(re.findall(r"^\[WARNING\]: Failed to parse inventory with '(\w+)' plugin: (.*)", said, re.MULTILINE))
    likely = ["yaml"] if error.endswith((".yml", ".yaml")) else ["script", *reversed(reasons)]
    reason = next((reasons[plugin] for plugin in likely if plugin in reasons), error).removeprefix(
        "Failed to parse inventory: "
    )
    place = re.search(r"^Origin: (.*:\d+:\d+)$", said, re.MULTILINE)
    return f"{reason} ({place[1]})" if place else reason


# --- what it means ---


def _understood(sources: Sequence[str], document: dict[str, Any]) -> Inventory:
    inventory = Inventory(tuple(sources))
    source = inventory.source
    variables = document.pop("_meta", {}).get("hostvars", {})
    inventory.groups = {name: set(_hosts_of(document, name)) for name in document}
    transport = site_settings.read().given.get("DEFAULT_TRANSPORT")
    for host in _hosts_of(document, "all"):
        inventory.hosts[_checked(source, host)] = None
        _note(inventory, host, variables.get(host, {}), transport.value if transport else "")
    if not inventory.hosts:
        raise _bad(f"the inventory {source} has no hosts")
    return inventory


def _hosts_of(document: Mapping[str, Any], group: str) -> dict[str, None]:
    """Return the hosts of a group and of those below it, in the inventory's order; a group may be in several."""
    hosts: dict[str, None] = {}
    groups, seen = [group], {group}
    while groups:
        content = document.get(groups.pop(), {})
        hosts |= dict.fromkeys(content.get("hosts", ()))
        below = [child for child in content.get("children", ()) if child not in seen]
        seen.update(below)
        groups += reversed(below)
    return hosts


def _checked(source: str, host: str) -> str:
    """Return the name of a host, by which its runs are kept."""
    try:
        return names.host(host)
    except ValueError as error:
        remedy = "give it another name, and its address as ansible_host"
        raise _bad(f"the inventory {source}: {error}; a folder here is named after it", remedy) from error


def _note(inventory: Inventory, host: str, variables: Mapping[str, Any], connection: str) -> None:
    if variables.get("ansible_connection", connection) in ("local", "ansible.builtin.local"):
        inventory.local.add(host)
    try:
        earlier = given_variables.check(variables)
        if earlier:
            inventory.earlier[host] = earlier
    except ValueError as error:
        inventory.wrong[host] = str(error)
    if "provisioner_profile" in variables:
        inventory.profiles[host] = str(variables["provisioner_profile"])


def _beyond(source: str, what: str) -> ProvisionerError:
    return _bad(f"the inventory {source} {what}", _WRITE_DOWN)


def _bad(message: str, remedy: str = _REMEDY) -> ProvisionerError:
    return ProvisionerError(message, remedy, Exit.BAD_INPUT)
