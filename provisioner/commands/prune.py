"""`provisioner prune --keep RULE`: forgets the runs of this machine that no rule keeps; says which, before it does."""

from argparse import Namespace

from provisioner.commands.common import print_json, say, say_why_none
from provisioner.commands.typed_options import of_runs
from provisioner.errors import Exit
from provisioner.report import document
from provisioner.store import Store, retention, selection
from provisioner.system.paths import state_dir
from provisioner.text.display import counted

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Show which runs would be deleted; with --yes delete them."""
    rules = [retention.rule(text) for text in options.keep]
    store = Store(state_dir(options.state_dir))
    which = selection.of_options(of_runs(options))
    runs = store.list(which, fields=(*document.TABLE_FIELDS, *retention.FIELDS))
    say_why_none(store, which, runs)
    gone = retention.to_forget(runs, rules)
    ids = [run.run_id for run in gone]
    if gone and not options.json:
        print(document.runs_table([run.record for run in gone]))
    if options.yes:
        for run in gone:
            store.delete(run)
    if runs:
        kept = counted(len(runs) - len(gone), "run")
        said = "are deleted here" if options.yes else "would be deleted; --yes deletes them"
        say(f"{kept} kept; {counted(len(gone), 'run')} {said}" if gone else f"{kept} kept; there is nothing to delete")
    if options.json:
        print_json({"deleted": ids if options.yes else [], "would_delete": [] if options.yes else ids})
    return Exit.DONE
