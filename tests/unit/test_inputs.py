"""Bad input is one line that says how to mend it, exit code 2, and Ansible is never started."""

import json
import os
from pathlib import Path

import pytest
import yaml

from provisioner import cli as command_line
from provisioner.ansible import given_variables, inputs, job
from provisioner.commands.run import _variables
from provisioner.commands.typed_options import of_target
from provisioner.errors import ProvisionerError


@pytest.fixture(autouse=True)
def no_ansible(monkeypatch, request):
    """Starting a job in this module is a failure of the test."""

    def started(*_args, **_kwargs):
        raise AssertionError("Ansible was started")

    monkeypatch.setattr(job, "_Runner", started)


def refused(cli, *arguments):
    code, out, err = cli(*arguments)
    assert code == 2, err
    assert out == ""
    assert err.startswith("provisioner: ") and err.count("\n") == 1
    assert "Traceback" not in err
    assert "; " in err, "no remedy"
    return err


def started(cli, *arguments):
    """The opposite: nothing was wrong, so Ansible would have been started."""
    assert "Ansible was started" in cli(*arguments)[2]


USERNAMES = ["alex;rm -rf /", "../x", "-oProxyCommand=x", "a--b", "-a", "a-", "a" * 40, "a b", "ä", "a\n", "a_b"]


@pytest.mark.parametrize("value", USERNAMES)
def test_a_bad_user_name(cli, inventory, value):
    assert "user name" in refused(cli, "run", "-i", inventory, f"--username={value}")
    refused(cli, "run", "-i", inventory, "-e", json.dumps({"scenario_username": value}))


@pytest.mark.parametrize("value", ["alexchesser", "a", "A-1", "a" * 39])
def test_a_good_user_name(value):
    assert inputs.settings({"scenario_username": value}) == {"scenario_username": value}


URLS = [
    "-oProxyCommand=touch x",
    "--upload-pack=x",
    "ext::sh -c touch% x",
    "ftp://host/x",
    "http:",
    "https://",
    "https://host",
    "https:///path",
    "https://host/a b",
    "https://host/$(id)",
    "https://host/a;b",
    "https://host/a\nb",
    "https://host/`id`",
    "https://host:port/x",
    "ssh://-oProxyCommand=x/y",
    "ssh://-x@host/y",
    "git@host:x/y",
    "file://host/x",
    "file:x",
    "../x",
    "https://user:secret@host/x",
    "https://token@host/x",
    "ssh://user:secret@host/x",
]


@pytest.mark.parametrize("value", URLS)
def test_a_bad_url(cli, inventory, value):
    err = refused(cli, "run", "-i", inventory, f"--xformers-url={value}")
    assert "secret" not in err and "token@" not in err


@pytest.mark.parametrize(
    "value",
    [
        "https://github.com/alexchesser/xformers.git",
        "https://host:8443/a/b.git",
        "ssh://git@host/x.git",
        "git://host/x",
        "file:///sources/xformers.git",
        "",
    ],
)
def test_a_good_url(value):
    assert inputs.settings({"scenario_xformers_url": value}) == {"scenario_xformers_url": value}


@pytest.mark.parametrize("value", ["8", "8.0;", "sm_90", "8.0,9.0", "9.0a; rm -rf /", "8.0+ptx", ";", " ", "8.0\n9.0"])
def test_a_bad_architecture_list(cli, inventory, value):
    assert "architecture" in refused(cli, "run", "-i", inventory, f"--arch-list={value}")


@pytest.mark.parametrize(
    ("value", "taken"),
    [("auto", ""), ("8.0", "8.0"), ("8.0 9.0a", "8.0 9.0a"), ("8.6+PTX;12.0", "8.6+PTX;12.0"), ("10.0f", "10.0f")],
)
def test_a_good_architecture_list(value, taken):
    assert inputs.settings({"scenario_arch_list": value}) == {"scenario_arch_list": taken}


@pytest.mark.parametrize("value", ["0", "-1", "1025", "two", "1.5", "٣", " 4"])
def test_a_bad_number_of_jobs(cli, inventory, value):
    refused(cli, "run", "-i", inventory, f"--max-jobs={value}")


@pytest.mark.parametrize(("value", "taken"), [("1", "1"), ("1024", "1024"), ("auto", "")])
def test_a_good_number_of_jobs(value, taken):
    assert inputs.settings({"scenario_max_jobs": value}) == {"scenario_max_jobs": taken}


@pytest.mark.parametrize("value", ["nonsense", "../seed", "", "seed.yml"])
def test_an_unknown_profile(cli, inventory, value):
    err = refused(cli, "run", "-i", inventory, "--profile", value)
    assert err.startswith(f"provisioner: --profile: no profile named {value!r}; ")
    assert ("did you mean seed?" if "seed" in value else "registries and seed") in err
    refused(cli, "run", "-i", inventory, "-e", f"provisioner_profile={value}")


def test_an_unknown_profile_in_the_inventory(cli, tmp_path):
    path = tmp_path / "inventory.yml"
    path.write_text("all:\n  vars: {provisioner_profile: nonsense}\n  hosts: {h1: , h2: {provisioner_profile: seed}}\n")
    assert "'nonsense'" in refused(cli, "run", "-i", path)
    started(cli, "run", "-i", path, "-l", "h2")
    started(cli, "run", "-i", path, "--profile", "seed")


@pytest.mark.parametrize("value", ["x", "=x", "1x=y", "a-b=c", "a b=c"])
def test_a_variable_that_is_not_key_value(cli, inventory, value):
    assert "KEY=VALUE" in refused(cli, "run", "-i", inventory, f"-e{value}")


def test_variables_come_from_a_file_as_well_and_the_later_wins(tmp_path):
    path = tmp_path / "vars.yml"
    path.write_text("a: [1, {b: two}]\nscenario_max_jobs: 3\n")
    found = given_variables.of_options(["scenario_max_jobs=2", f"@{path}", "a=x"])
    assert found == {"scenario_max_jobs": 3, "a": "x"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("- a\n", "holds no variables"),
        ("$ANSIBLE_VAULT;1.1;AES256\n6162\n", "group_vars"),
        ("a b: 1\n", "holds no variables"),
        ("1: 2\n", "not a text"),
        ("a: [\n", "YAML or JSON"),
        ("a: &a [*a]\n", "nested deeper"),
        (
            "a: &a [1]\n"
            + "".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}' if n else '*a'] * 9)}]\n" for n in range(12)),
            "50000",
        ),
        ("a: 2026-11-29\n", "YAML or JSON"),
        ("a: .nan\n", "finite"),
        ("a: " + "x" * 2**20, "MiB"),
        (b"\xff\xfe\xfd", "YAML or JSON"),
    ],
)
def test_a_file_of_variables_that_is_none(cli, inventory, tmp_path, content, said):
    path = tmp_path / "vars.yml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert said in refused(cli, "run", "-i", inventory, "-e", f"@{path}")


def test_a_missing_inventory(cli, tmp_path):
    assert "no inventory" in refused(cli, "prepare", "-i", tmp_path / "none.yml")


@pytest.mark.parametrize("command", ["run", "prepare", "doctor", "clean"])
def test_a_limit_that_matches_nothing_names_the_hosts(cli, inventory, command):
    assert "h1, h2" in refused(cli, command, "-i", inventory, "-l", "h3")


@pytest.mark.parametrize("value", ["0", "-2", "1001"])
def test_forks_out_of_range(cli, inventory, value):
    refused(cli, "run", "-i", inventory, f"--forks={value}")


@pytest.mark.parametrize("value", ["0", "-2"])
def test_repeat_out_of_range(cli, inventory, value):
    refused(cli, "run", "-i", inventory, f"--repeat={value}")


def test_a_state_directory_that_cannot_be_written_to(cli, inventory, tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below", "/proc/provisioner"):
        assert "--state-dir" in refused(cli, "run", "-i", inventory, "--state-dir", place)


def test_the_state_directory_is_for_its_owner_alone(options_of, state):
    inputs.check(of_target(options_of("run", "-l", "h1")))
    assert state.stat().st_mode & 0o777 == 0o700


def test_a_query_that_is_not_jmespath(cli, keep):
    keep()
    for query in ("runs[", "", "a b", "foo(`1`"):
        assert "JMESPath" in refused(cli, "facts", "-q", query)


def test_a_query_that_does_not_fit(cli, keep):
    keep()
    refused(cli, "facts", "-q", "sum(runs[].host)")
    refused(cli, "facts", "-q", "nonsense(runs)")


def test_a_local_target_needs_root_or_sudo(cli, monkeypatch, tmp_path):
    """Someone else than root, on a machine whose sudo asks for a password."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    sudo = tmp_path / "sudo"
    sudo.write_text("#!/bin/sh\nexit 1\n")
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert "sudo" in refused(cli, "run")
    sudo.write_text("#!/bin/sh\nexit 0\n")
    started(cli, "prepare")


def test_remote_targets_do_not_need_root_here(monkeypatch, options_of):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert inputs.check(of_target(options_of("run"))).local == frozenset()


@pytest.fixture
def options_of(inventory):
    return lambda *arguments: command_line.parse([*arguments, "-i", str(inventory)])


def test_what_is_given_becomes_variables(options_of):
    options = options_of(
        *("run", "--profile", "registries", "-e", "x=1", "-e", "scenario_max_jobs=3"),
        *("--max-jobs", "auto", "--arch-list", "8.0 9.0", "--fresh", "--username", "me"),
    )
    target = inputs.check(of_target(options), _variables(options))
    assert target.extra_vars == {
        "x": "1",
        "provisioner_profile": "registries",
        "scenario_username": "me",
        "scenario_arch_list": "8.0 9.0",
        "scenario_max_jobs": "",  # the command's own option over -e
        "scenario_fresh": True,
        "provisioner_state_dir": str(target.state),
    }


def test_what_is_not_given_is_left_to_the_inventory(options_of):
    options = options_of("run")
    assert set(inputs.check(of_target(options), _variables(options)).extra_vars) == {"provisioner_state_dir"}


def test_repeat_measures_anew(options_of):
    assert _variables(options_of("run", "--repeat", "2")) == {"scenario_fresh": True}


def test_a_message_never_spans_lines_or_floods():
    with pytest.raises(ProvisionerError) as caught:
        inputs.settings({"scenario_username": "a\nb" * 1000})
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["site.yml", "plan.yml"])
def test_what_a_run_would_not_take_is_refused_first_of_all_by_the_plan_too(name):
    playbook = yaml.safe_load((Path(__file__).parents[2] / "playbooks" / name).read_text(encoding="utf-8"))
    assert playbook[0].get("ansible.builtin.import_playbook") == "validate.yml"
