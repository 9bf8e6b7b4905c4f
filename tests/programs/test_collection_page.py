"""The playbooks of docs/collection.md: Ansible reads each as it stands. tests/hosts runs the first on a host."""

from pathlib import Path

import ansible_forked
import collection_page
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PLAYBOOKS = collection_page.playbooks()


def test_the_page_has_its_three():
    assert list(PLAYBOOKS) == [
        "Only Docker",
        "Driver and toolkit on a fleet that has Docker",
        "Scenario A on hosts that others prepared",
    ]


@pytest.mark.parametrize("text", PLAYBOOKS.values(), ids=PLAYBOOKS)
def test_ansible_reads_it(tmp_path, text):
    path = tmp_path / "site.yml"
    path.write_text(text)
    options = ("-i", "gpu-01,", "--syntax-check", path)
    done = ansible_forked.run("playbook", *options, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("text", PLAYBOOKS.values(), ids=PLAYBOOKS)
def test_what_it_sets_are_inputs_of_its_role(text):
    for play in yaml.safe_load(text):
        for role in play["roles"]:
            name = role["role"].rpartition(".")[2]
            specs = yaml.safe_load((ROOT / "roles" / name / "meta/argument_specs.yml").read_text())
            assert set(role) - {"role"} <= set(specs["argument_specs"]["main"]["options"])
