"""What a site has on its host, as one JSON document on stdout: sections, each from a thing's name to how it is.

Runs on the host itself, as root, with nothing but Python and what the host has. It asks no engine: what runs is read
from the kernel and what is kept from the disk, so a site's engine counts wherever it listens.
"""

import hashlib
import json
import os
import pwd
import re
import stat
import subprocess
from collections.abc import Iterator
from grp import getgrgid
from pathlib import Path
from typing import Any

Section = dict[str, str]

FOLDERS = ("/etc", "/opt", "/root", "/srv", "/home", "/usr/local", "/usr/share/keyrings", "/var/lib/provisioner")
# What is ours alone, or made of others' data by whoever installs something.
NOT_WALKED = re.compile(
    r"/opt/provisioner/.|/etc/\.git/.|/etc/\.etckeeper|/etc/ld\.so\.cache|/etc/(passwd|group|shadow|gshadow|subuid|subgid)-|/etc/\.pwd\.lock"
    r"|/root/\.cache/.|.*/__pycache__|/etc/ssl/certs/ca-certificates\.crt$|/etc/mailcap"
)
# Of these only mode and owner are kept as a file's: their lines are sections of their own.
BY_LINE = {"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid"}
DAEMON_JSON = "/etc/docker/daemon.json"
HASHED_UP_TO = 5_000_000  # bytes

CONTAINER = re.compile(r"(?:docker|libpod|cri-containerd|crio|nerdctl)?[-/:]?([0-9a-f]{64})(?:\.scope)?(?:/|$)")
STORES = ("/var/lib/docker", "/var/lib/containers/storage")
KEPT = ("containers/*", "volumes/*", "image/*/imagedb/content/sha256/*", "overlay-containers/*", "overlay-images/*")

UNITS = ("Id", "ActiveState", "SubState", "MainPID", "InvocationID", "ActiveEnterTimestampMonotonic", "Type")
# They come and go with a login or with whoever asks them.
TRANSIENT = re.compile(
    r"user(-runtime-dir)?@|session-|ssh@|systemd-(hostnamed|timedated|localed|tmpfiles-clean)|apt-daily|dpkg-db-backup"
    r"|man-db|e2scrub|fstrim|logrotate|motd-news|ansible|provisioner"
)
SYSCTL = ("net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding", "net.ipv6.conf.all.forwarding", "net.core.somaxconn")


def main() -> None:
    """Print the snapshot."""
    print()  # a login shell may have left the line half written
    print(
        json.dumps(
            {
                "package": packages(),
                "package marked manual": dict.fromkeys(output("apt-mark", "showmanual").split(), ""),
                "file": files(),
                "daemon.json": daemon_json(Path(DAEMON_JSON)),
                "user or group": accounts(),
                "container": containers(),
                "kept by an engine": kept(),
                "unit": units(),
                "unit file": unit_files(),
                "apt source": sources(),
                "mount": mounts(),
                "sysctl": {name: value for name in SYSCTL if (value := read(f"/proc/sys/{name.replace('.', '/')}"))},
                "firewall rule": firewall(),
            }
        )
    )


def output(*command: str) -> str:
    """Return what a command prints; nothing where it is not there, fails, or takes longer than a minute."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, errors="replace", check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def read(path: str) -> str:
    """Return a small file's text; nothing where it cannot be read."""
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def packages() -> Section:
    """Return each package's version, and its state, in which a hold shows."""
    listed = output("dpkg-query", "-W", "-f", r"${Package}:${Architecture}\t${Version} ${db:Status-Abbrev}\n")
    return dict(line.rstrip().split("\t", 1) for line in listed.splitlines())


def files() -> Section:
    """Return for each file and folder its kind, mode, owner, ACL and content."""
    found = {}
    for root in FOLDERS:
        for path in walk(root):
            try:
                found[path] = describe(path)
            except OSError as error:
                found[path] = error.strerror or ""
    return found


def walk(root: str) -> Iterator[str]:
    """Give the paths of a tree, links not followed."""
    if os.path.lexists(root):
        yield root
    for folder, names, plain in os.walk(root):
        paths = [f"{folder}/{name}" for name in names]
        names[:] = [name for name in names if not NOT_WALKED.match(f"{folder}/{name}/x")]
        yield from (path for path in paths + [f"{folder}/{name}" for name in plain] if not NOT_WALKED.match(path))


def describe(path: str) -> str:
    """Return a file's kind, mode, owner, extended attributes, and target or sum."""
    found = os.lstat(path)
    words = [stat.filemode(found.st_mode), f"{user(found.st_uid)}:{group(found.st_gid)}"]
    if stat.S_ISLNK(found.st_mode):
        return " ".join([*words, "->", str(Path(path).readlink())])
    words += [f"{name}={os.getxattr(path, name).hex()}" for name in sorted(os.listxattr(path))]
    if stat.S_ISREG(found.st_mode) and path not in BY_LINE and not is_settings(path):
        small = found.st_size <= HASHED_UP_TO
        words.append(hashlib.sha256(Path(path).read_bytes()).hexdigest() if small else f"{found.st_size} bytes")
    return " ".join(words)


def user(number: int) -> str:
    """Return a user's name, or the number where there is none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def group(number: int) -> str:
    """Return a group's name, or the number where there is none."""
    try:
        return getgrgid(number).gr_name
    except KeyError:
        return str(number)


def is_settings(path: str) -> bool:
    """Tell whether a file is the engine's settings, whose content is a section of its own."""
    return os.path.realpath(path) == os.path.realpath(DAEMON_JSON) and bool(daemon_json(Path(path)))


def daemon_json(path: Path) -> Section:
    """Return each setting of the engine by its dotted name; nothing where there are none, or they are not JSON."""
    try:
        return dict(flat(json.loads(path.read_bytes().decode("utf-8-sig"))))
    except (OSError, ValueError):
        return {}


def flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Give the leaves of a JSON value by their dotted names."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{name}.{key}" if name else key)
    else:
        yield name, json.dumps(value)


def accounts() -> Section:
    """Return the lines of the files of users and groups; a group's members one by one."""
    found = {}
    for path in sorted(BY_LINE):
        for line in read(path).splitlines():
            name, _, rest = line.partition(":")
            if path in {"/etc/group", "/etc/gshadow"}:
                rest, _, members = rest.rpartition(":")
                found |= {f"{path}: {name} has {member}": "" for member in members.split(",") if member}
            found[f"{path}: {name}"] = rest
    return found


def containers() -> Section:
    """Return the first process of each running container, by number and start: another one is another container."""
    found: dict[str, tuple[int, int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        matched = CONTAINER.search(read(f"{folder}/cgroup"))
        if not matched:
            continue
        words = read(f"{folder}/stat").rpartition(")")[2].split()
        if words:
            process = (int(words[19]), int(folder.name))
            found[matched[1]] = min(process, found.get(matched[1], process))
    return {name: f"process {number}, started at tick {start}" for name, (start, number) in found.items()}


def kept() -> Section:
    """Return the containers, volumes and images that engines keep on the disk."""
    paths = (path for store in STORES for pattern in KEPT for path in Path(store).glob(pattern))
    return {str(path): "" for path in paths if path.name not in {"metadata.db", "backingFsBlockDev"}}


def units() -> Section:
    """Return how each service and socket that is up is, and since when: a restart shows."""
    found = {}
    for block in output("systemctl", "show", "*", f"--property={','.join(UNITS)}").split("\n\n"):
        unit = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        name = unit.get("Id", "")
        wanted = name.endswith((".service", ".socket", ".timer", ".path")) and not TRANSIENT.match(name)
        if wanted and unit.get("ActiveState") in {"active", "activating", "reloading"}:
            state = "up" if unit["ActiveState"] == "active" else unit["ActiveState"]
            found[name] = f"{state}, process {unit.get('MainPID', '-')}, invocation {unit.get('InvocationID', '-')}"
    return found


def unit_files() -> Section:
    """Return whether each unit is enabled, disabled or masked."""
    listed = output("systemctl", "list-unit-files", "--no-legend", "--plain", "--no-pager")
    rows = [line.split() for line in listed.splitlines()]
    return {row[0]: row[1] for row in rows if len(row) > 1 and row[1] != "transient" and not TRANSIENT.match(row[0])}


def sources() -> Section:
    """Return what apt knows of each list of packages that it has to fetch, and by which key."""
    what = "$(SITE) $(SUITE) $(COMPONENT) $(CREATED_BY) $(ARCHITECTURE)|$(SIGNED_BY)"
    lines = output("apt-get", "indextargets", "--format", what).splitlines()
    return {name: key for name, _, key in (line.partition("|") for line in lines)}


def mounts() -> Section:
    """Return where something is mounted and what; not what containers and logins bring."""
    found = {}
    for line in read("/proc/self/mountinfo").splitlines():
        words = line.split()
        kind = words[words.index("-") + 1]
        if not re.match(r"/run/(docker|user|containerd|credentials|netns)|/var/lib/(docker|containerd)/.", words[4]):
            found[words[4]] = f"{kind} {words[3]}"
    return found


def firewall() -> Section:
    """Return the rules of packet filters that are no engine's."""
    rules = output("iptables-save").splitlines() + output("ip6tables-save").splitlines()
    return {rule: "" for rule in rules if rule.startswith("-A") and "DOCKER" not in rule and "docker" not in rule}


if __name__ == "__main__":
    main()
