"""The module host_checks, whose answer is parsed before Ansible sees it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action.normal import ActionModule as NormalAction

sys.path.append(str(Path(__file__).resolve().parents[2]))  # where the package is not installed
from provisioner import answers
from provisioner.worker import asking


class ActionModule(NormalAction):
    """What Ansible calls."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module. Raise AnsibleActionFail where the answer is not what was asked for."""
        with asking(self._connection.transport):
            sources_only = boolean(self._task.args.get("sources_only", False))
            return answers.checks(super().run(tmp, task_vars), sources_only=sources_only)
