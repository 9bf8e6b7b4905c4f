#!/usr/bin/python
"""Ansible module: packages that are there, if need be at a version that is wanted and stays."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_packages
short_description: Packages that are installed, at a version, held
author: The provisioner authors (!UNKNOWN)
description:
  - Installs, upgrades or downgrades with apt or dnf, and holds (dnf, with its plugin versionlock) what is installed.
    Recommended packages are left out.
  - Costs one question to dpkg or rpm where nothing is to be done, and tells the truth in check mode on a host without
    python3-apt. What an earlier call broke off is finished first.
extends_documentation_fragment: provisioner.gpu_hosts.patient
options:
  names: {description: The packages' names., type: list, elements: str, required: true}
  version: {description: The version of all of them; empty for whichever is there or is newest., type: str, default: ""}
  hold: {description: Keep upgrades from changing them., type: bool, default: false}
  upgrade: {description: "Bring what is there to the newest version, too.", type: bool, default: false}
  remedy: {description: What a person can change where the version does not exist., type: str, default: the version}
"""

EXAMPLES = r"""
- name: Have Docker's packages at one version, and keep it
  provisioner.gpu_hosts.host_packages:
    names: [docker-ce, docker-ce-cli]
    version: 5:28.3.3-1~debian.12~bookworm
    hold: true
"""

RETURN = r"""
changes: {description: "What was changed - what, from, to.", type: list, elements: dict, returned: always}
"""

import json
import tempfile
import time

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import variables
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.apt import (
    LOCK_TIMEOUT,
    STAMP,
    apt,
    complaint,
    lists_are_new,
    remedy_of,
    runner,
    waiting_for,
)
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import full_by
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError, change, told
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.installation import (
    INSTALL,
    RECORD,
    broken_off,
    foresee,
    recorded,
    refuse_unfinished,
    space_needed,
    wanted_words,
)
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.packages import holds, look, off
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.patience import REPORT, PatientModule
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.write import write

# A package's settings that a person edited stay theirs.
KEEP_SETTINGS = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
# Where an installation writes, beside where packages' own scripts do.
WRITTEN = ("/usr", "/var/cache/apt/archives", "/var/lib/dpkg", "/var/lib/apt/lists", tempfile.gettempdir())
# Between two tries to get a lock of apt's, in seconds.
LOCK_PAUSE = 5


class Apt:
    """Debian's and Ubuntu's packages."""

    def __init__(self, run):
        self.run = run

    def settle(self, names):
        """Wait until no other program is at it; finish what an earlier call of ours broke off."""
        deadline = time.monotonic() + LOCK_TIMEOUT
        while waiting_for(Host()) and time.monotonic() < deadline:
            time.sleep(LOCK_PAUSE)
        host = Host()
        refuse_unfinished(host, names)
        if broken_off(host):
            code, out, errors = self.run("dpkg", "--configure", "-a")
            if code:
                why = complaint(errors, out)
                raise RefusalError(f"an interrupted installation cannot be finished: {why}; {remedy_of(why)}")

    def lists_are_new(self):
        """Return whether the lists were refreshed a moment ago."""
        return lists_are_new()

    def refresh(self):
        """Return why the lists of packages could not be brought up to date; empty where they could."""
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
        """Return the versions of a package that the host's sources have, newest first."""
        lines = [line.split("|") for line in Host().ask("apt-cache", "madison", name).splitlines()]
        return list(dict.fromkeys(line[1].strip() for line in lines if len(line) == 3))

    def install(self, names, version, outcome):
        """Return the words that install `names`. The harm in `outcome` is to our own packages, and nothing else comes
        to any: apt would refuse it.
        """
        allowed = [
            *([] if outcome.removes else ["--no-remove"]),
            *(["--allow-downgrades"] if outcome.lowers else []),
            *(["--allow-change-held-packages"] if outcome.unholds else []),
        ]
        return apt("install", "--yes", *KEEP_SETTINGS, *INSTALL, *allowed, *wanted_words(names, version, "="))

    def hold(self, names):
        """Return the commands that hold `names`."""
        return [["apt-mark", "hold", *names]]


class Dnf:
    """Red Hat's and its kin's packages. Not run on a host by this project's tests."""

    def __init__(self, run):
        self.run = run

    def settle(self, names):
        """Do nothing: dnf waits by itself, and rpm finishes what it has begun."""

    def lists_are_new(self):
        """Return False: dnf itself knows which of its lists are old."""
        return False

    def refresh(self):
        """Fetch what dnf asks for when it installs, so that it can say what it would do; return why that failed."""
        code, out, errors = self.run("dnf", "--quiet", "makecache")
        return complaint(errors, out) if code else ""

    def versions(self, name):
        """Return the versions of a package, as with apt."""
        query = ("dnf", "--quiet", "repoquery", "--showduplicates", "--qf", "%{version}-%{release}\n", name)
        return list(reversed(list(dict.fromkeys(Host().ask(*query).split()))))

    def install(self, names, version, outcome):
        """Return the words that install; without --allowerasing dnf removes nothing that conflicts."""
        unlocked = ["--disableplugin=versionlock"] if outcome.unholds else []
        return ["dnf", "--assumeyes", *unlocked, "install", *wanted_words(names, version, "-")]

    def hold(self, names):
        """Return the commands that hold. A lock on an older version would stay beside a new one, so it goes first."""
        plugin = ["dnf", "--assumeyes", "install", "python3-dnf-plugin-versionlock"]
        return [plugin, ["dnf", "versionlock", "delete", *names], ["dnf", "versionlock", "add", *names]]


def mend(host, run, wanted, upgrade, remedy):
    """Have the packages as they are wanted. RefusalError says what went wrong, and how to mend it."""
    names, version, hold = wanted["names"], wanted["version"], wanted["hold"]
    managers = {"apt-get": Apt, "dnf": Dnf}
    manager = next((kind(run) for tool, kind in managers.items() if host.which(tool)), None)
    if manager is None:
        raise RefusalError(
            f"{' '.join(names)} cannot be installed: {host.os_id} has neither apt nor dnf; install them by hand"
        )
    asked = names if upgrade else off(host, names, version)
    if asked:
        install(manager, asked, version, remedy)
    left = off(Host(), names, version)
    if left:
        raise RefusalError(f"package {left[0]} is still not as it should be; look at the host's apt or dnf settings")
    # dnf's lock is on a version, so it is made anew with that.
    unheld = hold and (asked or not set(names) <= host.held)
    for command in manager.hold(names) if unheld else ():
        code, out, errors = run(*command)
        if code and "delete" not in command:
            raise RefusalError(f"{' '.join(command)} failed: {complaint(errors, out)}; mend that and run this again")


def install(manager, names, version, remedy):
    """Install `names`, with lists that are new. Raise RefusalError as `mend`."""
    manager.settle(names)
    reused = manager.lists_are_new()
    stale = "" if reused else manager.refresh()
    try:
        attempt(manager, names, version, remedy, stale)
    except RefusalError:
        # Lists of some minutes ago may name what the mirror no longer has.
        if not reused:
            raise
        attempt(manager, names, version, remedy, manager.refresh())


def attempt(manager, names, version, remedy, stale):
    """Install as `install` does; `stale` is why the lists of packages are not new."""
    before = f"; before that: {stale}" if stale else ""
    outcome = foresee(Host(), names, version)
    if outcome.unknown:
        if version:
            known = manager.versions(names[0])
            offered = f"they have {', '.join(known[:5])}" if known else "they do not have it"
            because = f" ({stale})" if stale else ""
            raise RefusalError(
                f"{names[0]} {version} is in none of the host's sources{because}, {offered}; change {remedy}"
            )
        raise RefusalError(
            f"{' '.join(names)} cannot be installed: {outcome.unknown}{before}; {remedy_of(outcome.unknown)}"
        )
    note(pending=outcome.brings)
    code, out, errors = manager.run(*manager.install(names, version, outcome))
    if code:
        if not broken_off(Host()):
            note()
        no_room = full_by(f"{errors}\n{out}", WRITTEN, space_needed(out), "what is installed")
        if no_room:
            raise RefusalError(f"{' '.join(names)} cannot be installed: {no_room}")
        why = complaint(errors, out)
        before = before if stale != why else ""
        raise RefusalError(f"{' '.join(names)} cannot be installed: {why}{before}; {remedy_of(why)}")
    note(
        installed=[name for name, (present, _unused) in outcome.brings.items() if not present], removed=outcome.removes
    )


def note(*, pending=(), installed=(), removed=()):
    """Write down what is being installed, or that it is: what else is on the host is not ours."""
    known = (recorded()["installed"] | set(installed)) - set(removed)
    text = json.dumps({"installed": sorted(known), "pending": sorted(pending)}, indent=1)
    write(RECORD, f"{text}\n".encode())


def changes_of_versions(names, before, after):
    """Return what changed of packages: those of `names`, and those that came or went with them."""
    with_them = (set(before) ^ set(after)) | {name for name in before if before[name] != after.get(name)}
    return [
        change(f"package {name}", before.get(name, "absent"), after.get(name, "absent"))
        for name in [*names, *sorted(with_them - set(names))]
        if before.get(name) != after.get(name)
    ]


def main() -> None:
    """Have the packages as they are wanted, and say what changed."""
    module = PatientModule(
        argument_spec={
            **REPORT,
            "names": {"type": "list", "elements": "str", "required": True},
            "version": {"type": "str", "default": ""},
            "hold": {"type": "bool", "default": False},
            "upgrade": {"type": "bool", "default": False},
            "remedy": {"type": "str", "default": "the version"},
        },
        supports_check_mode=True,
    )
    variables.take()
    wanted = {key: module.params[key] for key in ("names", "version", "hold")}
    upgrade, host = module.params["upgrade"], Host()
    names, before, held = wanted["names"], host.packages, host.held
    with told(module, RECORD):
        if module.check_mode:
            changes = look(host, names, wanted["version"]) + (holds(host, names) if wanted["hold"] else [])
            if upgrade:
                newest = foresee(host, names).brings
                changes += changes_of_versions(names, before, {**before, **{name: newest[name][1] for name in newest}})
        else:
            mend(host, runner(module), wanted, upgrade, module.params["remedy"])
            after = Host()
            changes = changes_of_versions(names, before, after.packages)
            changes += [change(f"hold on {name}", "absent", "present") for name in sorted(after.held - held)]
    shown = ["".join(f"{one['what']}: {one[side]}\n" for one in changes) for side in ("from", "to")]
    module.exit_json(changed=bool(changes), changes=changes, diff={"before": shown[0], "after": shown[1]})


if __name__ == "__main__":
    main()
