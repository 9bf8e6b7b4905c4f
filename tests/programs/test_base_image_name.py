"""Which image role local_sources makes: never one by the name of an image that a person wants pulled."""

from pathlib import Path

import ansible_forked
import pytest
import yaml

ROLE = Path(__file__).parents[2] / "roles/local_sources"


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "the/profile:1"),
        ({"scenario_base_image": "some/registry:2"}, "the/profile:1"),
        ({"scenario_base_image": "site/base:3", "local_sources_base_image_from": "/"}, "site/base:3"),
        ({"local_sources_base_image_from": "/"}, "the/profile:1"),
    ],
)
def test_its_name(tmp_path, variables, name):
    text = yaml.safe_load((ROLE / "defaults/main.yml").read_text())["local_sources_base_image"]
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"profile": {"base_image": "the/profile:1"}, "local_sources_base_image_from": "", **variables},
        "tasks": [{"ansible.builtin.assert": {"that": f"found == '{name}'"}, "vars": {"found": text}}],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    done = ansible_forked.run("playbook", "-i", "localhost,", "-c", "local", tmp_path / "play.yml")
    assert done.returncode == 0, done.stdout
