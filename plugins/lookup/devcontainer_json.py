"""Lookup `devcontainer_json`: whether Scenario A can be made of a devcontainer.json, and what it takes out of it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: devcontainer_json
short_description: Whether Scenario A can be made of a devcontainer.json
author: The provisioner authors (!UNKNOWN)
description:
  - Says why a devcontainer.json cannot be used, and what is taken out of it.
options:
  _terms:
    description: Files on the controller.
    type: list
    elements: path
    required: true
  script:
    description: The devcontainer_json.py that runs are made with.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: "{{ lookup('provisioner.gpu_hosts.devcontainer_json', 'devcontainer.json', script=script) }}"
"""

RETURN = r"""
_raw:
  description: C(refusal), empty where the file can be used, and C(taken_out), a line each, for each file.
  type: list
  elements: dict
"""

import importlib.util
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):
    """Gives for each file of `terms` its `refusal`, '' where it can be used, and what is `taken_out`, a line each."""

    def run(self, terms: list[str], *_: Any, script: str, **__: Any) -> list[dict[str, Any]]:
        """Return the answer. `script` is the path of the devcontainer_json.py that runs are made with."""
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
        raise AnsibleLookupError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
