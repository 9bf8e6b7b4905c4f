"""The checks that people run by themselves too, one test each: format, lint, types, shell, Ansible."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHELL = subprocess.run(
    ["git", "grep", "-lzE", "--untracked", r"^#!(/usr)?/bin/(env )?(ba)?sh|^# shellcheck shell="],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
).stdout.split("\0")[:-1]


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "format", "--check", "."],
        ["ruff", "check", "."],
        ["mypy"],
        ["shellcheck", *[name for name in SHELL if not name.endswith((".j2", ".md"))]],
        ["antsibull-changelog", "lint"],
        ["ansible-lint", "--offline", "--profile", "production", "--strict", "playbooks", "roles"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_check(command):
    tools = Path(sys.executable).parent
    # Ansible ignores the configuration of a checkout that everybody may write, unless it is named.
    named = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    environment = os.environ | named | {"PATH": f"{tools}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


def test_no_two_test_files_have_one_name():
    # pytest imports them by that name alone: of two it collects none, and a run of a single folder does not show it.
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
