"""What modules have in common whose work takes long: module_utils/patience.py."""

from __future__ import annotations


class ModuleDocFragment:
    """As Ansible has it."""

    DOCUMENTATION = r"""
options:
  report_every:
    description:
      - Answer after so many seconds, with C(finished) false and in C(says) what a program printed last, and go on
        waiting when called again with the same options. 0 answers when all is done.
    type: int
    default: 0
"""
