#!/usr/bin/python
"""Ansible module: packages that are there, if need be at a version that is wanted and stays."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_packages
short_description: Packages that are installed, at a version, held
description:
  - Installs, upgrades or downgrades with apt or dnf, and holds (dnf, with its plugin versionlock) what is installed.
    Recommended packages are left out.
  - Costs one question to dpkg or rpm where nothing is to be done, and tells the truth in check mode on a host without
    python3-apt. What an earlier call broke off is finished first.
options:
  names: {description: The packages' names., type: list, elements: str, required: true}
  version: {description: The version of all of them; empty for whichever is there or is newest., type: str, default: ""}
  hold: {description: Keep upgrades from changing them., type: bool, default: false}
  upgrade: {description: Bring what is there to the newest version, too., type: bool, default: false}
  remedy: {description: What a person can change where the version does not exist., type: str, default: the version}
"""

RETURN = r"""
changes: {description: What was changed - what, from, to., type: list, elements: dict, returned: always}
"""

import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.provisioner_host import Host, change
from ansible.module_utils.provisioner_packages import LOCK_TIMEOUT, apt, complaint, look, remedy_of, runner

# A package's settings that a person edited stay theirs.
KEEP_SETTINGS = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
# Between two tries to get the lock of apt's lists, in seconds.
LOCK_PAUSE = 5
# apt's lists count as new for this long, in seconds, unless its sources change: roles ask for packages one by one.
LISTS_SERVE = 600
STAMP = Path("/run/provisioner-apt-lists")
SOURCES = Path("/etc/apt")
# What apt-get says, once it has its lock, where dpkg was stopped in the middle of something. dpkg's own notes about
# that do not tell one that was stopped from one that is at it.
INTERRUPTED = "dpkg was interrupted"


class Apt:
    """Debian's and Ubuntu's packages."""

    def __init__(self, host, run):
        self.host, self.run = host, run

    def lists_are_new(self):
        """Whether the lists were refreshed a moment ago, and no source or setting has changed since."""
        if not STAMP.exists():
            return False
        refreshed = STAMP.stat().st_mtime
        changed = max(path.lstat().st_mtime for path in (SOURCES, *SOURCES.rglob("*")))
        return changed <= refreshed and time.time() - refreshed < LISTS_SERVE

    def refresh(self):
        """Why the lists of packages could not be brought up to date; empty where they could."""
        deadline = time.monotonic() + LOCK_TIMEOUT
        while True:
            code, out, errors = self.run(*apt("update"))
            if code == 0:
                STAMP.touch()
                return ""
            # apt waits for dpkg's lock by itself, and not for that of its lists.
            if "Could not get lock" not in errors or time.monotonic() > deadline:
                return complaint(errors, out)
            time.sleep(LOCK_PAUSE)

    def versions(self, name):
        """The versions of a package that the host's sources have, newest first."""
        lines = [line.split("|") for line in self.host.ask("apt-cache", "madison", name).splitlines()]
        return list(dict.fromkeys(line[1].strip() for line in lines if len(line) == 3))

    def install(self, names, version):
        """The words that install `names`, changing what is held."""
        wanted = [f"{name}={version}" if version else name for name in names]
        changes = ("--yes", "--no-install-recommends", "--allow-downgrades", "--allow-change-held-packages")
        return apt("install", *KEEP_SETTINGS, *changes, *wanted)

    def hold(self, names):
        """The commands that hold `names`."""
        return [["apt-mark", "hold", *names]]


class Dnf:
    """Red Hat's and its kin's packages."""

    def __init__(self, host, run):
        self.host, self.run = host, run

    def lists_are_new(self):
        """As with apt; dnf sees to that by itself."""
        return False

    def refresh(self):
        """As with apt; dnf does it by itself."""
        return ""

    def versions(self, name):
        """As with apt."""
        query = ("dnf", "--quiet", "repoquery", "--showduplicates", "--qf", "%{version}-%{release}\n", name)
        return list(reversed(list(dict.fromkeys(self.host.ask(*query).split()))))

    def install(self, names, version):
        """As with apt."""
        locked = ["--disableplugin=versionlock"]
        return ["dnf", "--assumeyes", *locked, "install", *(f"{name}-{version}" if version else name for name in names)]

    def hold(self, names):
        """As with apt. A lock on an older version would stay beside a new one, so it goes first."""
        plugin = ["dnf", "--assumeyes", "install", "python3-dnf-plugin-versionlock"]
        return [plugin, ["dnf", "versionlock", "delete", *names], ["dnf", "versionlock", "add", *names]]


def mend(host, run, wanted, upgrade, remedy):
    """Have the packages as they are wanted. Gives what went wrong and how to mend it; empty where nothing did."""
    names, version, hold = wanted["names"], wanted["version"], wanted["hold"]
    managers = {"apt-get": Apt, "dnf": Dnf}
    manager = next((kind(host, run) for tool, kind in managers.items() if host.which(tool)), None)
    if manager is None:
        return f"{' '.join(names)} cannot be installed: {host.os_id} has neither apt nor dnf; install them by hand"
    if upgrade or any(not one["what"].startswith("hold") for one in look(host, names, version, hold)):
        wrong = install(manager, names, version, remedy)
        if wrong:
            return wrong
    if hold:
        for command in manager.hold(names):
            code, out, errors = run(*command)
            if code and "delete" not in command:
                return f"{' '.join(command)} failed: {complaint(errors, out)}; mend that and run this again"
    left = look(Host(), names, version, hold)
    return f"{left[0]['what']} is still {left[0]['from']}; look at the host's apt or dnf settings" if left else ""


def install(manager, names, version, remedy):
    """Install `names`. Gives what went wrong and how to mend it; empty where nothing did."""
    if manager.lists_are_new() and not attempt(manager, names, version, remedy):
        return ""
    return attempt(manager, names, version, remedy, manager.refresh())


def attempt(manager, names, version, remedy, stale=""):
    """As `install`; `stale` is why the lists of packages are not new."""
    known = manager.versions(names[0]) if version else [version]
    if version not in known:
        offered = f"they have {', '.join(known[:5])}" if known else "they have none of it"
        because = f" ({stale})" if stale else ""
        return f"{names[0]} {version} is in none of the host's sources{because}, {offered}; change {remedy}"
    code, out, errors = manager.run(*manager.install(names, version))
    if code and INTERRUPTED in errors:
        code, out, errors = manager.run("dpkg", "--configure", "-a")
        if code:
            broken = f"dpkg --configure -a: {complaint(errors, out)}"
            return f"what was broken off before cannot be finished: {broken}; mend that and run this again"
        code, out, errors = manager.run(*manager.install(names, version))
    if not code:
        return ""
    why = complaint(errors, out)
    before = f"; before that: {stale}" if stale and stale != why else ""
    return f"{' '.join(names)} cannot be installed: {why}{before}; {remedy_of(why)}"


def upgrades(names, before, after):
    """The changes of version among `names`, of packages that were there before."""
    there = [name for name in names if name in before]
    return [
        change(f"package {name}", before[name], after.get(name, "absent"))
        for name in there
        if before[name] != after.get(name)
    ]


def main() -> None:
    """Have the packages as they are wanted, and say what changed."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "version": {"type": "str", "default": ""},
            "hold": {"type": "bool", "default": False},
            "upgrade": {"type": "bool", "default": False},
            "remedy": {"type": "str", "default": "the version"},
        },
        supports_check_mode=True,
    )
    wanted = {key: module.params[key] for key in ("names", "version", "hold")}
    upgrade, host = module.params["upgrade"], Host()
    changes = look(host, **wanted)
    if (changes or upgrade) and not module.check_mode:
        wrong = mend(host, runner(module), wanted, upgrade, module.params["remedy"])
        if wrong:
            module.fail_json(msg=wrong)
    if upgrade:
        after = dict.fromkeys(host.packages, "newest") if module.check_mode else Host().packages
        changes += upgrades(wanted["names"], host.packages, after)
    shown = ["".join(f"{one['what']}: {one[side]}\n" for one in changes) for side in ("from", "to")]
    module.exit_json(changed=bool(changes), changes=changes, diff={"before": shown[0], "after": shown[1]})


if __name__ == "__main__":
    main()
