"""The post-create script, run for real by bash with real git repositories.

Only python3 and pre-commit are stand-ins, which note how they were called: pip's compile takes minutes and is what
tests/main_job runs.
"""

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from provisioner.runs.phases import within

SCRIPT = (
    Path(__file__).parents[2] / "roles/scenario/files/xformers-devcontainer/.devcontainer/post-create-scenario-a.sh"
)


def git(*arguments, cwd):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", *identity, *arguments], cwd=cwd, check=True, capture_output=True)


@pytest.fixture
def fork(tmp_path):
    """A repository with a submodule that has a submodule; returns its URL."""
    inner = None
    for name in ("cutlass", "third_party", "xformers"):
        repository = tmp_path / "git" / name
        repository.mkdir(parents=True)
        git("init", "-q", "-b", "main", cwd=repository)
        (repository / "file").write_text(name)
        if inner:
            git("submodule", "add", "-q", f"file://{inner}", "deep/er", cwd=repository)
        git("add", ".", cwd=repository)
        git("commit", "-qm", "first", cwd=repository)
        inner = repository
    return f"file://{inner}"


@pytest.fixture
def run(tmp_path):
    workspace, home, tools = (tmp_path / name for name in ("workspace", "home", "bin"))
    for folder in (workspace, home, tools):
        folder.mkdir()
    for name in ("python3", "pre-commit"):
        # A stand-in that notes its arguments and what it was told by the environment.
        (tools / name).write_text(
            f'#!/bin/sh\necho "{name} $* FORCE_CUDA=$FORCE_CUDA ARCH=$TORCH_CUDA_ARCH_LIST JOBS=$MAX_JOBS"'
            f' "in $PWD" >>{tmp_path}/calls\n[ ! -e {tmp_path}/fail ] || exit 3\n'
        )
        (tools / name).chmod(0o755)

    def run(stdin=subprocess.DEVNULL, **environment):
        base = {"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(home)}
        return subprocess.run(
            [SCRIPT],
            cwd=workspace,
            env=base | environment,
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    run.workspace, run.home, run.calls, run.fail = workspace, home, tmp_path / "calls", tmp_path / "fail"
    return run


def test_it_clones_compiles_once_and_hooks_pre_commit(run, fork, tmp_path):
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    done = run(XFORMERS_FORK_URL=fork, MAX_JOBS="3", TORCH_CUDA_ARCH_LIST="8.6;9.0", SCENARIO_EVIDENCE=str(evidence))
    assert done.returncode == 0, done.stderr
    xformers = run.workspace / "xformers"
    assert (xformers / "deep/er/deep/er/file").read_text() == "cutlass"
    calls = run.calls.read_text().splitlines()
    installs = [call for call in calls if f"-e {xformers}" in call]
    assert len(installs) == 1
    assert "--no-cache-dir --no-build-isolation --no-deps" in installs[0]
    assert "FORCE_CUDA=1 ARCH=8.6;9.0 JOBS=3" in installs[0]
    assert any(call.startswith("pre-commit install") and call.endswith(f"in {xformers}") for call in calls)

    events = [json.loads(line) for line in (evidence / "events.jsonl").read_text().splitlines()]
    assert [(event["event"], event["phase"]) for event in events] == [
        (event, phase) for phase in within("container_up") for event in ("begin", "end")
    ]
    uptimes = [event["uptime"] for event in events]
    assert uptimes == sorted(uptimes)


def test_repository_and_every_submodule_are_safe_directories(run, fork):
    assert run(XFORMERS_FORK_URL=fork).returncode == 0
    listed = subprocess.run(
        ["git", "config", "--file", run.home / ".gitconfig", "--get-all", "safe.directory"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    xformers = run.workspace / "xformers"
    assert {str(xformers), f"{xformers}/deep/er", f"{xformers}/deep/er/deep/er"} <= set(listed)


def test_without_a_terminal_it_takes_the_default_and_never_waits(run):
    done = run(PATH=f"{run.calls.parent}/bin:/usr/bin:/bin", GIT_ALLOW_PROTOCOL="none")
    assert "https://github.com/alexchesser/xformers.git" in done.stdout
    assert done.returncode != 0, "git was told to allow no protocol"


def test_on_a_terminal_it_asks(run):
    ours, theirs = pty.openpty()
    os.write(ours, b"somebody\n")
    try:
        done = run(stdin=theirs, GIT_ALLOW_PROTOCOL="none")
    finally:
        os.close(ours)
        os.close(theirs)
    assert "https://github.com/somebody/xformers.git" in done.stdout


@pytest.mark.parametrize("name", ["alex;rm -rf /", "../x", "-oProxyCommand=x", "a" * 40, "-a", "a-", "a\nb"])
def test_a_name_that_is_none_is_refused_before_anything_is_cloned(run, name):
    done = run(XFORMERS_USERNAME=name)
    assert done.returncode == 2
    assert "not a GitHub user name" in done.stderr
    assert not run.calls.exists()


def test_a_failing_compile_fails_the_script_and_names_the_phase(run, fork, tmp_path):
    run.fail.touch()
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    done = run(XFORMERS_FORK_URL=fork, SCENARIO_EVIDENCE=str(evidence))
    assert done.returncode == 3
    assert '"event":"fail","phase":"compile"' in (evidence / "events.jsonl").read_text().splitlines()[-1]
    assert "pre-commit" not in run.calls.read_text()


def test_a_branch_or_tag_that_is_asked_for(run, fork):
    repository = Path(fork.removeprefix("file://"))
    git("tag", "v1", cwd=repository)
    (repository / "file").write_text("later")
    git("commit", "-qam", "later", cwd=repository)
    done = run(XFORMERS_FORK_URL=fork, XFORMERS_REF="v1")
    assert done.returncode == 0, done.stderr
    assert (run.workspace / "xformers/file").read_text() == "xformers"


def test_files_in_git_lfs_without_git_lfs(run, fork, tmp_path):
    repository = Path(fork.removeprefix("file://"))
    (repository / ".gitattributes").write_text("weights filter=lfs\n")
    (repository / "weights").write_text("version https://git-lfs.github.com/spec/v1\n")
    git("add", ".", cwd=repository)
    git("commit", "-qm", "large", cwd=repository)
    # A git that has no such command, whatever this machine has.
    real = subprocess.run(["sh", "-c", "command -v git"], capture_output=True, text=True, check=True).stdout.strip()
    stand_in = tmp_path / "bin/git"
    stand_in.write_text(f'#!/bin/sh\n[ "$1" != lfs ] || exit 1\nexec {real} "$@"\n')
    stand_in.chmod(0o755)
    done = run(XFORMERS_FORK_URL=fork)
    assert done.returncode == 1
    assert "the fork keeps files in Git LFS, and git-lfs is not here: weights" in done.stdout + done.stderr


AGAIN = """
set -Eeuo pipefail
. {script}
sleep() {{ echo "slept $1"; }}
try() {{ echo x >>{counter}; echo "{says}"; [ "$(wc -l <{counter})" -gt {failures} ]; }}
again try
echo ended
"""


@pytest.mark.parametrize(
    ("says", "failures", "tried", "slept"),
    [
        ("fine", 0, 1, []),
        ("error: RPC failed; HTTP 503", 2, 3, ["5", "20"]),
        ("fatal: early EOF", 9, 4, ["5", "20", "60"]),
        # A second try mends none of these.
        ("remote: Repository not found.", 9, 1, []),
        ("toomanyrequests: You have reached your pull rate limit.", 9, 1, []),
        ("error: RPC failed; curl 28 Operation too slow. fatal: early EOF", 9, 1, []),
        ("the registry sent less than 10 kB/s for 500 s: given up", 9, 1, []),
        # docker has tried that itself, five times.
        ("592fca13e560: Retrying in 5 seconds; unexpected EOF", 9, 1, []),
    ],
)
def test_what_may_pass_is_tried_again_after_a_pause_that_grows(tmp_path, says, failures, tried, slept):
    counter = tmp_path / "counter"
    script = AGAIN.format(script=SCRIPT.parent / "commands.sh", counter=counter, says=says, failures=failures)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert len(counter.read_text().splitlines()) == tried, done
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("slept")] == slept
    assert [line for line in done.stdout.splitlines() if line.startswith("retry: in ")] == [
        f"retry: in {seconds} s again, after: {says}" for seconds in slept
    ]
    assert (done.returncode == 0) == ("ended" in done.stdout) == (failures < tried)


def test_a_clone_that_broke_off_in_a_submodule_is_made_anew_and_whole(run, tmp_path):
    """Else git takes the submodule that it had, and had not checked out, for one that is done."""
    top = tmp_path / "git/top"
    for name in ("one", "two", "top"):
        repository = tmp_path / "git" / name
        repository.mkdir(parents=True)
        git("init", "-q", "-b", "main", cwd=repository)
        (repository / "file").write_text(name)
        for part in ("one", "two") if name == "top" else ():
            git("submodule", "add", "-q", f"file://{tmp_path}/git/{part}", part, cwd=repository)
        git("add", ".", cwd=repository)
        git("commit", "-qm", "first", cwd=repository)
    two, away = tmp_path / "git/two", tmp_path / "git/away"
    two.rename(away)
    # In place of a server in trouble: git says so, and at the second try the submodule is there.
    real = subprocess.run(["sh", "-c", "command -v git"], capture_output=True, text=True, check=True).stdout.strip()
    stand_in = tmp_path / "bin/git"
    stand_in.write_text(
        f'#!/bin/sh\n[ "$1" != clone ] || {real} "$@" && [ "$1" != clone ] || {{ [ "$1" != clone ] || [ -d {two} ] ||'
        f' {{ echo "error: RPC failed; HTTP 503" >&2; mv {away} {two}; exit 128; }}; }}\n'
        f'[ "$1" = clone ] || exec {real} "$@"\n'
    )
    stand_in.chmod(0o755)
    (tmp_path / "bin/sleep").write_text("#!/bin/sh\n")
    (tmp_path / "bin/sleep").chmod(0o755)
    done = run(XFORMERS_FORK_URL=f"file://{top}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "retry: in 5 s again" in done.stdout
    for part in ("one", "two"):
        assert (run.workspace / "xformers" / part / "file").read_text() == part


def test_a_clone_that_is_there_is_neither_gone_on_with_nor_removed(run, fork):
    mine = run.workspace / "xformers/mine"
    mine.parent.mkdir()
    mine.write_text("x")
    done = run(XFORMERS_FORK_URL=fork)
    assert done.returncode == 128 and "already exists and is not an empty directory" in done.stdout + done.stderr
    assert mine.read_text() == "x"
