"""Action `file_tree`: a folder and some texts from the controller onto a host, in one round trip.

ansible.builtin.copy and template take at least two for each file, whether or not it is there already. See the module of
this name for what is done on the host.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """What Ansible calls."""

    _VALID_ARGS = frozenset({"src", "dest", "texts", "copies", "absent"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read the files here and have them written there, the texts before the files of `src`."""
        result = super().run(tmp, task_vars)
        arguments = self._task.args
        texts = arguments.get("texts", {})
        if not (isinstance(texts, dict) and all(isinstance(text, str) for text in texts.values())):
            raise AnsibleActionFail("texts is not a mapping of paths to texts")
        files = [{"path": path, "content": text, "mode": "0644"} for path, text in texts.items()]
        files += tree(Path(self._find_needle("files", arguments["src"]))) if "src" in arguments else []
        options = {"dest": arguments["dest"], "files": files}
        options |= {name: arguments[name] for name in ("copies", "absent") if name in arguments}
        answer: dict[str, Any] = self._execute_module("file_tree", options, task_vars=task_vars)
        # The texts are long, and what changed is in the diff.
        return {**result, **answer, "invocation": {"module_args": {"dest": arguments["dest"], "texts": sorted(texts)}}}


def tree(folder: Path) -> list[dict[str, str]]:
    """Every file below `folder`: its path there, its content, and whether it is a program, as git keeps that."""
    return [
        {
            "path": str(path.relative_to(folder)),
            "content": path.read_text(encoding="utf-8"),
            "mode": "0755" if path.stat().st_mode & 0o100 else "0644",
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]
