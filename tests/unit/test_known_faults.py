"""bin/known-faults, with a pip-audit and an npm that tests make up: their services are over the network."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ask(tmp_path):
    """Run it with tools that note their words and end with these codes; None: the tool is missing."""

    def run(**codes):
        for tool in ("pip-audit", "npm"):
            code = codes.get(tool.replace("-", "_"), 0)
            if code is not None:
                (tmp_path / tool).write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/{tool}.words\nexit {code}\n')
                (tmp_path / tool).chmod(0o755)
        for tool in ("sh", "dirname"):
            if not (tmp_path / tool).exists():
                (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
        environment = {**os.environ, "PATH": str(tmp_path)}
        return subprocess.run([ROOT / "bin/known-faults"], env=environment, capture_output=True, text=True, check=False)

    return run


def test_every_lock_is_asked_for(ask, tmp_path):
    assert ask().returncode == 0
    words = (tmp_path / "pip-audit.words").read_text().splitlines()
    assert all(line.startswith("--strict --disable-pip --require-hashes --requirement ") for line in words)
    texts = [
        *ROOT.glob("*.txt"),
        *(path for top in ("inventory", "playbooks", "roles") for path in (ROOT / top).rglob("*.txt")),
    ]
    locks = {str(path.relative_to(ROOT)) for path in texts if "--hash=sha256:" in path.read_text()}
    assert locks and {line.split()[-1] for line in words} == locks
    assert (tmp_path / "npm.words").read_text() == "audit --package-lock-only --prefix playbooks/locks\n"


def test_a_fault_that_is_known_is_1_and_the_others_are_asked_all_the_same(ask, tmp_path):
    assert ask(pip_audit=1).returncode == 1 and (tmp_path / "npm.words").exists()
    assert ask(npm=1).returncode == 1


def test_a_missing_tool_is_one_line_and_2(ask):
    done = ask(pip_audit=None)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "needs pip-audit: install it" in done.stderr
