"""The variables of -e and of an inventory: in all the ways that Ansible takes them, and of the type that roles want."""

import base64
import json
import os
import re
import subprocess

import pytest

from provisioner.ansible import environment, given_variables, inventory
from provisioner.errors import ProvisionerError

# Each form has names of its own, so that all of them are one question.
FORMS = [
    *("a1=1", "a2=x", "b1=1 b2=x", "c1='two words' c2=\"and two\"", "d=x=y", "e="),
    "url=https://user@site:8080/x?y=z&a=b#c",
    '{"f1": 1, "f2": ["x", {"c": null}], "f3": true}',
    "{g1: [x, y], g2: yes}",
    *("h=1", '{"h": 2}'),
    *('{"i": {"x": 1}}', '{"i": {"y": 2}}'),
    *("@vars.yml", "@vars.json", "later=3"),
    *("j1=1\tj2=2", r"k=back\slash"),
]


def test_the_same_as_ansible_takes_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vars.yml").write_text("l: [1, {b: two}]\nm: !!str 3\n")
    (tmp_path / "vars.json").write_text('{"later": 1, "n": [1.5]}')
    found = given_variables.of_options(FORMS)
    shown = "{{ {" + ", ".join(f"'{name}': {name}" for name in sorted(found)) + "} | to_json | b64encode }}"
    command = ["ansible", "-i", "localhost,", "-c", "local", "all", "-m", "debug", "-a", json.dumps({"msg": shown})]
    for text in FORMS:
        command += ["-e", text]
    variables = os.environ | {"PATH": environment.program_path(), "LC_ALL": "C.UTF-8"}
    said = subprocess.run(command, env=variables, check=True, capture_output=True, text=True).stdout
    assert json.loads(base64.b64decode(re.search(r'"msg": "(.*)"', said)[1])) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a=b c", "is not KEY=VALUE"),
        ("a='b", "close its quotes"),
        ("a={{ b", "close its quotes and braces"),
        ("vars.yml", "is not KEY=VALUE"),
        ("/vars.yml", "give -e @/vars.yml"),
        ("./vars.yml", "give -e @./vars.yml"),
        ("[1, 2]", "holds no variables"),
        ('{"a": ', "as YAML or JSON"),
        ('{"a b": 1}', "holds no variables"),
        ("{a: !vault x}", "as YAML or JSON"),
        ("", "is not KEY=VALUE"),
        ("=x", "is not KEY=VALUE"),
        ("scenario_system_packages=git", "is 'git', and must be a list"),
        ('{"scenario_system_packages": "git curl"}', "must be a list"),
        ('{"scenario_system_packages": {"git": 1}}', "must be a list"),
        ('{"scenario_python_packages": ["torch"]}', "an element of scenario_python_packages is 'torch'"),
        ('{"scenario_system_packages": [["git"]]}', "must be a single value"),
        ("docker_engine_environment=A=1", "must be an object"),
        ('{"docker_engine_source": ["docker"]}', "must be a single value"),
        ("docker_engine_packages=docker.io", "is 'docker.io', and must be a list for all hosts, or an object of lists"),
        ('{"scenario_max_jobs": [1]}', "must be a single value"),
    ],
)
def test_what_is_none_of_these_is_refused_in_a_line(cli, inventory, text, said):
    code, out, err = cli("run", "-i", inventory, "-e", text)
    assert (code, out, err.count("\n")) == (2, "", 1) and said in err and "; " in err, err


@pytest.mark.parametrize(
    "variables",
    [
        {"scenario_system_packages": ["git"], "docker_engine_source": "docker", "scenario_max_jobs": 3},
        {"scenario_system_packages": "{{ mine + ['git'] }}", "scenario_mounts": None},
        {"scenario_system_packages": {"__ansible_vault": "$ANSIBLE_VAULT;1.1"}},
        {"docker_engine_packages": ["docker.io"], "devcontainer_cli_venv_packages": {"debian12": ["python3-venv"]}},
        {"mine": "git", "scenario_of_a_later_version": "x"},
    ],
)
def test_what_fits_is_let_through(variables):
    given_variables.check(variables)


def test_a_text_for_a_list_in_an_inventory_is_refused_for_its_host_alone(cli, tmp_path, monkeypatch):
    path = tmp_path / "fleet.yml"
    path.write_text("all: {hosts: {h1: {scenario_system_packages: git}, h2: {scenario_system_packages: [git]}}}\n")
    for _ in range(2):  # as read, and as kept
        code, _, err = cli("plan", "-i", path)
        assert code == 2 and f"{path}: h1: scenario_system_packages is 'git', and must be a list" in err
    assert set(inventory.read(str(path)).wrong) == {"h1"}


def test_an_error_tells_no_more_than_so_much():
    with pytest.raises(ProvisionerError) as caught:
        given_variables.of_options(["x " * 5000])
    assert len(str(caught.value)) < 400
