"""`provisioner audit RUN|DIR|FILE`: judges a run's evidence again, and shows each check."""

from argparse import Namespace
from pathlib import Path

from provisioner import upstream
from provisioner.audit.judge import judge
from provisioner.audit.verdict import sentence
from provisioner.commands.common import print_json, say
from provisioner.errors import Exit, ProvisionerError
from provisioner.runs.evidence import MISSHAPEN, Evidence
from provisioner.runs.record import Audit, Check, Place
from provisioner.signatures import vouching as signatures
from provisioner.signatures.vouching import Vouching
from provisioner.store import Store
from provisioner.system.paths import given, state_dir
from provisioner.text import bounds
from provisioner.text.display import printable
from provisioner.view import screen
from provisioner.view.tables import table

__all__ = ["main"]

ORDER = ("fail", "skip", "pass", "-")


def main(options: Namespace) -> int:
    """Print the verdict and its checks, the deciding ones first; the exit code is 4 where the run is rejected.

    Beside it stands who vouches for the evidence, which is no part of the verdict; a wrong signature is 4 as well.
    """
    folder, host = _found(options)
    run_id, result = _judged(folder)
    vouching = _vouching(folder, host, options, result)
    document = result.model_dump(mode="json")
    if options.json:
        print_json(document | ({"signatures": vouching.document()} if vouching else {}))
    else:
        screen.show(printable(f"{run_id}: {sentence(document)}", bounds.LINE))
        rows = [row for check in result.checks for row in _rows(check)]
        print(table(["outcome", "check", "detail", "evidence"], sorted(rows, key=lambda row: ORDER.index(row[0]))))
        for line in vouching.lines() if vouching else ():
            say(line)
        if result.rules:
            made_of = f"shipped set {result.shipped_set[:12]}" if result.shipped_set else "no set that was shipped"
            say(f"judged by rules {result.rules}; the files that ran are {made_of}")
        say(f"the evidence is in {folder}")
    return Exit.REJECTED if result.verdict == "rejected" or (vouching and vouching.accuses) else Exit.DONE


def _vouching(folder: Path, host: str | None, options: Namespace, audit: Audit) -> Vouching | None:
    """Return who vouches for the evidence; None for a log of the shell benchmark, which nobody signs."""
    if not any(check.name == "evidence_is_whole" for check in audit.checks):
        return None
    whole = signatures.is_whole(audit)
    return signatures.of(Evidence(folder), state_dir(options.state_dir), whole=whole, host=host)


def _rows(check: Check) -> list[list[str]]:
    """Return a row for each thing that a check found; a dash for the outcome where the check counts for nothing."""
    places = [Place(detail=check.detail, evidence=check.evidence), *check.others]
    outcome = check.outcome if check.asked == "yes" else "-"
    return [[outcome, check.name, found.detail, found.evidence] for found in places]


def _judged(folder: Path) -> tuple[str, Audit]:
    """Return the run's id and the verdict on it. Raise ProvisionerError (code 2)."""
    try:
        evidence = Evidence(folder)
        if not evidence.archive and (imported := upstream.in_folder(folder)):
            return imported.run_id, imported.audit
        return evidence.run["run_id"], judge(evidence)
    except MISSHAPEN as error:
        raise ProvisionerError(str(error), "give a folder or an archive of a run's evidence", Exit.BAD_INPUT) from error


def _found(options: Namespace) -> tuple[Path, str | None]:
    """Return the evidence of a run in the store and its host, or a folder or an archive that was never in it.

    What has a slash, is an archive or holds one, or a run.json, is not looked for in the store.
    """
    path = given(options.run)
    if "/" in options.run or Evidence(path).archive or (path / "run.json").is_file():
        return path, None
    run = Store(state_dir(options.state_dir)).get(options.run)
    return run.folder, run.host
