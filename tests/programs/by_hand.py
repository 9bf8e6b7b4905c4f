"""scenario_a.sh as a person runs it by hand, with stand-ins for docker, devcontainer and nvidia-smi.

They note how they were called, and fail, or hang, where a test says so.
"""

import json
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

ROLE = Path(__file__).parents[2] / "roles/scenario/files"

STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >>"{calls}"
if [ -n "$DOCKER_CONFIG" ]; then cp "$DOCKER_CONFIG/config.json" "{calls}.docker_config"; fi
case "$(basename "$0") $*" in
  *"$(cat "{fail}" 2>/dev/null || echo nothing)"*)
    [ ! -e "{fail}.hangs" ] || exec sleep 60
    echo "it went wrong, https://user:hunter2@host/x"; exit 7;;
  "devcontainer build"*) echo '{{"outcome":"success","imageName":["vsc-x"]}}';;
  "devcontainer exec"*attention*) echo '{{"passed": true, "max_abs_error": 0.0, "device": "stand-in"}}';;
  "docker run"*"nvcc --version"*) cat "{fail}.nvcc" 2>/dev/null || true;;
  "docker run"*"--gpus all"*) if [ -e "{fail}.gpus" ]; then cat "{fail}.gpus"; exit 125; fi;;
  "docker run"*"-u vscode") id -u;;
  "docker info"*) echo /;;
  "docker events"*) exec sleep 60;;
  "docker container ls"*status=exited) printf '%s\\n' 111111111111 222222222222;;
  "docker image ls"*dangling=true) printf '%s\\n' 333333333333 444444444444;;
  "docker image ls"*"Repository"*) printf '%s %s\\n' me/xformers-builder:latest me/xformers-builder@sha256:1 \\
    me/xformers-devcontainer:1 me/xformers-devcontainer@sha256:2 'me/xformers-devcontainer:<none>' \\
    me/xformers-devcontainer@sha256:3 me/x:1 me/x@sha256:4;;
  "nvidia-smi --query-gpu=compute_cap"*) printf '9.0\\n8.6\\n9.0\\n';;
esac
"""


@pytest.fixture
def script(tmp_path):
    base = tmp_path / "root/xformers-devcontainer"
    shutil.copytree(ROLE / "xformers-devcontainer", base)
    shutil.copy(ROLE / "devcontainer.json", base / ".devcontainer")
    (base / ".devcontainer/Dockerfile.scenario-a").write_text("FROM some/image:1\n")
    calls, fail, tools = tmp_path / "calls", tmp_path / "fail", tmp_path / "bin"
    # At its end a run ends every process on the machine that was started by a run of its name.
    run_id = f"run-{uuid.uuid4().hex[:12]}"
    tools.mkdir()
    calls.touch()
    for name in ("docker", "devcontainer"):
        (tools / name).write_text(STAND_IN.format(calls=calls, fail=fail))
        (tools / name).chmod(0o755)

    def run(*arguments, gpu=False, background=False, **environment):
        if gpu:
            shutil.copy(tools / "docker", tools / "nvidia-smi")
        base_environment = {"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(tmp_path), "SCENARIO_RUN_ID": run_id}
        command = [base / "benchmarking/scenario_a.sh", *arguments]
        settings = {"env": base_environment | environment, "stdin": subprocess.DEVNULL, "text": True}
        if background:
            return subprocess.Popen(command, **settings, stdout=subprocess.PIPE, start_new_session=True)
        return subprocess.run(
            command,
            **settings,
            capture_output=True,
            timeout=60,
            check=False,
        )

    run.root, run.base, run.fail = base.parent, base, fail
    run.id, run.evidence = run_id, base.parent / "runs" / run_id
    run.calls = lambda: calls.read_text().splitlines()
    run.events = lambda: [
        (event["event"], event["phase"])
        for event in map(json.loads, (run.evidence / "events.jsonl").read_text().splitlines())
    ]
    return run
