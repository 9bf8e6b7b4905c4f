"""Makes the manual page for the wheel, of the table of commands, which imports nothing but Python itself."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualPage(BuildHookInterface[Any]):
    """Adds share/man/man1/provisioner.1."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the page to a folder that goes when the build does; an editable installation needs none."""
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        from provisioner.cli import TABLE  # noqa: PLC0415
        from provisioner.command_line import manual  # noqa: PLC0415 - of the tree that is built

        self.folder = tempfile.TemporaryDirectory()
        page = Path(self.folder.name) / "provisioner.1"
        page.write_text(manual.page(TABLE), encoding="utf-8")
        build_data["shared_data"][str(page)] = "share/man/man1/provisioner.1"
