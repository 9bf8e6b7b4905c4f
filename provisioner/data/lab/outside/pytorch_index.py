"""Make pages of PyTorch's index in a folder: torch and its kin at one version, each link to PyPI's own file.

pytorch_index.py FOLDER
"""

import sys
from pathlib import Path

from pypi import links

VERSIONS = {"torch": "2.11.0", "torchvision": "0.26.0", "torchaudio": "2.11.0"}


def main(folder: Path) -> None:
    """Ask PyPI for the files of each, and write those of the version down. Exit where it has none."""
    for name, version in VERSIONS.items():
        wanted = [link[0] for link in links(name) if link["name"].startswith(f"{name}-{version}-")]
        if not wanted:
            sys.exit(f"PyPI has no {name} {version}")
        page = folder / name / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("<!DOCTYPE html>\n" + "\n".join(f"{link}<br>" for link in wanted), encoding="utf-8")


main(Path(sys.argv[1]))
