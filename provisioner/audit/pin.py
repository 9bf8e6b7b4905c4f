"""What whoever changes a script or a rule does: `python -m provisioner.audit.pin`, as part of the same change.

It adds the set of files that lies in the role, where it is new, and notes the sums of the audit's own code. See
CONTRIBUTING.md, "To change a script or a rule".
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from provisioner.audit import devcontainer_keys, known_bases, known_sources, shipped
from provisioner.audit.rules import NUMBER, RULES

__all__ = ["PINNED", "add_set", "of_rules"]

PINNED = Path(__file__).parent / "rules.json"
NOT_RULES = {"pin.py", "shipped.py"}


def of_rules() -> dict[str, object]:
    """Return the number of the rules, what they ask since when, and the sums of the code that asks and of its data."""
    here = Path(__file__).parent
    code = {
        path.relative_to(here).as_posix(): path for path in sorted(here.rglob("*.py")) if path.name not in NOT_RULES
    }
    code |= {path.name: path for path in (devcontainer_keys.source(), known_sources.DATA, known_bases.DATA)}
    return {
        "number": NUMBER,
        "since": {rule.name: rule.since for rule in RULES},
        "code": {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in code.items()},
    }


def add_set() -> Path | None:
    """Write the set of the role's files beside the others; None where it is known already."""
    here = shipped.role_files()
    if here.digest in {one.digest for one in shipped.load()}:
        return None
    path = shipped.SETS / f"{here.since:%Y%m%dT%H%M%SZ}-{here.digest[:12]}.json"
    path.write_text(json.dumps(here.document(), indent=1) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    print(add_set() or "this set of files is known")
    PINNED.write_text(json.dumps(of_rules(), indent=1) + "\n", encoding="utf-8")
    print(f"rules {NUMBER}: {PINNED.name} has the sums of their code")
