"""What of a site's Ansible settings reaches a job: decided for each that there is, wherever it may be set."""

import configparser
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from provisioner.ansible import environment, site_settings
from provisioner.ansible.job import run_playbook
from provisioner.ansible.target import Target
from provisioner.commands import controller_checks
from provisioner.errors import ProvisionerError
from provisioner.system.paths import ansible_dir

ANSIBLE_CONFIG = Path(sys.executable).parent / "ansible-config"
NO_JOBS = {"CONFIG_FILE", "GALAXY_SERVERS"}
"""What `ansible-config list` names and is no setting: where the file is, and servers of galaxy by their names."""


@pytest.fixture(autouse=True)
def no_site(tmp_path, monkeypatch):
    """A site that has set nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(site_settings, "SYSTEM_FILE", tmp_path / "etc" / "ansible.cfg")
    for name in os.environ:
        if name.startswith("ANSIBLE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def ask_config():
    """Ask `ansible-config`, for its JSON."""

    def ask(*arguments, **variables):
        command = [ANSIBLE_CONFIG, *arguments, "--format", "json"]
        return json.loads(
            subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=True).stdout
        )

    return ask


def names(found):
    variables = {entry["name"] for entry in found.get("env") or ()}
    return variables, {(entry["section"], entry["key"]) for entry in found.get("ini") or ()}


def test_each_setting_of_ansible_is_decided(ask_config):
    listed = ask_config("list")
    decided = {setting.name: setting for setting in site_settings.table()}
    for name, found in listed.items():
        if name in NO_JOBS or not any(names(found)):
            continue
        assert name in decided, f"decide about {name} in data/ansible_settings.txt: {found.get('description')}"
        variables, keys = names(found)
        assert variables <= set(decided[name].variables), name
        assert keys <= set(decided[name].keys), name
        kind = found.get("type")
        assert decided[name].kind == (kind if kind in {"path", "pathspec", "pathlist", "tmppath"} else ""), name


def test_each_setting_of_ansibles_own_plugins_is_decided(ask_config):
    variables = {name for setting in site_settings.table() for name in setting.variables}
    keys = {key for setting in site_settings.table() for key in setting.keys}
    for kind, plugins in ask_config("list", "-t", "all")["PLUGINS"].items():
        for plugin, options in plugins.items():
            for option, found in (options or {}).items():
                if kind == "CALLBACK" and plugin == "junit":
                    continue  # nothing of a job calls it
                mine = names(found) if isinstance(found, dict) else (set(), set())
                assert {name for name in mine[0] if name.startswith("ANSIBLE_")} <= variables, (kind, plugin, option)
                assert mine[1] <= keys, (kind, plugin, option)


def test_nothing_is_decided_twice():
    for of in (lambda setting: setting.variables, lambda setting: setting.keys):
        seen = [(each, setting.whose) for setting in site_settings.table() for each in of(setting)]
        assert len({each for each, _ in seen}) == len(set(seen))
    assert {setting.whose for setting in site_settings.table()} == {"site", "ours", "dropped"}


def sections(text):
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return {section: dict(parser.items(section)) for section in parser.sections()}


@pytest.mark.parametrize("setting", site_settings.table(), ids=lambda setting: setting.name)
def test_what_is_the_sites_reaches_a_job_and_nothing_else(setting, tmp_path, monkeypatch):
    value = "/a/value"
    for name in setting.variables:
        monkeypatch.setenv(name, value)
    if setting.keys:
        lines = "".join(f"[{section}]\n{key} = {value}\n" for section, key in dict(setting.keys).items())
        (tmp_path / "ansible.cfg").write_text(lines)
    if setting.whose == "site":
        monkeypatch.setattr(environment.passwords, "variables", lambda *_args, **_options: {})
    found = environment.ansible_environment()
    reaching = {name for name in setting.variables if found.variables.get(name) == value}
    written = sections(found.configuration)
    kept = {key for key in dict(setting.keys).items() if written.get(key[0], {}).get(key[1]) == value}
    is_sites = setting.whose == "site"
    assert reaching == (set(setting.variables) if is_sites else set())
    assert kept == (set(dict(setting.keys).items()) if is_sites else set())
    told = site_settings.read().left_out
    assert bool(told) == (setting.whose == "ours")


FILES = ["ANSIBLE_CONFIG", "here", "home", "etc"]


@pytest.mark.parametrize("place", range(4))
def test_the_file_is_looked_for_where_ansible_looks(tmp_path, monkeypatch, place):
    paths = [
        tmp_path / "named.cfg",
        tmp_path / "ansible.cfg",
        tmp_path / "home/.ansible.cfg",
        tmp_path / "etc/ansible.cfg",
    ]
    for number, path in enumerate(paths[place:], place):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"[defaults]\nremote_user = {FILES[number]}\n")
    monkeypatch.setenv("ANSIBLE_CONFIG", str(paths[0]))
    assert site_settings.read().given["DEFAULT_REMOTE_USER"] == (FILES[place], str(paths[place]))


def test_a_folder_that_anybody_may_write_to_has_no_configuration(tmp_path):
    (tmp_path / "ansible.cfg").write_text("[defaults]\nremote_user = somebody\n")
    tmp_path.chmod(0o777)
    assert site_settings.read().given == {}


def test_our_own_configuration_is_no_sites(monkeypatch):
    monkeypatch.chdir(ansible_dir())
    assert site_settings.read().given == {}


def test_a_named_folder_and_nothing_at_all(tmp_path, monkeypatch):
    (tmp_path / "ansible.cfg").write_text("[defaults]\nremote_user = somebody\n")
    monkeypatch.setenv("ANSIBLE_CONFIG", str(tmp_path))
    assert "DEFAULT_REMOTE_USER" in site_settings.read().given
    monkeypatch.setenv("ANSIBLE_CONFIG", os.devnull)
    assert site_settings.read().given == {}


@pytest.mark.parametrize("content", [b"[defaults\n", b"x = 1\n", b"[a]\nb = 1\nb = 2\n", b"[a]\nb = \xff\n"])
def test_a_configuration_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "ansible.cfg").write_bytes(content)
    with pytest.raises(ProvisionerError, match=r"ansible\.cfg: .*; mend it") as caught:
        environment.ansible_environment()
    assert caught.value.code == 2 and "\n" not in str(caught.value)


def test_paths_are_meant_from_the_file_they_are_in(tmp_path, monkeypatch, ask_config):
    """As Ansible itself takes them, of the file that a job has elsewhere."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "ansible.cfg").write_text(
        "[defaults]\nprivate_key_file = keys/id\ninventory_plugins = plugins:~/more:/all:{{ANSIBLE_HOME}}/x\n"
        "vault_password_file = pass ; a comment\nremote_tmp = ~/tmp\nlog_path = a%b.log\n"
    )
    monkeypatch.setenv("ANSIBLE_CONFIG", str(site / "ansible.cfg"))
    job = tmp_path / "job"
    job.mkdir()
    jobs = environment.ansible_environment().within(job)["ANSIBLE_CONFIG"]
    asked = [
        {entry["name"]: entry["value"] for entry in ask_config("dump", ANSIBLE_CONFIG=path) if "value" in entry}
        for path in (str(site / "ansible.cfg"), jobs)
    ]
    for name in (
        "DEFAULT_PRIVATE_KEY_FILE",
        "DEFAULT_INVENTORY_PLUGIN_PATH",
        "DEFAULT_VAULT_PASSWORD_FILE",
        "DEFAULT_LOG_PATH",
    ):
        assert asked[0][name] == asked[1][name], name
    assert asked[1]["DEFAULT_PRIVATE_KEY_FILE"] == str(site / "keys/id")


def test_ours_is_the_default_where_the_site_says_nothing(tmp_path):
    written = sections(environment.ansible_environment().configuration)
    assert (written["defaults"]["timeout"], written["defaults"]["pipelining"]) == ("20", "True")
    (tmp_path / "ansible.cfg").write_text("[defaults]\ntimeout = 7\n[ssh_connection]\nssh_args = -F mine\n")
    written = sections(environment.ansible_environment().configuration)
    assert (written["defaults"]["timeout"], written["ssh_connection"]["ssh_args"]) == ("7", "-F mine")


@pytest.mark.parametrize(
    ("content", "variables"),
    [
        ("", {"ANSIBLE_HOST_KEY_CHECKING": "True"}),
        ("[defaults]\nhost_key_checking = False\n", {"ANSIBLE_HOST_KEY_CHECKING": "False"}),
        ("[ssh_connection]\nhost_key_checking = False\n", {"ANSIBLE_SSH_HOST_KEY_CHECKING": "False"}),
        (
            "[inventory]\ncache = True\n[defaults]\nfact_caching = jsonfile\nfact_caching_connection = /c\n",
            {"ANSIBLE_INVENTORY_CACHE_PLUGIN": "jsonfile", "ANSIBLE_INVENTORY_CACHE_CONNECTION": "/c"},
        ),
    ],
)
def test_what_ansible_runner_would_set_otherwise(tmp_path, content, variables):
    (tmp_path / "ansible.cfg").write_text(content)
    found = environment.ansible_environment().variables
    assert found.items() >= variables.items()
    assert "ANSIBLE_CACHE_PLUGIN" not in found


def test_a_variable_that_is_no_setting_is_the_sites_own(monkeypatch):
    monkeypatch.setenv("ANSIBLE_VAULT_PASS", "what its program reads")
    monkeypatch.setenv("ANSIBLE_HASHI_VAULT_ADDR", "what its plugin reads")
    monkeypatch.setenv("AWX_LIB_DIRECTORY", "/nowhere")
    found = environment.ansible_environment().variables
    assert {"ANSIBLE_VAULT_PASS", "ANSIBLE_HASHI_VAULT_ADDR"} <= set(found)
    assert "AWX_LIB_DIRECTORY" not in found


def test_a_variable_that_is_not_text_is_left_out(monkeypatch):
    monkeypatch.setenv("SOME_NAME", "\udcff")
    monkeypatch.setenv("PATH", os.pathsep.join([os.environ["PATH"], "/caf\udce9"]))
    found = environment.ansible_environment().variables
    assert "SOME_NAME" not in found and found["PATH"].startswith(str(Path(sys.executable).parent))
    assert "SOME_NAME, which is not UTF-8" in site_settings.read().left_out


def test_doctor_tells_what_is_left_out(tmp_path, state, monkeypatch):
    target = Target(("x,",), ("x",), state)
    state.mkdir()
    assert "ansible settings" not in [finding.check for finding in controller_checks.controller(target)]
    (tmp_path / "ansible.cfg").write_text("[defaults]\nroles_path = mine\nnocows = 1\n")
    monkeypatch.setenv("ANSIBLE_NO_LOG", "1")
    (found,) = [finding for finding in controller_checks.controller(target) if finding.check == "ansible settings"]
    assert found.outcome == "warn" and "ANSIBLE_NO_LOG" in found.detail and "nocows" not in found.detail
    assert f"roles_path in {tmp_path / 'ansible.cfg'}" in found.detail


HOSTILE = {
    "ANSIBLE_NO_LOG": "1",
    "ANSIBLE_STDOUT_CALLBACK": "minimal",
    "ANSIBLE_CALLBACK_PLUGINS": "/nowhere",
    "ORIGINAL_STDOUT_CALLBACK": "oneline",
    "ANSIBLE_ROLES_PATH": "/nowhere",
    "ANSIBLE_LIBRARY": "/nowhere",
    "ANSIBLE_STRATEGY": "debug",
    "ANSIBLE_SKIP_TAGS": "all",
    "ANSIBLE_ENABLE_TASK_DEBUGGER": "1",
    "ANSIBLE_ERROR_ON_UNDEFINED_VARS": "no",
    "NOT_TEXT": "\udcff",
}


def test_a_job_is_the_same_with_them(tmp_path, state, monkeypatch):
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    state.mkdir()
    (tmp_path / "play.yml").write_text(
        json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [{"command": "printenv HOME"}]}])
    )
    variables = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    before = dict(os.environ)
    job = run_playbook(str(tmp_path / "play.yml"), Target(("here,",), ("here",), state, extra_vars=variables))
    assert job.code == 0 and job.hosts["here"].changed == 1, job.log.read_text()
    assert dict(os.environ) == before
    kept = json.loads((job.log.parent / "command").read_text())
    assert kept["cwd"] == str(tmp_path), "from where a site's relative paths are meant"
