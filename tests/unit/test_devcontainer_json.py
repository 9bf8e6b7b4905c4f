"""benchmarking/devcontainer_json.py: every shortcut out of the base configuration, the rest kept."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROLE = Path(__file__).parents[2] / "roles/scenario/files"
SCRIPT = ROLE / "xformers-devcontainer/benchmarking/devcontainer_json.py"

spec = importlib.util.spec_from_file_location("devcontainer_json", SCRIPT)
devcontainer_json = importlib.util.module_from_spec(spec)
spec.loader.exec_module(devcontainer_json)


def transform(config, **given):
    settings = {"gpus": False, "env": {}, "mounts": []} | given
    return devcontainer_json.transform(config, **settings)[0]


def test_comments_and_trailing_commas_are_read_and_strings_are_left_alone():
    text = """\ufeff// a comment
    {
      "url": "https://example.org/*not a comment*/", /* one
      over lines */ "quoted": "say \\"hi\\", // not a comment, }",
      "list": [1, 2,],
    }"""
    assert devcontainer_json.parse(text) == {
        "url": "https://example.org/*not a comment*/",
        "quoted": 'say "hi", // not a comment, }',
        "list": [1, 2],
    }


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "[1]", '{"a": }', '{"a": 1', '{"dockerComposeFile": "compose.yml"}'],
)
def test_what_is_no_configuration_of_one_container_is_refused(text):
    with pytest.raises(devcontainer_json.BaseError):
        devcontainer_json.parse(text)


def test_every_shortcut_is_out_and_the_rest_is_kept():
    base = {
        "name": "mine",
        "image": "alexchesser/xformers-devcontainer:latest",
        "cacheFrom": "x",
        "dockerFile": "Old",
        "build": {
            "dockerfile": "Dockerfile",
            "cacheFrom": ["a", "b"],
            "target": "fast",
            "args": {"A": "1"},
            "options": ["--cache-from", "a", "--cache-from=b", "--network=host"],
        },
        "customizations": {"vscode": {"extensions": ["x"]}},
        "remoteUser": "vscode",
        "postCreateCommand": "make",
        "mounts": ["source=cache,target=/cache,type=volume"],
    }
    before = json.dumps(base)
    assert transform(base) == {
        "name": "mine",
        "build": {"dockerfile": "Dockerfile.scenario-a", "options": ["--network=host"]},
        "customizations": {"vscode": {"extensions": ["x"]}},
        "remoteUser": "vscode",
        "postCreateCommand": ".devcontainer/post-create-scenario-a.sh",
    }
    assert json.dumps(base) == before, "the base was changed"


@pytest.mark.parametrize("arguments", [[], ["--gpus", "all"], ["--gpus=all"]])
def test_gpus_are_asked_for_only_where_there_are_some(arguments):
    base = {"runArgs": ["--ipc=host", *arguments]}
    assert transform(base, gpus=True)["runArgs"] == ["--gpus", "all", "--ipc=host"]
    assert transform(base, gpus=False)["runArgs"] == ["--ipc=host"]


def test_the_command_line_writes_the_file(tmp_path):
    out = tmp_path / "devcontainer.json"
    done = subprocess.run(
        [
            sys.executable,
            SCRIPT,
            ROLE / "devcontainer.json",
            "--output",
            out,
            "--gpus",
            "--env",
            "MAX_JOBS=2",
            "--mount",
            "/a:/b:ro",
            "--mount",
            "/c:/d",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    made = json.loads(out.read_text())
    assert made["containerEnv"] == {"MAX_JOBS": "2"}
    assert made["mounts"] == ["type=bind,source=/a,target=/b,readonly", "type=bind,source=/c,target=/d"]
    assert "image" not in made
    assert "cacheFrom" not in made["build"]
    assert done.stdout.splitlines()[0] == (
        "devcontainer.json, taken out: image: the image is built by Scenario A's Dockerfile"
    )


@pytest.mark.parametrize("mount", ["a:/b", "/a", "/a,readonly:/b", "/a:/b:rw"])
def test_a_mount_that_is_none_is_refused(tmp_path, mount):
    done = subprocess.run(
        [sys.executable, SCRIPT, ROLE / "devcontainer.json", "--output", tmp_path / "x", "--mount", mount],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert not (tmp_path / "x").exists()


def test_a_base_that_cannot_be_used_is_one_line_and_code_2(tmp_path):
    base = tmp_path / "devcontainer.json"
    base.write_text("{nonsense")
    done = subprocess.run([sys.executable, SCRIPT, base, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert str(base) in done.stderr


@pytest.mark.parametrize(
    "make", [Path.mkdir, os.mkfifo, lambda path: path.write_bytes(b"\xff\xfe{"), lambda path: None]
)
def test_what_is_no_file_of_text_is_refused_in_a_line(tmp_path, make):
    base = tmp_path / "devcontainer.json"
    make(base)
    command = [sys.executable, SCRIPT, base, "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"{base}: ")
