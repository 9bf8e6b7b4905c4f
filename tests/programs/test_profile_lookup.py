"""What a play knows of a host's profile: the lookup that reads it, and what each runtime wants of a host."""

import json
import sys
from pathlib import Path

import ansible_forked
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROFILES = ROOT / "inventory" / "profiles"


@pytest.fixture
def known(tmp_path):
    """What the play of prepare.yml knows of hosts that all are this machine: {host: {profile, provisioner_roles}}."""

    def ask(hosts):
        (play,) = yaml.safe_load((ROOT / "playbooks/prepare.yml").read_text())
        keep = {
            "content": "{{ {'profile': profile, 'roles': provisioner_roles} | to_json }}",
            "dest": f"{tmp_path}/{{{{ inventory_hostname }}}}.json",
            "mode": "0600",
        }
        play = {"hosts": "all", "gather_facts": False, "vars": play["vars"], "tasks": [{"copy": keep}]}
        (tmp_path / "group_vars").symlink_to(ROOT / "playbooks/group_vars")
        (tmp_path / "play.yml").write_text(json.dumps([play]))
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        (tmp_path / "hosts.yml").write_text(json.dumps({"all": {"vars": local, "hosts": hosts}}))
        options = ["-i", tmp_path / "hosts.yml", tmp_path / "play.yml"]
        done = ansible_forked.run("playbook", *options, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"))
        said = done.stdout + done.stderr
        return said if done.returncode else {n: json.loads((tmp_path / f"{n}.json").read_text()) for n in hosts}

    return ask


def test_each_host_has_the_profile_that_it_names_as_its_file_has_it(known):
    names = [path.stem for path in PROFILES.glob("*.yml")]
    found = known({name: {"provisioner_profile": name} for name in names} | {"plain": {}})
    assert {"seed", "registries", "offline"} <= set(names)
    for name in names:
        assert found[name]["profile"] == yaml.safe_load((PROFILES / f"{name}.yml").read_text())["profile"]
    assert found["plain"]["profile"]["name"] == "seed"


def test_the_runtime_is_the_hosts_choice_and_else_its_profiles(known):
    found = known({"a": {"provisioner_profile": "offline"}, "b": {}, "c": {"scenario_runtime": "native"}})
    assert found["a"]["roles"] == found["c"]["roles"] == ["site", "gpu_driver", "local_sources"]
    assert "docker_engine" in found["b"]["roles"]


def test_a_profile_that_is_not_there_is_named(known):
    assert "profiles/nonsense.yml" in known({"one": {"provisioner_profile": "nonsense"}})
