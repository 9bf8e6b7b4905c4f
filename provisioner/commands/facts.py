"""`provisioner facts`: prints the records of finished runs, or what a query makes of them."""

from argparse import Namespace
from fnmatch import fnmatchcase
from pathlib import Path

from provisioner import facts
from provisioner.commands.common import say
from provisioner.errors import Exit, ProvisionerError
from provisioner.paths import state_dir
from provisioner.store import Run, Store

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Print the records that this machine has; --limit is of host names and wildcards."""
    if options.json and options.output not in {None, "json"}:
        raise ProvisionerError(
            f"--json and -o {options.output} contradict each other", "give one of them", Exit.BAD_INPUT
        )
    if options.query is not None:
        facts.check_query(options.query)
    form = options.output or ("json" if options.json else "table")
    store = Store(state_dir(options.state_dir))
    runs = [run for run in store.list() if _meant(run, options.limit)]
    for line in store.broken:
        say(line)
    if options.trace is not None:
        from provisioner import trace  # noqa: PLC0415 - it needs the record's types, which take a while to load

        trace.write(Path(options.trace), [run.record for run in runs])
        say(f"{len(runs)} runs are in {options.trace}; open it at https://ui.perfetto.dev")
        return Exit.DONE
    document = facts.document(runs)
    if not runs and options.query is None and form == "table":
        say(f"no runs in {store.state}; `provisioner run` makes one")
        return Exit.DONE
    value = document if options.query is None else facts.search(options.query, document)
    if value is None and form in {"table", "csv"}:
        say("the query selects nothing")
        return Exit.DONE
    print(facts.FORMATS[form](value))
    return Exit.DONE


def _meant(run: Run, limit: str | None) -> bool:
    return not limit or any(fnmatchcase(run.host, name) for name in limit.replace(":", ",").split(",") if name)
