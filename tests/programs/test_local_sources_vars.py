"""The variables of role local_sources, as Ansible makes them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

ROLE = Path(__file__).parents[2] / "roles/local_sources"


def test_a_base_image_is_known_by_the_hash_of_its_inputs_another_for_each_distribution(tmp_path):
    profile = yaml.safe_load((ROLE.parents[1] / "inventory/profiles/registries.yml").read_text())["profile"]
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"profile": profile, "ansible_python_interpreter": sys.executable},
        "vars_files": [str(ROLE / "defaults/main.yml"), str(ROLE / "vars/main.yml")],
        "tasks": [
            {
                "ansible.builtin.copy": {
                    "content": "{{ local_sources_base_image_inputs | to_json }}",
                    "dest": str(tmp_path / "inputs"),
                    "mode": "0644",
                }
            }
        ],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", "-c", "local", tmp_path / "play.yml"],
        env=os.environ | {"ANSIBLE_CONFIG": str(ROLE.parents[1] / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    inputs = json.loads((tmp_path / "inputs").read_text())
    assert {"debian12", "debian13", "ubuntu22.04", "ubuntu24.04"} <= set(inputs)
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in inputs.values()), inputs
    assert len(set(inputs.values())) == len(inputs)
