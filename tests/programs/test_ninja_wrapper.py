"""The ninja that stands before the real one; the real one is a stand-in here that writes a log as ninja does."""

import json
import subprocess
from pathlib import Path

import pytest

from provisioner.runs.evidence import Evidence

WRAPPER = Path(__file__).parents[2] / "roles/scenario/files/xformers-devcontainer/.devcontainer/bin/ninja"
REAL = """#!/bin/sh
[ "$1" = --version ] && { echo 1.12.1; exit; }
sleep 1.5
printf '# ninja log v5\\n0\\t1500\\t1795410427615592046\\tone.o\\tab\\n' >.ninja_log
echo "[1/1] c++ one.cc"
exit "${FAIL:-0}"
"""


@pytest.fixture
def ninja(tmp_path):
    tools, build = tmp_path / "bin", tmp_path / "build"
    (tmp_path / "evidence/container").mkdir(parents=True)
    for folder in (tools, build):
        folder.mkdir()
    (tools / "ninja").write_text(REAL)
    (tools / "c++").write_text("#!/bin/sh\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    (build / "build.ninja").write_text("rule cc\n")

    def run(*arguments, **environment):
        path = f"{WRAPPER.parent}:{tools}:/usr/bin:/bin"
        base = {"PATH": path, "SCENARIO_EVIDENCE": str(tmp_path / "evidence/container")}
        command = [WRAPPER, *arguments]
        return subprocess.run(
            command, cwd=build, env=base | environment, capture_output=True, text=True, timeout=60, check=False
        )

    run.calls = lambda: Evidence(tmp_path / "evidence").ninja_calls
    run.folder = tmp_path / "evidence/container/ninja"
    return run


def test_a_build_is_passed_through_and_kept(ninja):
    done = ninja("-v", "-j", "3")
    assert (done.returncode, done.stdout) == (0, "[1/1] c++ one.cc\n")
    (call,) = ninja.calls()
    assert call.arguments == ("-v", "-j", "3") and call.jobs == 3
    assert [step.output for step in call.steps] == ["one.o"]
    assert call.window[1] - call.window[0] >= 1.5
    assert call.cpu_seconds is not None
    assert len(call.samples) >= 1 and call.peak_memory_bytes > 0
    assert (ninja.folder / "1/build.ninja").read_text() == "rule cc\n"
    assert ("c++", str(ninja.folder.parents[2] / "bin/c++")) in [(tool.name, tool.path) for tool in call.tools]


def test_its_exit_code_is_ninjas(ninja):
    assert ninja(FAIL="3").returncode == 3
    assert json.loads((ninja.folder / "1/call.json").read_text())["status"] == 3


def test_asking_for_the_version_counts_as_a_call_that_built_nothing(ninja):
    assert ninja("--version").stdout == "1.12.1\n"
    (call,) = ninja.calls()
    assert call.arguments == ("--version",) and not call.steps


def test_variables_that_meddle_are_kept_and_secrets_are_not(ninja):
    ninja(CXX="ccache g++", SESSION="hush", PIP_INDEX_URL="https://user:hush@host/simple")
    (call,) = ninja.calls()
    variables = dict(call.environment)
    assert variables["CXX"] == "ccache g++"
    assert variables["PIP_INDEX_URL"] == "https://***@host/simple"
    for path in ninja.folder.rglob("*"):
        assert not path.is_file() or "hush" not in path.read_text()
