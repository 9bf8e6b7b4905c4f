"""What installing packages would do to a host, told before it is done by apt's and dnf's own solvers.

What was on a host before is its site's. An installation that would remove it, put an older version in its place or
change what is held is refused, and so is one on a host where apt or dpkg is broken, in their own words.
"""

from __future__ import annotations

import json
import os
import re
from collections import namedtuple
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.apt import apt, complaint, remedy_of, waiting_for
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import content, mount, no_room
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError, refuse_if

# brings: {name: (version before or "", version after)}; removes, lowers, unholds: names; unknown: why the host's lists
# cannot tell, or "".
Outcome = namedtuple("Outcome", "brings removes lowers unholds unknown")

# What was installed here by provisioner, and what it was installing when it was broken off: only that is its own.
RECORD = Path("/var/lib/provisioner/packages.json")

# Where packages put their files, the last of them their scripts.
SCRIPTS = "/var/lib/dpkg"
PLACES = ("/usr", "/etc", SCRIPTS)
ARCHIVES = Path("/var/cache/apt/archives")
JOURNAL = Path("/var/lib/dpkg/updates")

# Neither depends on a host's own settings of apt.
INSTALL = ("--no-install-recommends", "--no-auto-remove")
NOT_IN_LISTS = re.compile(r"Unable to locate package|has no installation candidate|Version '.*' for '.*' was not found")
# A dry run that needs no lock. As --simulate, which plays through each step too, in half its time; tells sizes as well.
FORESEE = ("--print-uris", "--show-upgraded", "--verbose-versions", *INSTALL)
APT_SECTION = re.compile(r"The following .*?\b(NEW|upgraded|REMOVED|DOWNGRADED|held)\b.*:$")
APT_PACKAGE = re.compile(r"^ {3}(\S+?)\*? \((?:(\S+) => )?(\S+?)\)$")
APT_FETCHES = re.compile(r"^'\S+' \S+ (\d+)", re.MULTILINE)
APT_GROWS = re.compile(r"(?:After this operation, |Space needed: )([\d,.]+) ([kMG]?)B(?! disk space will be freed)")
DNF_SECTION = re.compile(r"(Installing|Upgrading|Downgrading|Reinstalling|Removing)\b.*:$")
DNF_NOT_IN_LISTS = re.compile("Unable to find a match|No match for argument|Cache-only enabled but no cache")


def recorded() -> dict[str, set[str]]:
    """Return the packages that are `installed` by provisioner, and those of an installation that is `pending`."""
    try:
        found = json.loads(content(RECORD))
        return {kind: {str(name) for name in found[kind]} for kind in ("installed", "pending")}
    except (OSError, ValueError, KeyError, TypeError):
        return {"installed": set(), "pending": set()}


def wanted_words(names: list[str], version: str, joint: str) -> list[str]:
    """Return the packages as a package manager takes them, at a version where one is wanted."""
    return [f"{name}{joint}{version}" if version else name for name in names]


def foresee(host: Host, names: list[str], version: str = "", instead: str = "") -> Outcome:
    """Return what installing `names` would do. Raise RefusalError where that is harmful, or the host unfit for it.

    `instead` is what a person can set so that these packages are not needed.
    """
    refuse_mounts(host)
    if host.which("apt-get"):
        outcome = _foresee_apt(host, names, version)
    elif host.which("dnf"):
        outcome = _foresee_dnf(host, names, version)
    else:
        raise RefusalError(
            f"{' '.join(names)} cannot be installed: {host.os_id} has neither apt nor dnf; install them by hand"
        )
    refuse_harm(host, names, outcome, instead)
    return outcome


def refuse_harm(host: Host, names: list[str], outcome: Outcome, instead: str = "") -> None:
    """Raise RefusalError where an installation would remove, downgrade or unhold what provisioner did not install."""
    ours = recorded()["installed"]
    asked = " ".join(names)
    for kind, verb in (("removes", "remove"), ("lowers", "downgrade")):
        others = [name for name in getattr(outcome, kind) if name not in ours]
        if others:
            theirs = " ".join(others)
            by_hand = f"{verb} {theirs} by hand if nothing on the host needs it as it is"
            raise RefusalError(
                f"installing {asked} would {verb} {theirs}, which provisioner did not install; "
                f"{instead or by_hand}, and run this again"
            )
    held = " ".join(name for name in outcome.unholds if name not in ours)
    if held:
        tool = "apt-mark unhold" if host.which("apt-get") else "dnf versionlock delete"
        raise RefusalError(
            f"installing {asked} would change {held}, which is held; unhold it ('{tool} {held}') and run this again"
        )


def refuse_mounts(host: Host) -> None:
    """Raise RefusalError where packages' files cannot be written or their scripts run: dpkg would stop half-way."""
    for place in PLACES:
        try:
            flags = os.statvfs(place).f_flag
        except OSError:
            continue
        # Some sites have apt itself mount it otherwise for as long as it works.
        wrong = "read-only" if flags & os.ST_RDONLY else "noexec" if flags & os.ST_NOEXEC and place == SCRIPTS else ""
        if wrong and not host.ask("apt-config", "dump", "DPkg::Pre-Invoke"):
            option = {"read-only": "rw", "noexec": "exec"}[wrong]
            raise RefusalError(
                f"{place} is mounted {wrong}, so no package can be installed; mount it otherwise "
                f"('mount -o remount,{option}'), or install what is missing into the image, and run this again"
            )


def unfinished(host: Host) -> dict[str, str]:
    """Return the packages that dpkg was stopped in the middle of, with their state; not those with triggers due."""
    return {name: state for name, state in host.unfinished.items() if not state.startswith("triggers")}


def broken_off(host: Host) -> bool:
    """Return whether dpkg was stopped in the middle of something. A dpkg that is at work looks the same."""
    try:
        noted = any(path.name.isdigit() for path in JOURNAL.iterdir())
    except OSError:
        noted = False
    return noted or bool(unfinished(host))


def refuse_unfinished(host: Host, names: list[str]) -> None:
    """Raise RefusalError where dpkg has not finished packages of others: any installation would go on with them."""
    ours = recorded()
    left = unfinished(host)
    others = {name: state for name, state in left.items() if name not in {*names, *ours["installed"], *ours["pending"]}}
    if others:
        name, state = next(iter(others.items()))
        more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
        raise RefusalError(
            f"the package {name} is {state}{more}, and apt would go on with it at any installation; "
            f"mend it on the host ('dpkg --configure {name}' shows why) and run this again"
        )
    if not left and broken_off(host) and not ours["pending"]:
        raise RefusalError(
            "dpkg was interrupted, not by provisioner; run 'dpkg --configure -a' on the host and run this again"
        )


def _foresee_apt(host: Host, names: list[str], version: str) -> Outcome:
    unknown = Outcome({}, [], [], [], "")
    if waiting_for(host):
        return unknown._replace(unknown="another program is at work on the packages")
    refuse_unfinished(host, names)
    if broken_off(host):
        return unknown._replace(unknown="an installation of provisioner's own was broken off")
    words = wanted_words(names, version, "=")
    code, out, errors = host.run(*apt("install", *FORESEE, *words))
    if code and "Unmet dependencies" in errors and host.asked:  # what another role brings may be what is missing
        code, out, errors = host.run(*apt("install", *FORESEE, *words, *host.asked))
    host.asked += words
    if code and NOT_IN_LISTS.search(errors):
        _refuse_pinned(host, names, version)
        return unknown._replace(unknown=complaint(errors, out))
    if code:
        raise _impossible(host, names, out, errors)
    refuse_if(_without_room(" ".join(names), out))
    named = _sections(out)
    brings = {**named.get("NEW", {}), **named.get("upgraded", {}), **named.get("DOWNGRADED", {})}
    return Outcome(brings, *(list(named.get(kind, {})) for kind in ("REMOVED", "DOWNGRADED", "held")), "")


def _impossible(host: Host, names: list[str], out: str, errors: str) -> RefusalError:
    """Return the refusal to install what apt cannot, by what it printed, with why and the remedy."""
    if "Unmet dependencies" in errors:  # of what is there, among which apt lists what is asked for
        _unused, out, errors = host.run(*apt("check", "--simulate"))
    why = complaint(errors, out)
    held = [name for name in sorted(host.held) if re.search(rf"(?<!\S){re.escape(name)}(?!\S)", why)]
    remedy = f"let go of {held[0]}, which is held ('apt-mark unhold {held[0]}'), and run this again" if held else ""
    return RefusalError(f"{' '.join(names)} cannot be installed: {why}; {remedy or remedy_of(why)}")


def _sections(out: str) -> dict[str, dict[str, tuple[str, str]]]:
    """Return the packages of each section of what apt foresees, with the version that is there and the one to come."""
    named: dict[str, dict[str, tuple[str, str]]] = {}
    section = ""
    for line in out.splitlines():
        package = APT_PACKAGE.match(line)
        if package and section:
            named.setdefault(section, {})[package[1]] = (package[2] or "", package[3])
        elif not package:
            heading = APT_SECTION.match(line)
            section = heading[1] if heading else ""
    return named


def _refuse_pinned(host: Host, names: list[str], version: str) -> None:
    """Raise RefusalError where the lists have a package that the host's preferences forbid."""
    known = re.split(r"^(?=\S)", "" if version else host.ask("apt-cache", "policy", *names), flags=re.MULTILINE)
    for name, _unused, table in (of_one.partition(":") for of_one in known):
        if "Candidate: (none)" in table and re.search(r"^\s+\S+ -\d+$", table, re.MULTILINE):
            raise RefusalError(
                f"{name} is forbidden by the host's apt preferences (a pin of negative priority: 'apt-cache policy "
                f"{name}'); change /etc/apt/preferences.d, or install {name} by hand, and run this again"
            )


def _without_room(names: str, out: str) -> str:
    """Return what to say of a disk that is too small for what apt would fetch or unpack: apt itself looks too late."""
    fetched, grown = sum(map(int, APT_FETCHES.findall(out))), space_needed(out)
    what = f"what is installed for {names}"
    if mount(ARCHIVES) == mount("/usr"):
        return str(no_room("/usr", fetched + grown, what))
    return str(no_room(ARCHIVES, fetched, f"what is fetched for {names}") or no_room("/usr", grown, what))


def space_needed(out: str) -> int:
    """Return the bytes that apt says more are used once it is done; 0 where it says none."""
    found = APT_GROWS.search(out)
    return int(float(found[1].replace(",", "")) * 1000 ** " kMG".index(found[2] or " ")) if found else 0


def _foresee_dnf(host: Host, names: list[str], version: str) -> Outcome:
    """Foresee by what dnf has in its cache. Not run on a host by this project's tests."""
    words = wanted_words(names, version, "-")
    code, out, errors = host.run("dnf", "--cacheonly", "--assumeno", "install", *words)
    outcome = Outcome({}, [], [], [], "")
    if code and DNF_NOT_IN_LISTS.search(errors + out):
        return outcome._replace(unknown=complaint(errors, out))
    if "excluded by" in errors or "filtered out by exclude" in errors:
        held = [name for name in names if name in host.held]
        if held:
            return outcome._replace(unholds=held)
    if code and "Operation aborted" not in errors + out:
        why = complaint(errors, out)
        raise RefusalError(f"{' '.join(names)} cannot be installed: {why}; {remedy_of(why)}")
    _read_dnf(host, out, outcome)
    return outcome


def _read_dnf(host: Host, out: str, outcome: Outcome) -> None:
    """Put into the outcome what dnf says that it would do."""
    section = ""
    for line in out.splitlines():
        found = DNF_SECTION.match(line)
        row = re.match(r" (\S+)(?:\s+\S+\s+(\S+))?", line)
        replaced = re.match(r"\s+replacing\s+(\S+)\.\w+\s", line)
        if found:
            section = found[1]
        elif replaced:
            outcome.removes.append(replaced[1])
        elif not line.startswith(" "):
            section = ""
        elif row and section == "Removing":
            outcome.removes.append(row[1])
        elif row and section:
            outcome.brings[row[1]] = (host.packages.get(row[1], ""), row[2] or "")
            if section == "Downgrading":
                outcome.lowers.append(row[1])
