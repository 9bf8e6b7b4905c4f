"""scenario_a.sh run by hand, as a person would, with stand-ins for what takes minutes.

by_hand.py has the stand-ins; tests/hosts and tests/main_job run the script with the real ones.
"""

import fcntl
import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest


def test_it_runs_by_hand_and_leaves_the_base_alone(script):
    before = {path: path.read_bytes() for path in script.base.rglob("*") if path.is_file()}
    done = script()
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path: path.read_bytes() for path in script.base.rglob("*") if path.is_file()} == before
    assert script.events()[0] == ("begin", "run")
    assert script.events()[-2:] == [("skip", "attention_test"), ("end", "run")]
    assert json.loads((script.evidence / "result.json").read_text())["outcome"] == "ok"
    lines = (script.evidence / "run.log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line) for line in lines)
    assert any(line.endswith("taken out: image: the image is built by Scenario A's Dockerfile") for line in lines)
    assert done.stdout.splitlines() == lines, "a person sees something else than the log keeps"
    made = json.loads((script.root / "xformers-devcontainer-scenario-a/.devcontainer/devcontainer.json").read_text())
    assert "image" not in made
    assert made["containerEnv"]["TORCH_CUDA_ARCH_LIST"] == "12.0"
    assert int(made["containerEnv"]["MAX_JOBS"]) <= os.cpu_count()


def test_a_challenge_goes_to_the_test_and_into_the_run(script):
    challenge = "0123456789abcdef" * 4
    assert script(gpu=True, SCENARIO_CHALLENGE=challenge).returncode == 0
    described = json.loads((script.evidence / "run.json").read_text())
    assert (described["challenge"], described["unchallenged"]) == (challenge, "")
    assert any(call.endswith(f"python3 attention_test.py --challenge {challenge}") for call in script.calls())


def test_a_run_by_hand_takes_a_challenge_of_its_own_and_says_so(script):
    found = []
    for run in ("first", "second"):
        assert script(gpu=True, SCENARIO_RUN_ID=run).returncode == 0
        described = json.loads((script.root / "runs" / run / "run.json").read_text())
        assert re.fullmatch(r"[0-9a-f]{64}", described["challenge"]) and described["unchallenged"] == "yes"
        assert any(call.endswith(f"--challenge {described['challenge']}") for call in script.calls())
        found.append(described["challenge"])
    assert found[0] != found[1]


@pytest.mark.parametrize("challenge", ["abc", "0" * 63, "0" * 65, "A" * 64, "0" * 63 + "\n"])
def test_a_challenge_that_is_none_is_refused(script, challenge):
    done = script(SCENARIO_CHALLENGE=challenge)
    assert done.returncode == 2 and not script.evidence.exists()
    assert done.stderr.startswith("scenario_a.sh: SCENARIO_CHALLENGE is not 64 hex digits")


def test_the_scripts_are_summed_again_at_the_end(script):
    assert script().returncode == 0
    sums = (script.evidence / "scripts_after.sha256").read_text()
    listed = {line.split("  ", 1)[1] for line in sums.splitlines()}
    laid_down = script.evidence / "files"
    assert listed == {path.relative_to(laid_down).as_posix() for path in laid_down.rglob("*") if path.is_file()}
    check = ["sha256sum", "--check", "--quiet", "../scripts_after.sha256"]
    assert subprocess.run(check, cwd=laid_down, check=False).returncode == 0


def test_each_event_has_the_time_of_day_of_its_uptime(script):
    assert script().returncode == 0
    events = [json.loads(line) for line in (script.evidence / "events.jsonl").read_text().splitlines()]
    offsets = [datetime.fromisoformat(event["time"]).timestamp() - event["uptime"] for event in events]
    now = time.time() - float(Path("/proc/uptime").read_text().split()[0])
    assert all(abs(offset - now) < 1 for offset in offsets)


def test_the_manifest_is_of_every_file_and_notices_an_edit(script):
    assert script().returncode == 0
    check = ["sha256sum", "--check", "--quiet", "manifest.sha256"]
    assert subprocess.run(check, cwd=script.evidence, capture_output=True, check=False).returncode == 0
    named = {line.split("  ", 1)[1] for line in (script.evidence / "manifest.sha256").read_text().splitlines()}
    here = {path.relative_to(script.evidence).as_posix() for path in script.evidence.rglob("*") if path.is_file()}
    signatures = {f"manifest.sha256.{kind}.sig" for kind in ("ed25519", "ecdsa", "rsa")}  # where this host has keys
    assert named == here - {"manifest.sha256"} - signatures and "result.json" in named
    (script.evidence / "run.json").write_text("{}")
    assert subprocess.run(check, cwd=script.evidence, capture_output=True, check=False).returncode == 1


def test_a_site_s_certificates_are_no_evidence_and_their_sum_is(script):
    certificates = "-----BEGIN CERTIFICATE-----\nof the site alone\n"
    (script.base / ".devcontainer/site-ca.crt").write_text(certificates)
    assert script().returncode == 0
    assert not (script.evidence / "files/.devcontainer/site-ca.crt").exists()
    kept = (script.evidence / "site_ca.sha256").read_text()
    assert kept == f"{hashlib.sha256(certificates.encode()).hexdigest()}  .devcontainer/site-ca.crt\n"
    assert (script.root / "xformers-devcontainer-scenario-a/.devcontainer/site-ca.crt").read_text() == certificates


def test_a_base_that_is_here_is_built_on_without_asking_a_registry(script):
    """With BuildKit and --no-cache the Dev Container CLI adds --pull."""
    assert script().returncode == 0
    builds = [call for call in script.calls() if call.startswith(("devcontainer build", "devcontainer up"))]
    assert len(builds) == 2
    assert all("--buildkit never" in call for call in builds)


NVCC_12_4 = """nvcc: NVIDIA (R) Cuda compiler driver
Cuda compilation tools, release 12.4, V12.4.131
sm_80
sm_86
sm_89
sm_90
sm_90a
"""


def test_an_nvcc_that_cannot_build_what_is_asked_ends_it_before_the_build(script):
    script.fail.with_name("fail.nvcc").write_text(NVCC_12_4)
    assert script(TORCH_CUDA_ARCH_LIST="9.0;12.0+PTX").returncode == 1
    assert script.events()[-2:] == [("fail", "image_build"), ("fail", "run")]
    assert not any(call.startswith("devcontainer build") for call in script.calls())
    assert (script.evidence / "base_image_cuda.txt").read_text() == NVCC_12_4
    assert json.loads((script.evidence / "result.json").read_text())["cause"] == (
        "the base image's nvcc of CUDA 12.4 cannot build for 12.0, it builds for 8.0, 8.6, 8.9, 9.0, 9.0a;"
        " choose others by --arch-list, or a base image of another CUDA: scenario_base_image"
    )


@pytest.mark.parametrize("arch_list", ["8.6", "8.0 9.0a+PTX", "8.9;9.0"])
def test_an_nvcc_that_can_is_evidence_and_no_more(script, arch_list):
    script.fail.with_name("fail.nvcc").write_text(NVCC_12_4)
    assert script(TORCH_CUDA_ARCH_LIST=arch_list).returncode == 0
    (asked,) = [call for call in script.calls() if "nvcc --version" in call]
    assert "--rm --pull never --network none" in asked and "some/image:1" in asked
    assert (script.evidence / "base_image_cuda.txt").read_text() == NVCC_12_4


def test_an_engine_that_gives_no_gpus_ends_it_before_the_build(script):
    script.fail.with_name("fail.gpus").write_text(
        'docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]].\n'
    )
    assert script(gpu=True).returncode == 1
    assert script.events()[-2:] == [("fail", "image_build"), ("fail", "run")]
    assert not any(call.startswith("devcontainer build") for call in script.calls())
    assert (script.evidence / "container_gpus.txt").read_text().endswith("exit code 125\n")
    cause = json.loads((script.evidence / "result.json").read_text())["cause"]
    assert cause.startswith("the Docker engine cannot give a container GPUs (could not select device driver); have ")


def test_without_a_gpu_the_engine_is_not_asked_for_one(script):
    assert script().returncode == 0
    assert not any("--gpus" in call for call in script.calls())
    assert not (script.evidence / "container_gpus.txt").exists()


def test_wheels_that_the_container_sees_are_what_its_pip_takes(script):
    mounts = {"SCENARIO_MOUNTS": "/var/here:/there:ro", "SCENARIO_WHEELS": "/var/here/bundle/wheels"}
    assert script(**mounts).returncode == 0
    made = json.loads((script.root / "xformers-devcontainer-scenario-a/.devcontainer/devcontainer.json").read_text())
    assert made["containerEnv"]["SCENARIO_WHEELS"] == "/there/bundle/wheels"


@pytest.mark.parametrize("broken", [False, True])
def test_a_base_image_without_nvcc_or_that_does_not_start_is_left_alone(script, broken):
    if broken:
        script.fail.write_text("nvcc --version")
    assert script(TORCH_CUDA_ARCH_LIST="99.0").returncode == 0
    assert any(call.startswith("devcontainer build") for call in script.calls())


def test_only_shortcut_images_are_removed(script):
    assert script().returncode == 0
    (removed,) = [call for call in script.calls() if call.startswith("docker image rm")]
    builder, nameless, named = "xformers-builder:latest", "xformers-devcontainer@sha256:3", "xformers-devcontainer:1"
    assert sorted(removed.split()[4:]) == sorted([f"me/{builder}", f"me/{nameless}", f"me/{named}"])


def test_with_a_gpu_its_architectures_are_compiled_and_the_test_runs(script):
    done = script(gpu=True)
    assert done.returncode == 0, done.stdout
    made = json.loads((script.root / "xformers-devcontainer-scenario-a/.devcontainer/devcontainer.json").read_text())
    assert made["runArgs"][:2] == ["--gpus", "all"]
    assert made["containerEnv"]["TORCH_CUDA_ARCH_LIST"] == "8.6;9.0"
    assert script.events()[-2:] == [("end", "attention_test"), ("end", "run")]


@pytest.mark.parametrize(
    ("what", "phase"),
    [
        ("docker image rm", "clean"),
        ("devcontainer build", "image_build"),
        ("devcontainer up", "container_up"),
        ("attention_test.py", "attention_test"),
    ],
)
def test_the_first_failure_ends_it_and_nothing_says_it_went_well(script, what, phase):
    script.fail.write_text(what)
    done = script(gpu=True)
    assert done.returncode == 7
    assert script.events()[-2:] == [("fail", phase), ("fail", "run")]
    result = json.loads((script.evidence / "result.json").read_text())
    assert (result["outcome"], result["exit_code"], result["phase"]) == ("failed", 7, phase)
    assert "is done" not in done.stdout
    assert f"failed in {phase}" in done.stdout.splitlines()[-1]
    assert "hunter2" not in (script.evidence / "run.log").read_text()


def test_a_signal_to_all_of_it_is_an_interruption_and_the_log_says_so(script):
    """As systemd does when the host shuts down."""
    script.fail.write_text("devcontainer build")
    script.fail.with_name("fail.hangs").touch()
    process = script(background=True)
    for line in process.stdout:
        if "devcontainer build" in line:
            break
    os.killpg(process.pid, signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    result = json.loads((script.evidence / "result.json").read_text())
    assert (result["outcome"], result["phase"]) == ("interrupted", "image_build")
    assert "SIGTERM" in result["cause"] and result["cause"] in said
    assert said.splitlines()[-1].endswith(f"(exit code 143): run {script.id}")


def left_behind(script, *words):
    """Have `devcontainer up` fail and leave a command behind, in a session of its own, which writes to the log."""
    tool = script.base.parents[1] / "bin/devcontainer"
    stray = f"setsid {shlex.join(map(str, words))} >&2 &"
    fails = f'[ "$1" != up ] || {{ {stray} sleep 0.5; exit 7; }}\n'
    tool.write_text(tool.read_text().replace('case "$(basename', f'{fails}case "$(basename', 1))


def still_runs(pids):
    """Whether the process whose number is in a file runs; one that nobody has reaped does not."""
    stat = Path(f"/proc/{pids.read_text().strip()}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def manifest_holds(script):
    check = ["sha256sum", "--check", "--quiet", "manifest.sha256"]
    return subprocess.run(check, cwd=script.evidence, capture_output=True, check=False).returncode == 0


def test_what_the_run_started_writes_nothing_after_the_sums_are_made(script):
    """It is deaf to signals that ask."""
    pids, written = script.root / "stray", script.evidence / "container/pip.log"
    writes = f"trap '' TERM HUP; echo $$ >{pids}; while :; do date >>{written}; sleep 0.05; done"
    left_behind(script, "sh", "-c", writes)
    assert script().returncode == 7
    assert json.loads((script.evidence / "result.json").read_text())["phase"] == "container_up"
    assert not still_runs(pids)
    assert manifest_holds(script)


def test_who_holds_the_log_open_does_not_hold_the_run_and_writes_to_the_log_no_more(script):
    """A process that does not look like the run's: it has another environment, and the run's output."""
    pids = script.root / "stray"
    talks = f"echo $$ >{pids}; while :; do date; sleep 0.2; done"
    left_behind(script, "env", "-i", "PATH=/usr/bin:/bin", "sh", "-c", talks)
    process = script(background=True)
    try:
        assert process.wait(timeout=60) == 7
        assert still_runs(pids)
        assert manifest_holds(script)
    finally:
        os.kill(int(pids.read_text()), signal.SIGKILL)
        process.stdout.close()


@pytest.mark.parametrize(("outcome", "ended"), [("failed", "restart --time 0"), ("interrupted", "kill")])
def test_a_compile_that_outlives_its_command_is_ended_in_its_container(script, outcome, ended):
    docker = script.base.parents[1] / "bin/docker"
    running = '  "docker container ls --quiet --filter label"*) echo 555555555555;;\n'
    docker.write_text(docker.read_text().replace('  "docker events"*', f'{running}  "docker events"*', 1))
    script.fail.write_text("devcontainer up")
    if outcome == "interrupted":
        script.fail.with_name("fail.hangs").touch()
    process = script(background=True)
    for line in process.stdout:
        if "devcontainer up" in line and outcome == "interrupted":
            os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=60)
    process.stdout.close()
    assert json.loads((script.evidence / "result.json").read_text())["outcome"] == outcome
    assert f"docker container {ended} 555555555555" in script.calls()


def test_what_a_build_that_was_cut_short_left_is_removed_and_nothing_of_others(script):
    old = script.root / "runs/old"
    old.mkdir(parents=True)
    lines = ["Step 2/3 : RUN x", " ---> Running in 111111111111", " ---> 333333333333"]
    (old / "run.log").write_text("".join(f"2026-11-23T07:00:00.000Z {line}\n" for line in lines))
    assert script().returncode == 0
    removed = [call for call in script.calls() if " rm " in call and "run" not in call]
    assert removed[0] == "docker container rm --force --volumes 111111111111"
    assert removed[1].endswith("333333333333") and "444444444444" not in removed[1]


def test_a_base_that_is_laid_down_for_other_inputs_meanwhile_is_noticed(script):
    (script.base / "benchmarking/scenario.env").write_text("SCENARIO_INPUT_HASH=theirs\n")
    done = script(SCENARIO_INPUT_HASH="ours")
    assert done.returncode == 1
    assert "laid down anew, for other inputs" in done.stdout
    assert json.loads((script.evidence / "result.json").read_text())["phase"] == "lay_down"


def test_a_setting_by_its_earlier_name_counts_and_is_told(script):
    done = script(SCENARIO_A_SLOW_SECONDS="7", SCENARIO_A_INPUT_HASH="mine")
    assert done.returncode == 0
    assert "scenario_a.sh: SCENARIO_A_INPUT_HASH is now SCENARIO_INPUT_HASH; please rename it" in done.stderr
    run = json.loads((script.evidence / "run.json").read_text())
    assert (run["scenario"], run["input_hash"]) == ("a", "mine")


def test_a_setting_by_two_names_has_one_value(script):
    assert script(SCENARIO_A_INPUT_HASH="mine", SCENARIO_INPUT_HASH="mine").returncode == 0
    done = script(SCENARIO_A_INPUT_HASH="mine", SCENARIO_INPUT_HASH="other", SCENARIO_RUN_ID="another")
    assert done.returncode == 2 and "are set to two values" in done.stderr


def test_settings_come_from_the_file_and_the_environment_wins(script):
    (script.base / "benchmarking/scenario.env").write_text(
        "MAX_JOBS=3\nTORCH_CUDA_ARCH_LIST=8.0;9.0+PTX\nXFORMERS_USERNAME=$(touch /tmp/evil)\n"
    )
    assert script(MAX_JOBS="5").returncode == 0
    run = json.loads((script.evidence / "run.json").read_text())
    assert (run["max_jobs"], run["arch_list"], run["username"]) == ("5", "8.0;9.0+PTX", "$(touch /tmp/evil)")


@pytest.mark.parametrize("login", ["", "user:hunter2@"])
def test_a_proxy_reaches_builds_and_containers_and_its_password_no_command_and_no_file(script, login):
    own = script.base.parents[1] / ".docker"
    own.mkdir()
    (own / "config.json").write_text('{"auths": {"registry.site": {}}}')
    proxy = f"http://{login}proxy:3128"
    assert script(http_proxy=proxy).returncode == 0
    given = json.loads((own.parent / "calls.docker_config").read_text())
    assert given == {"auths": {"registry.site": {}}, "proxies": {"default": {"httpProxy": proxy}}}
    for path in script.root.rglob("*"):
        assert not path.is_file() or b"hunter2" not in path.read_bytes(), path
    calls = script.calls()
    assert not any("hunter2" in call for call in calls)
    # What the CLI sees of a shell it hands on in the arguments of `docker exec`.
    probing = [call for call in calls if re.match("devcontainer (up|exec)", call)]
    assert probing and all(("--default-user-env-probe none" in call) == bool(login) for call in probing)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's workspace has to be kept from others")
def test_the_container_s_user_gets_the_clone_and_a_folder_of_evidence_and_no_more(script):
    docker = script.base.parents[1] / "bin/docker"
    docker.write_text(docker.read_text().replace("id -u;;", "echo 1000;;"))
    assert script().returncode == 0
    work = script.root / "xformers-devcontainer-scenario-a"
    theirs = {path.relative_to(script.root).as_posix() for path in script.root.rglob("*") if path.stat().st_uid != 0}
    assert theirs == {f"{work.name}/xformers"}, "the evidence is root's again once the run has ended"
    for path in (script.root / "runs", script.root / "lock"):
        assert path.stat().st_mode & 0o077 == 0
    assert not (script.root / "tmp").exists()


def test_what_is_no_file_in_the_container_s_evidence_is_not_read_and_not_kept(script):
    """Reading the pipe would never end; the link leads to what only root may read."""
    writes = "mkfifo events.jsonl; ln -s /etc/shadow pip.log; mkdir ninja; ln -s /etc ninja/1; echo here >ninja/2"
    left_behind(script, "sh", "-c", f"cd {script.evidence}/container && {{ {writes}; }}")
    assert script().returncode == 7
    kept = {path.name for path in (script.evidence / "container").rglob("*")}
    assert kept == {"ninja", "2"} and manifest_holds(script)


def test_a_second_run_beside_the_first_is_refused(script):
    script.root.joinpath("lock").touch()
    with script.root.joinpath("lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = script()
    assert done.returncode == 75
    assert "another run is under way" in done.stderr and "`provisioner cancel`" in done.stderr
    assert not script.calls()


def test_a_run_id_that_is_taken_and_a_wrong_argument_are_refused(script):
    assert script().returncode == 0
    assert script().returncode == 2
    assert script("--nonsense", SCENARIO_RUN_ID="other").returncode == 2


def test_the_user_of_a_fork_by_ssh_is_told_and_a_login_is_not(script):
    """The audit compares what was laid down with what the CLI made of it, which is kept without logins."""
    hide = re.search(r"^HIDE='(.*)'$", (script.base / "benchmarking/run.sh").read_text(), re.MULTILINE)[1]
    text = "ssh://git@example.com/x https://user:secret@example.com/x http://token@example.com/"
    done = subprocess.run(["sed", "-E", "-e", hide], input=text, capture_output=True, text=True, check=True)
    assert done.stdout == "ssh://git@example.com/x https://***@example.com/x http://***@example.com/"
