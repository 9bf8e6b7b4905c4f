"""Make a folder with the pip, setuptools and wheel of Ubuntu 22.04, from PyPI.

old_packages.py FOLDER
"""

import re
import sys
import tempfile
import zipfile
from pathlib import Path

from pypi import download

VERSIONS = {"pip": "22.0.2", "setuptools": "59.6.0", "wheel": "0.37.1"}


def main(folder: Path) -> None:
    """Unpack the wheels there; they are pure Python."""
    for name, version in VERSIONS.items():
        with tempfile.NamedTemporaryFile() as file:
            download(name, rf"{name}-{re.escape(version)}-(py2\.)?py3-none-any\.whl", Path(file.name))
            with zipfile.ZipFile(file.name) as wheel:
                wheel.extractall(folder)


main(Path(sys.argv[1]))
