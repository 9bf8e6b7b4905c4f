"""The playbooks of docs/collection.md, as they stand there."""

import re
from pathlib import Path

import yaml

PAGE = Path(__file__).parents[1] / "docs/collection.md"


def playbooks() -> dict[str, str]:
    """Return the text of each playbook on the page, by the heading that it is under."""
    parts = re.split(r"^## (.+)\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    sections = zip(parts[::2], parts[1::2], strict=True)
    blocks = ((title, text) for title, part in sections for text in re.findall(r"```yaml\n(.*?)```", part, re.DOTALL))
    return {title: text for title, text in blocks if isinstance(yaml.safe_load(text), list)}
