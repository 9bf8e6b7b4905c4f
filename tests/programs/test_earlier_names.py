"""Variables, modules and a role by the names that they had when there was Scenario A alone."""

import json
import sys
from pathlib import Path

import ansible_forked
import pytest
import yaml

from provisioner.ansible import given_variables
from provisioner.ansible import inventory as inventories

ROOT = Path(__file__).parents[2]
DEFAULTS = yaml.safe_load((ROOT / "roles/scenario/defaults/main.yml").read_text())
MAX_JOBS = "scenario_a_max_jobs is now scenario_max_jobs; please rename it"
TWO_VALUES = "scenario_a_max_jobs and scenario_max_jobs are one variable, and are set to two values"


@pytest.fixture(autouse=True)
def nobody_was_told():
    given_variables.earlier_name_told.cache_clear()


@pytest.mark.parametrize("name", sorted(DEFAULTS.keys() - {"profile", "scenario"}))
def test_the_default_of_each_variable_is_what_its_earlier_name_has(name):
    assert DEFAULTS[name].startswith(f"{{{{ scenario_a_{name.removeprefix('scenario_')} | default(")


# ---- with -e ---------------------------------------------------------------------------------------------------------


def test_with_e_it_is_the_variable_of_now_and_told_once(tmp_path, capsys):
    (tmp_path / "mine.yml").write_text("scenario_a_username: me\nscenario_a_mine: x\n")
    texts = ["scenario_a_max_jobs=3", f"@{tmp_path}/mine.yml", "other=1"]
    wanted = {"scenario_max_jobs": "3", "scenario_username": "me", "scenario_a_mine": "x", "other": "1"}
    assert given_variables.of_options(texts) == given_variables.of_options(texts) == wanted
    assert capsys.readouterr().err.splitlines() == [
        f"provisioner: -e: {MAX_JOBS}",
        f"provisioner: -e @{tmp_path}/mine.yml: scenario_a_username is now scenario_username; please rename it",
    ]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (("scenario_a_max_jobs=2", "scenario_max_jobs=3"), TWO_VALUES),
        (('{"scenario_max_jobs": 3, "scenario_a_max_jobs": "x"}',), TWO_VALUES),
        (("scenario_a_system_packages=git",), "scenario_a_system_packages is 'git', and must be a list"),
        (("scenario_a_max_jobs=no",), "scenario_max_jobs is 'no'; give a number of compile jobs"),
    ],
)
def test_what_is_wrong_with_one_is_a_line(cli, inventory, texts, said):
    code, out, err = cli("run", "-i", inventory, *(word for text in texts for word in ("-e", text)))
    assert (code, out) == (2, "") and said in err.splitlines()[-1], err


def test_both_names_may_be_given_where_they_say_the_same():
    assert given_variables.of_options(["scenario_a_max_jobs=2", "scenario_max_jobs=2"]) == {"scenario_max_jobs": "2"}


# ---- in an inventory -------------------------------------------------------------------------------------------------


def test_an_inventory_tells_which_of_its_hosts_have_one(tmp_path, state):
    path = tmp_path / "hosts.yml"
    hosts = {"old": {"scenario_a_max_jobs": 3}, "new": {"scenario_max_jobs": 3}, "both": {"scenario_max_jobs": 2}}
    hosts["both"]["scenario_a_max_jobs"] = 3
    hosts["broken"] = {"scenario_a_system_packages": "git"}
    path.write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    state.mkdir()
    for found in (inventories.read(str(path), state), inventories.read(str(path), state)):  # the second one is kept
        assert found.earlier == {"old": ["scenario_a_max_jobs"]}
        assert found.wrong.keys() == {"both", "broken"}
        assert TWO_VALUES in found.wrong["both"] and "must be a list" in found.wrong["broken"]


# ---- without the command ---------------------------------------------------------------------------------------------

VALUES = "jobs {{ scenario_max_jobs }}, {{ scenario_dir }}"
SHOWN = {"name": "Show the values", "ansible.builtin.debug": {"msg": VALUES}}


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Run a play of these tasks, or roles, on a host with these variables, as a stranger does."""
    monkeypatch.chdir(tmp_path)

    def run(tasks, variables, *options, **more):
        variables = {"ansible_python_interpreter": sys.executable, **variables}
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"h": variables}}}))
        plays = [{"name": "Play", "hosts": "all", "connection": "local", "gather_facts": False, "tasks": tasks, **more}]
        (tmp_path / "play.yml").write_text(yaml.safe_dump(plays, sort_keys=False))
        config = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "COLUMNS": "300"}
        done = ansible_forked.run("playbook", "-i", "hosts.yml", "play.yml", *options, **config)
        return done.returncode, " ".join(f"{done.stdout} {done.stderr}".split())

    return run


def of_role(role, entry):
    return {
        "name": "Take the role",
        "ansible.builtin.import_role": {"name": f"provisioner.gpu_hosts.{role}", "tasks_from": entry},
    }


@pytest.mark.parametrize("role", ["scenario", "scenario_a"])
def test_the_role_takes_and_tells_them(play, role):
    variables = {"scenario_a_max_jobs": 3, "scenario_a_dir": "/srv/s", "scenario_a_mine": 1}
    code, said = play([of_role(role, "validate.yml"), SHOWN], variables)
    assert code == 0 and "jobs 3, /srv/s" in said, said
    assert said.count(MAX_JOBS) == 1 and "scenario_a_mine" not in said, said


@pytest.mark.parametrize(
    ("variables", "options", "jobs"),
    [
        ({"scenario_max_jobs": 2, "scenario_a_max_jobs": 3}, (), None),
        ({"scenario_max_jobs": 3, "scenario_a_max_jobs": "3"}, (), 3),
        ({"scenario_a_max_jobs": 3}, ("-e", "scenario_max_jobs=2"), 2),
    ],
    ids=["two values", "one value", "with -e another"],
)
def test_the_role_refuses_two_values_but_one_with_e_counts_more(play, variables, options, jobs):
    code, said = play([of_role("scenario", "validate.yml"), SHOWN], variables, *options)
    assert (code == 0, TWO_VALUES in said) == (jobs is not None, jobs is None), said
    assert jobs is None or f"jobs {jobs}," in said


def test_what_the_play_itself_sets_is_none_of_the_inventorys_business(play):
    task = of_role("scenario", "validate.yml") | {"vars": {"scenario_wait": False}}
    code, said = play([task], {"scenario_a_wait": True})
    assert code == 0, said


def test_a_module_by_its_earlier_name_answers_by_earlier_names(play, tmp_path):
    asked = {"provisioner.gpu_hosts.scenario_a_run": {"root": str(tmp_path), "state": "listed"}}
    shown = {"ansible.builtin.debug": {"msg": "{{ found.scenario_a_ended }} {{ found.scenario_ended }}"}}
    code, said = play([{"name": "Ask", **asked, "register": "found"}, {"name": "Show", **shown}], {})
    assert code == 0 and "'[] []'" in said, said
    assert "DEPRECATION WARNING" in said and "provisioner.gpu_hosts.scenario_a_run" in said


def test_the_playbook_by_its_earlier_name_is_the_one_of_now():
    (play,) = yaml.safe_load((ROOT / "playbooks/scenario_a.yml").read_text())
    assert play["ansible.builtin.import_playbook"] == "scenario.yml"


def test_each_entry_point_of_the_role_by_its_earlier_name_is_there():
    paths = sorted((ROOT / "roles/scenario_a/tasks").iterdir())
    taken = {path.name: yaml.safe_load(path.read_text())[-1]["ansible.builtin.import_role"] for path in paths}
    assert all(role["name"] == "provisioner.gpu_hosts.scenario" for role in taken.values())
    assert all(role.get("tasks_from", "main.yml") == name for name, role in taken.items()), json.dumps(taken)
