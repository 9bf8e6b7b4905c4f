"""The file of environment variables that sh, systemd and the modules read."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import variables

ROOT = Path(__file__).parents[2]
TRICKY = {"http_proxy": 'http://u:p$a`s"s\\word%@proxy:3128', "EMPTY": "", "no_proxy": "a b, 'c' #d"}


def test_what_is_written_is_read_alike_by_sh_and_here(tmp_path):
    path = tmp_path / "environment"
    path.write_text(variables.as_file(TRICKY))
    assert variables.from_file(path) == TRICKY
    prints = 'set -a; . "$0"; exec python3 -c "import json, os; print(json.dumps(dict(os.environ)))"'
    said = subprocess.run(["/bin/sh", "-c", prints, path], capture_output=True, check=True, env={"PATH": os.defpath})
    assert TRICKY.items() <= json.loads(said.stdout).items()


@pytest.mark.parametrize(
    ("role", "name"), [("site", "site_environment"), ("docker_engine", "docker_engine_environment")]
)
def test_a_role_writes_it_as_the_modules_do(tmp_path, role, name):
    """The role's template, by Ansible itself."""
    files = [str(path) for path in (ROOT / "roles" / role / "vars").rglob("main.yml")]
    task = {"copy": {"dest": str(tmp_path / "file"), "content": f"{{{{ {name}_content }}}}", "mode": "0600"}}
    play = {"hosts": "localhost", "gather_facts": False, "vars_files": files, "tasks": [task]}
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    (tmp_path / "given.json").write_text(json.dumps({name: TRICKY, "ansible_python_interpreter": sys.executable}))
    command = [shutil.which("ansible-playbook"), "-i", "localhost,", "-c", "local", "-e", f"@{tmp_path}/given.json"]
    done = subprocess.run([*command, tmp_path / "play.yml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert variables.from_file(tmp_path / "file") == TRICKY


def test_a_process_s_own_variables_stay(tmp_path, monkeypatch):
    path = tmp_path / "environment"
    path.write_text(variables.as_file({"http_proxy": "theirs", "https_proxy": "site"}))
    monkeypatch.setattr(variables, "SITE", path)
    monkeypatch.setenv("http_proxy", "own")
    monkeypatch.delenv("https_proxy", raising=False)
    variables.take()
    assert (os.environ["http_proxy"], os.environ.pop("https_proxy")) == ("own", "site")
    monkeypatch.setattr(variables, "SITE", tmp_path / "nowhere")
    variables.take()


@pytest.mark.parametrize("text", ["", "# only a comment\n", "name=unquoted\n", "\0"])
def test_what_is_no_variable_is_none(tmp_path, text):
    (tmp_path / "environment").write_text(text)
    assert variables.from_file(tmp_path / "environment") == {}
