"""Packages at a wanted version that stay there: what is off about them, and what bringing them would change."""

from __future__ import annotations

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import signed_repository as signed
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.apt import age_of_lists, lists_are_new
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, change
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.installation import Outcome, foresee

Changes = list[dict[str, str]]


def off(host: Host, names: list[str], version: str = "") -> list[str]:
    """Return those of `names` that are missing, or of another version than `version` (empty for any)."""
    return [name for name in names if name not in host.packages or (version and host.packages[name] != version)]


def look(
    host: Host, names: list[str], version: str = "", repositories: dict | None = None, instead: str = ""
) -> Changes:
    """Return what `signed_repository` and then `host_packages` would change, dependencies too, with their versions.

    `repositories`, by distribution, is where they come from, if not the host's own sources. Where the source is still
    to come, its versions are not known. `instead` is what a person can set so that none of it is needed. Raises
    RefusalError where the host would come to harm, or apt is broken. Starts nothing where nothing is missing.
    """
    shared = bool(repositories) and signed.pick(host, repositories).get("shared_names")
    missing = names if shared else off(host, names, version)
    outcome = foresee(host, missing, version, instead) if missing else None
    found = sources(host, repositories, outcome) if repositories else []
    if outcome and found:  # what the source that is to come has is not known
        outcome = outcome._replace(brings={})
    return found + (brought(host, missing, version, outcome) if outcome else [])


def holds(host: Host, names: list[str]) -> Changes:
    """Return what is off where upgrades are not to change packages."""
    return [change(f"hold on {name}", "absent", "present") for name in names if name not in host.held]


def sources(host: Host, repositories: dict, outcome: Outcome | None) -> Changes:
    """Return what is off about the repository: ours is kept as it is wanted; where the host has none, and its own
    sources do not offer what is missing (`outcome` says; None where nothing is), it is to come.
    """
    repository = signed.pick(host, repositories)
    offered = not (repository.get("shared_names") or (outcome and outcome.unknown))
    if not signed.is_ours(repository) and (offered or signed.configured(host, repository)):
        return []
    return list(signed.look(host, repository))


def brought(host: Host, missing: list[str], version: str, outcome: Outcome) -> Changes:
    """Return the packages that come or change with them; where that is not known, the names that are asked for."""
    named = [name for name in missing if name not in outcome.brings]
    stale = host.which("apt-get") and not lists_are_new()
    return [
        *([change("apt's package lists", age_of_lists(), "refreshed")] if stale else []),
        *(change(f"package {name}", host.packages.get(name, "absent"), version or "newest") for name in named),
        *(
            change(f"package {name}", before or "absent", after)
            for name, (before, after) in sorted(outcome.brings.items())
        ),
        *(change(f"package {name}", host.packages.get(name, "present"), "removed") for name in outcome.removes),
    ]
