"""Action `file_tree`: a folder and some texts from the controller onto a host, in one round trip.

ansible.builtin.copy and template take at least two for each file, whether or not it is there already. See the module of
this name for what is done on the host.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.package import answers, asking

FORWARDED = ("folders", "copies", "links", "absent", "readable")
"""What the module gets as it was given here."""


class ActionModule(ActionBase):
    """What Ansible calls."""

    _VALID_ARGS = frozenset({"src", "dest", "texts", *FORWARDED})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read the files here and have them written there, the texts before the files of `src`."""
        result = super().run(tmp, task_vars)
        arguments = self._task.args
        texts = arguments.get("texts", {})
        if not isinstance(texts, dict):
            raise AnsibleActionFail("texts is not a mapping of paths to texts")
        files = [self._described(path, text) for path, text in texts.items()]
        files += tree(Path(self._find_needle("files", arguments["src"]))) if "src" in arguments else []
        if not self._task.diff:  # not the host's journal either gets to know what they hold
            files = [{**each, "content": "", "secret": each["content"]} for each in files]
        options = {"dest": arguments["dest"], "files": files}
        options |= {name: arguments[name] for name in FORWARDED if name in arguments}
        with asking(self._connection.transport):
            answer = answers.module(
                self._execute_module("provisioner.gpu_hosts.file_tree", options, task_vars=task_vars)
            )
        # The texts are long, and what changed is in the diff.
        return {**result, **answer, "invocation": {"module_args": {"dest": arguments["dest"], "texts": sorted(texts)}}}

    def _described(self, path: str, text: Any) -> dict[str, str]:
        """Return a file as the module takes it, of what `texts` has for its path: its content, or a dictionary."""
        wanted = {"content": text} if isinstance(text, str) else text
        if not isinstance(wanted, dict) or len({"content", "src"} & set(wanted)) != 1:
            raise AnsibleActionFail(f"texts has no text for {path}, and no dictionary with its content or its src")
        if "content" in wanted:
            content = wanted["content"].encode()
        else:
            content = Path(self._find_needle("files", wanted["src"])).read_bytes()
        return file(path, content, wanted.get("mode", "0644"))


def file(path: str, content: bytes, mode: str) -> dict[str, str]:
    """Return a file as the module takes it: JSON has no bytes, so each of them is a character."""
    return {"path": path, "content": content.decode("latin-1"), "mode": mode}


def tree(folder: Path) -> list[dict[str, str]]:
    """Return every file below `folder`: its path there, its content, and whether it is a program, as git keeps that."""
    return [
        file(str(path.relative_to(folder)), path.read_bytes(), "0755" if path.stat().st_mode & 0o100 else "0644")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]
