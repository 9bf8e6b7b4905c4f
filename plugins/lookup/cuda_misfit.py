"""Lookup `cuda_misfit`: why architectures, the base image's CUDA and torch's do not go together, by names alone."""

from __future__ import annotations

DOCUMENTATION = r"""
name: cuda_misfit
short_description: Why architectures and CUDA do not go together
author: The provisioner authors (!UNKNOWN)
description:
  - Compares architectures with the base image's CUDA and with torch's, by names alone.
options:
  _terms:
    description: Names of base images.
    type: list
    elements: str
    required: true
  arch_list:
    description: What is compiled for, as torch takes it; empty for the GPUs' own.
    type: str
    required: true
  pip_calls:
    description: The arguments of each call of pip.
    type: list
    elements: list
    required: true
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: >-
      {{ lookup('provisioner.gpu_hosts.cuda_misfit', 'nvidia/cuda:12.8.0-devel-ubuntu22.04', arch_list='9.0',
                pip_calls=[['torch']]) }}
"""

RETURN = r"""
_raw:
  description: For each image what is wrong, with the remedy; empty where nothing is known to be.
  type: list
  elements: str
"""

from typing import Any

from ansible.plugins.lookup import LookupBase

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import cuda  # the same file as on hosts


class LookupModule(LookupBase):
    """Gives for each base image of `terms` what is wrong with it, with the remedy; '' where nothing is known to be."""

    def run(self, terms: list[str], *_: Any, arch_list: str, pip_calls: list[list[str]], **__: Any) -> list[str]:
        """Return the misfits. `arch_list` is torch's, '' for the GPUs' own; `pip_calls` has each call's arguments."""
        return [refusal(image, str(arch_list), pip_calls) for image in terms]


def refusal(image: str, arch_list: str, pip_calls: list[list[str]]) -> str:
    """Return the first thing that cannot go well, in one line."""
    found = [each for each in cuda.misfits(image, arch_list, pip_calls) if each.outcome == "fail"]
    return "; ".join(found[0][1:]) if found else ""
