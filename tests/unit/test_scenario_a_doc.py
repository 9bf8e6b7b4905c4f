"""docs/scenario-a.md, by what it names: checks of the audit, files, variables."""

import re
from pathlib import Path

import pytest
import yaml

from provisioner.audit.checks import record
from provisioner.audit.rules import RULES
from provisioner.runs.phases import PHASES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/scenario-a.md"
TEXT = PAGE.read_text(encoding="utf-8")
LAID_DOWN = ROOT / "roles/scenario/files/xformers-devcontainer"
CHECKS = {*(rule.name for rule in RULES), record.record_is_true.__name__}

# `known_hosts` is a file of ssh's.
OTHER_NAMES = {"known_hosts"}


def code(text):
    """What stands between backticks."""
    return set(re.findall(r"`([^`]+)`", text))


def section(heading):
    """The text below a heading, up to the next one."""
    return re.split(r"^## ", TEXT.partition(f"\n## {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text):
    """The rows of its table, less the head, as lists of cells."""
    table = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return table[2:]


def test_what_reads_like_a_check_is_one():
    spec = yaml.safe_load((ROOT / "roles/scenario/meta/argument_specs.yml").read_text(encoding="utf-8"))
    known = CHECKS | {*PHASES} | spec["argument_specs"]["main"]["options"].keys() | OTHER_NAMES
    named = {name for name in code(TEXT) if re.fullmatch(r"[a-z]+(_[a-z]+)+", name)}
    assert named & CHECKS
    assert named <= known, named - known


def test_each_acceptance_criterion_has_checks():
    criteria = rows(section("Acceptance criteria"))
    assert len(criteria) == 4
    for criterion, checks, *_ in criteria:
        assert code(checks), criterion
        assert code(checks) <= CHECKS, criterion


def links():
    return sorted(set(re.findall(r"\]\(([^)]+)\)", TEXT)) - set(re.findall(r"\]\((https://[^)]+)\)", TEXT)))


@pytest.mark.parametrize("link", links())
def test_a_link_leads_to_a_file_and_its_heading(link):
    name, _, anchor = link.partition("#")
    target = PAGE.parent / name
    assert target.is_file()
    if anchor:
        headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]


def test_a_path_is_there():
    paths = {name for name in code(TEXT) if re.fullmatch(r"(roles|benchmarking|\.devcontainer)/[\w./-]+", name)}
    # The plan's name of what the template makes.
    paths.remove(".devcontainer/Dockerfile.scenario-a")
    assert paths
    assert not [path for path in paths if not (ROOT / path).exists() and not (LAID_DOWN / path).exists()]
