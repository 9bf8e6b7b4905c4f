"""Lookup `cuda_architectures`: a list of architectures as people write it, with torch's names for them as numbers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase

sys.path.append(str(Path(__file__).resolve().parents[1] / "module_utils"))  # the same file as on hosts
import provisioner_cuda


class LookupModule(LookupBase):
    """Gives each list of `terms` in numbers: "Hopper" is 9.0+PTX."""

    def run(self, terms: list[str], *_: Any, **__: Any) -> list[str]:
        """Replace the names."""
        return [provisioner_cuda.numbers(str(text)) for text in terms]
