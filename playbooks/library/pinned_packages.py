#!/usr/bin/python
"""Ansible module: packages that are there, at a version that is wanted, and stay at it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pinned_packages
short_description: Packages at a version, held
description:
  - Installs, upgrades or downgrades with apt or dnf, and holds (dnf, with its plugin versionlock) what is installed.
options:
  names: {description: The packages' names., type: list, elements: str, required: true}
  version: {description: The version of all of them; empty for whichever is there or is newest., type: str, default: ""}
  hold: {description: Keep upgrades from changing them., type: bool, default: false}
  remedy: {description: What a person can change where the version does not exist., type: str, default: the version}
"""

RETURN = r"""
changes: {description: What was changed - what, from, to., type: list, elements: dict, returned: always}
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.provisioner_host import Host
from ansible.module_utils.provisioner_packages import LOCK_TIMEOUT, apt, complaint, look, runner

# A package's settings that a person edited stay theirs.
KEEP_SETTINGS = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")


# Between two tries, in seconds.
LOCK_PAUSE = 5


class Apt:
    """Debian's and Ubuntu's packages."""

    def __init__(self, host, run):
        self.host, self.run = host, run

    def refresh(self):
        """Why the lists of packages could not be brought up to date; empty where they could."""
        deadline = time.monotonic() + LOCK_TIMEOUT
        while True:
            code, out, errors = self.run(*apt("update"))
            # apt waits for dpkg's lock by itself, and not for that of its lists.
            if code == 0 or "Could not get lock" not in errors or time.monotonic() > deadline:
                return complaint(errors, out) if code else ""
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


def mend(host, run, wanted, remedy):
    """Have the packages as they are wanted. Gives what went wrong and how to mend it; empty where nothing did."""
    names, version, hold = wanted["names"], wanted["version"], wanted["hold"]
    manager = (Apt if host.which("apt-get") else Dnf)(host, run)
    if any(not one["what"].startswith("hold") for one in look(host, names, version, hold)):
        stale = manager.refresh()
        known = manager.versions(names[0])
        if version and version not in known:
            offered = f"they have {', '.join(known[:5])}" if known else "they have none of it"
            because = f" ({stale})" if stale else ""
            return f"{names[0]} {version} is in none of the host's sources{because}, {offered}; change {remedy}"
        code, out, errors = run(*manager.install(names, version))
        if code:
            why = complaint(errors, out) + (f"; before that: {stale}" if stale else "")
            return (
                f"{' '.join(names)} cannot be installed: {why}; mend the host's sources or network and run this again"
            )
    if hold:
        for command in manager.hold(names):
            code, out, errors = run(*command)
            if code and "delete" not in command:
                return f"{' '.join(command)} failed: {complaint(errors, out)}; mend that and run this again"
    left = look(Host(), names, version, hold)
    return f"{left[0]['what']} is still {left[0]['from']}; look at the host's apt or dnf settings" if left else ""


def main() -> None:
    """Have the packages as they are wanted, and say what changed."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "version": {"type": "str", "default": ""},
            "hold": {"type": "bool", "default": False},
            "remedy": {"type": "str", "default": "the version"},
        },
        supports_check_mode=True,
    )
    wanted = {key: module.params[key] for key in ("names", "version", "hold")}
    host = Host()
    changes = look(host, **wanted)
    if changes and not module.check_mode:
        wrong = mend(host, runner(module), wanted, module.params["remedy"])
        if wrong:
            module.fail_json(msg=wrong)
    shown = ["".join(f"{one['what']}: {one[side]}\n" for one in changes) for side in ("from", "to")]
    module.exit_json(changed=bool(changes), changes=changes, diff={"before": shown[0], "after": shown[1]})


if __name__ == "__main__":
    main()
