"""The filter by which playbooks turn a run's evidence into its record."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

try:
    from provisioner import collect
except ImportError:  # a plain ansible-playbook in a checkout, where the package is not installed
    sys.path.append(str(Path(__file__).resolve().parents[3]))
    try:
        from provisioner import collect
    except ImportError as missing:
        collect = None
        reason = missing


def scenario_a_record(evidence: str, host: str) -> dict[str, Any]:
    """Return the record of the run whose evidence lies in the folder, as plain data.

    The record is kept beside the evidence: a second call returns it as it is.
    Raises AnsibleFilterError where the evidence is not that of a run.
    """
    if collect is None:
        raise AnsibleFilterError(f"the record needs the Python package provisioner beside Ansible: {reason}")
    try:
        return collect.of_evidence(Path(evidence), host).model_dump(mode="json")
    except (OSError, ValueError) as error:
        raise AnsibleFilterError(f"no record can be made of {evidence}: {error}") from error


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"scenario_a_record": scenario_a_record}
