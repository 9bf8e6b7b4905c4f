"""What several commands take in the same way: their arguments as the typed options that all below `commands/` takes."""

from argparse import Namespace
from typing import Any

from provisioner.ansible.target import TargetOptions
from provisioner.store.selection import RunOptions

__all__ = ["idle", "of_runs", "of_target"]


def of_target(options: Namespace) -> TargetOptions:
    """Return the common options that say what a command is done to, and how."""
    return TargetOptions(
        inventory=tuple(options.inventory or ()),
        limit=options.limit,
        profile=options.profile,
        runtime=options.runtime,
        extra_vars=tuple(options.extra_vars or ()),
        forks=options.forks,
        state_dir=options.state_dir,
        verbosity=options.verbose,
    )


def of_runs(options: Namespace) -> RunOptions:
    """Return the options that say which runs of the store are meant, as far as the command has them."""
    given = vars(options)
    return RunOptions(
        hosts=tuple(given.get("host") or ()),
        limit=options.limit,
        inventory=tuple(options.inventory or ()),
        since=given.get("since"),
        min_rules=given.get("min_rules"),
        last=given.get("last"),
    )


def idle(options: Namespace) -> dict[str, Any]:
    """Return --require-idle as the variable that it is to Ansible; nothing where it was not given."""
    return {"provisioner_require_idle": True} if options.require_idle else {}
