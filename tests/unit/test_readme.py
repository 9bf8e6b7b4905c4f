"""README.md is also the page of the wheel, where no file lies beside it: each link there reads as the file's path."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_link_to_a_file_reads_as_its_path_and_the_file_is_there():
    links = [link for link in re.findall(r"\[([^]]+)\]\(([^)]+)\)", TEXT) if "://" not in link[1]]
    assert len(links) > 15
    for text, target in links:
        assert text == target and (ROOT / target).is_file(), target


def test_it_installs_the_distribution_by_its_name():
    name = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    assert f"{name}[compare]" in TEXT and f"{name.replace('-', '_')}-0" in TEXT
