"""devcontainer.json files as people have them, with the real Dev Container CLI, Docker and the command `plan`."""

import json
import os
import shutil
import subprocess

import pytest
from devcontainers import ACCEPTED, CLI, IMAGE, READ, REFUSED, made_of, make_image, read_by_cli, remove_image

pytestmark = pytest.mark.main_job

COMMON = ("--profile", "registries")
BASE_IMAGE = "provisioner/cuda:13.0-devel"  # what this profile makes


@pytest.fixture(scope="module", autouse=True)
def cli(provisioner, tmp_path_factory):
    """Docker, the CLI and the base image; they stay, as those of the main job do."""
    assert os.geteuid() == 0, "this installs Docker: run the tests as root, or with -m 'not main_job'"
    done = provisioner("prepare", *COMMON, "--state-dir", tmp_path_factory.mktemp("state"))
    assert done.code == 0, done


@pytest.fixture(scope="module")
def image():
    make_image()
    yield IMAGE
    remove_image()


@pytest.mark.parametrize("name", ACCEPTED)
def test_the_cli_reads_what_the_unit_tests_say_that_it_reads(tmp_path, image, name):
    assert read_by_cli(made_of(ACCEPTED[name])[0], tmp_path) == json.loads(READ.read_text())[name]


def plan(provisioner, tmp_path, base):
    setting = f"scenario_base_devcontainer_json={base}"
    return provisioner("plan", *COMMON, "--state-dir", tmp_path / "state", "-e", setting)


@pytest.mark.parametrize("name", REFUSED)
def test_the_plan_refuses_in_a_line(provisioner, tmp_path, name):
    done = plan(provisioner, tmp_path, REFUSED[name])
    assert done.code == 2, done
    assert done.stderr.startswith(f"provisioner: {REFUSED[name]}: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("name", "count"), [("everything-that-is-kept", 0), ("docker-in-docker", 4)])
def test_the_plan_takes_what_is_accepted_and_tells_what_is_taken_out(provisioner, tmp_path, name, count):
    done = plan(provisioner, tmp_path, ACCEPTED[name])
    assert done.code == 0, done
    told = [line for line in done.stderr.splitlines() if line.startswith("provisioner: devcontainer.json, taken out: ")]
    assert len(told) == count == len(made_of(ACCEPTED[name])[1]), done


def test_a_container_starts_with_everything_that_is_kept(tmp_path):
    """So that what is accepted does not fail after the image was built."""
    workspace = tmp_path / "workspace"
    files = workspace / ".devcontainer"
    files.mkdir(parents=True)
    (files / "Dockerfile.scenario-a").write_text(
        f'FROM {BASE_IMAGE}\nRUN useradd -ms /bin/bash vscode\nENTRYPOINT ["tail", "-f", "/dev/null"]\n'
    )
    script = files / "post-create-scenario-a.sh"
    script.write_text("#!/bin/sh\nid --user --name; echo $LANG $TZ\n")
    script.chmod(0o755)
    made, _ = made_of(ACCEPTED["everything-that-is-kept"], gpus=False, mounts=[])
    (files / "devcontainer.json").write_text(json.dumps(made))
    up = [CLI, "up", "--workspace-folder", str(workspace), "--buildkit", "never"]
    environment = {name: value for name, value in os.environ.items() if name != "TZ"}
    done = subprocess.run(up, env=environment, capture_output=True, text=True, check=False)
    label = f"label=devcontainer.local_folder={workspace}"
    container = subprocess.run(["docker", "ps", "-aq", "--filter", label], capture_output=True, text=True, check=True)
    images = subprocess.run(
        ["docker", "inspect", "--format", "{{.Config.Image}}", *container.stdout.split()],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    subprocess.run(["docker", "rm", "--force", *container.stdout.split()], capture_output=True, check=True)
    names = {name for one in images for name in (one, one.removesuffix("-uid"))}
    subprocess.run(["docker", "image", "rm", "--force", *names], capture_output=True, check=False)
    shutil.rmtree(workspace)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "vscode" in done.stderr and "C.UTF-8 Europe/Zurich" in done.stderr
