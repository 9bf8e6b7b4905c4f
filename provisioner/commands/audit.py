"""`provisioner audit RUN`: judges a run's evidence again, and shows each check."""

from argparse import Namespace

from provisioner import audit
from provisioner.commands.common import print_json, say
from provisioner.errors import Exit
from provisioner.evidence import Evidence
from provisioner.paths import state_dir
from provisioner.store import Store
from provisioner.text import table

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Print the verdict and its checks; the exit code is 4 where the run is rejected."""
    store = Store(state_dir(options.state_dir))
    run = store.get(options.run)
    result = audit.judge(Evidence(run.folder))
    if options.json:
        print_json(result.model_dump(mode="json"))
    else:
        print(f"{run.run_id} on {run.host}: {result.verdict}")
        rows = [[check.name, check.outcome, check.detail, check.evidence] for check in result.checks]
        print(table(["check", "outcome", "detail", "evidence"], rows))
        say(f"the evidence lies in {run.folder}")
    return Exit.REJECTED if result.verdict == "rejected" else Exit.DONE
