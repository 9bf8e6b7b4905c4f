"""`provisioner report`: the finished runs as a page to look at, and as files for other programs."""

import sys
from argparse import Namespace

from provisioner.commands.common import print_json, say_why_none
from provisioner.commands.typed_options import of_runs
from provisioner.errors import Exit, ProvisionerError, of_option
from provisioner.report import formats, model
from provisioner.store import Store
from provisioner.store.selection import of_options
from provisioner.system.files import replacing
from provisioner.system.paths import given, state_dir

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Write each format that was asked for to its file; where none was, print Markdown."""
    known = formats.of(formats.REPORT)
    asked = {name: path for name in known if (path := getattr(options, name))}
    _check(asked)
    store = Store(state_dir(options.state_dir))
    which = of_options(of_runs(options))
    report = model.build(store.list(which))
    say_why_none(store, which, report.samples)
    for name, path in asked.items():
        with of_option(f"--{name}"), replacing(given(path)) as file:
            known[name].write(report, file)
    if options.json:
        print_json({"hosts": len(report.by_host), "runs": len(report.samples), "files": asked})
    elif not asked:
        known["markdown"].write(report, sys.stdout)
    return Exit.DONE


def _check(asked: dict[str, str]) -> None:
    paths = []
    for name, path in asked.items():
        with of_option(f"--{name}"):
            paths.append(given(path))
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice:
        raise ProvisionerError(f"{twice} is named for two formats", "give each a file of its own", Exit.BAD_INPUT)
