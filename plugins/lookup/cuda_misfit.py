"""Lookup `cuda_misfit`: why architectures, the base image's CUDA and torch's do not go together, by names alone."""

from __future__ import annotations

from typing import Any

from ansible.plugins.lookup import LookupBase

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import cuda  # the same file as on hosts


class LookupModule(LookupBase):
    """Gives for each base image of `terms` what is wrong with it, with the remedy; '' where nothing is known to be."""

    def run(self, terms: list[str], *_: Any, arch_list: str, pip_calls: list[list[str]], **__: Any) -> list[str]:
        """`arch_list` is as torch takes it, '' for the GPUs' own; `pip_calls` are the arguments of each call of pip."""
        return [refusal(image, str(arch_list), pip_calls) for image in terms]


def refusal(image: str, arch_list: str, pip_calls: list[list[str]]) -> str:
    """Return the first thing that cannot go well, in one line."""
    found = [each for each in cuda.misfits(image, arch_list, pip_calls) if each.outcome == "fail"]
    return "; ".join(found[0][1:]) if found else ""
