"""Lookup `devcontainer_json`: whether Scenario A can be made of a devcontainer.json, and what it takes out of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):
    """Gives for each file of `terms` its `refusal`, '' where it can be used, and what is `taken_out`, a line each."""

    def run(self, terms: list[str], *_: Any, script: str, **__: Any) -> list[dict[str, Any]]:
        """`script` is the path of the devcontainer_json.py that runs are made with."""
        maker = _module(Path(script))
        found = []
        for path in terms:
            try:
                _, taken_out = maker.transform(maker.read(Path(path)), gpus=False, env={}, mounts=[])
                found.append({"refusal": "", "taken_out": taken_out})
            except maker.BaseError as error:
                found.append({"refusal": f"{path}: {error}", "taken_out": []})
        return found


def _module(path: Path) -> Any:
    """Import a script from its file, so that controller and host go by the same one."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise AnsibleLookupError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
