"""`provisioner audit RUN|DIR`: judges a run's evidence again, and shows each check."""

from argparse import Namespace
from pathlib import Path

from provisioner import audit, upstream
from provisioner.commands.common import print_json, say
from provisioner.errors import Exit, ProvisionerError
from provisioner.evidence import Evidence
from provisioner.paths import state_dir
from provisioner.record import Audit
from provisioner.store import Store
from provisioner.text import table

__all__ = ["main"]

ORDER = ("fail", "skip", "pass")


def main(options: Namespace) -> int:
    """Print the verdict and its checks, the deciding ones first; the exit code is 4 where the run is rejected."""
    folder = _folder(options)
    run_id, result = _judged(folder)
    if options.json:
        print_json(result.model_dump(mode="json"))
    else:
        checks = sorted(result.checks, key=lambda check: ORDER.index(check.outcome))
        print(f"{run_id}: {result.verdict}")
        rows = [[check.outcome, check.name, check.detail, check.evidence] for check in checks]
        print(table(["outcome", "check", "detail", "evidence"], rows))
        say(f"the evidence lies in {folder}")
    return Exit.REJECTED if result.verdict == "rejected" else Exit.DONE


def _judged(folder: Path) -> tuple[str, Audit]:
    """Give the run's id and the verdict on it. Raises ProvisionerError (code 2)."""
    try:
        if imported := upstream.in_folder(folder):
            return imported.run_id, imported.audit
        evidence = Evidence(folder)
        return evidence.run["run_id"], audit.judge(evidence)
    except ValueError as error:
        raise ProvisionerError(str(error), "give the folder of a run's evidence", Exit.BAD_INPUT) from error


def _folder(options: Namespace) -> Path:
    """Give the evidence of a run in the store, or a folder that was never in it.

    What has a slash, or holds a run.json, is a folder.
    """
    path = Path(options.run)
    if (path / "run.json").is_file() or "/" in options.run:
        return path
    return Store(state_dir(options.state_dir)).get(options.run).folder
