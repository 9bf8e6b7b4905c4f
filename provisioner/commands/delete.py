"""`provisioner delete RUN…`: removes runs from this machine, evidence too."""

import sys
from argparse import Namespace

from provisioner.commands.common import print_json, say
from provisioner.errors import Exit, ProvisionerError
from provisioner.store import Run, Store
from provisioner.system.paths import state_dir

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Delete the runs, after a question; all of them must be there, or none is touched."""
    store = Store(state_dir(options.state_dir))
    runs = list({run.run_id: run for run in map(store.get, options.run)}.values())
    if not options.yes:
        _ask(runs)
    for run in runs:
        store.delete(run)
        say(f"{run.host}: run {run.run_id} is deleted here; a copy on the host stays there")
    if options.json:
        print_json({"deleted": [run.run_id for run in runs]})
    return Exit.DONE


def _ask(runs: list[Run]) -> None:
    """Raise ProvisionerError (code 2) where a person does not say yes."""
    if not sys.stdin.isatty():
        raise ProvisionerError("there is no terminal on which to ask whether to delete", "give --yes", Exit.BAD_INPUT)
    for run in runs:
        say(f"{run.run_id} on {run.host}, {run.folder}")
    print("Delete for good? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise ProvisionerError("nothing was deleted", code=Exit.BAD_INPUT)
