"""Files of PyPI: the links that its simple index has, and what they lead to.

pypi.py PROJECT NAME_PATTERN FILE      downloads the one file whose name matches, its sum checked
"""

import hashlib
import re
import sys
import urllib.request
from pathlib import Path

LINK = re.compile(r'<a href="https://(?P<place>[^"#]+)#sha256=(?P<sha256>[0-9a-f]{64})"[^>]*>(?P<name>[^<]+)</a>')


def links(project: str) -> list[re.Match[str]]:
    """Return the links of a project's page, each with the groups place, sha256 and name."""
    with urllib.request.urlopen(f"https://pypi.org/simple/{project}/", timeout=60) as answer:
        return list(LINK.finditer(answer.read().decode()))


def download(project: str, pattern: str, file: Path) -> None:
    """Write the file whose whole name matches `pattern`. Exit where there is not exactly one, or its sum is wrong."""
    found = [link for link in links(project) if re.fullmatch(pattern, link["name"])]
    if len(found) != 1:
        sys.exit(f"PyPI has {len(found)} files of {project} that match {pattern}")
    with urllib.request.urlopen(f"https://{found[0]['place']}", timeout=60) as answer:
        content = answer.read()
    if hashlib.sha256(content).hexdigest() != found[0]["sha256"]:
        sys.exit(f"{found[0]['name']} has another sum than PyPI says")
    file.write_bytes(content)


if __name__ == "__main__":
    download(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
