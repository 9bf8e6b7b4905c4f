"""The table of distributions: a release that there is not is one file in a copy of the checkout, and known to all."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import gpu_driver
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host
from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.distributions import column, table

ROOT = Path(__file__).parents[2]
PYTHON = Path(sys.executable)
COPIED = ("bin", "distributions", "docs", "inventory", "meta", "playbooks", "plugins", "provisioner", "roles")
UBUNTU = "like: ubuntu24.04\nname: Ubuntu 99.04\ncodename: invented\ntried: nothing at all\n"
DEBIAN = "like: debian13\nname: Debian 99\ncodename: imagined\ntried: nothing at all\n"
ROLES = ("gpu_driver", "docker_engine", "local_sources")
DUMP = """
- hosts: localhost
  gather_facts: false
  vars:
    profile: "{{{{ lookup('provisioner.gpu_hosts.profile', 'registries') }}}}"
  vars_files: ["{root}/playbooks/group_vars/all.yml"]
  roles:
    - {{role: provisioner.gpu_hosts.site, tags: never}}
    - {{role: provisioner.gpu_hosts.gpu_driver, tags: never}}
    - {{role: provisioner.gpu_hosts.docker_engine, tags: never}}
    - {{role: provisioner.gpu_hosts.local_sources, tags: never}}
  tasks:
    - ansible.builtin.copy:
        content: "{{{{ {{'gpu_driver': gpu_driver_wanted, 'docker_engine': docker_engine_wanted,
          'local_sources': local_sources_wanted, 'doctor': host_checks_asked.distributions}} | to_json }}}}"
        dest: "{root}/wanted.json"
        mode: "0600"
"""
# What the probes and the doctor make of it, as that copy has them.
LOOK = """
import json, sys
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import docker_engine, gpu_driver, host
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.doctor import checks
wanted, made = json.load(open("wanted.json")), host.Host()
made.os_release = {"ID": "ubuntu", "VERSION_ID": "99.04", "ID_LIKE": "debian", "PRETTY_NAME": "Ubuntu 99.04"}
made.packages, made.held, made.unfinished = {}, set(), {}
print(json.dumps({
    "engine": made.pick(wanted["docker_engine"]["packages"]),
    "driver": gpu_driver.entry_of(made, wanted["gpu_driver"]),
    "image": made.pick(wanted["local_sources"]["releases"]),
    "inputs": made.pick(wanted["local_sources"]["image_inputs"]),
    "doctor": checks.system(checks.Host({"distributions": wanted["doctor"]}, None, made)),
}))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the checkout with two releases more, and how to run a command of it."""
    root = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        shutil.copytree(
            ROOT / name, root / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "results")
        )
    for name in ("ansible.cfg", "galaxy.yml"):
        shutil.copy(ROOT / name, root / name)
    (root / "ansible_collections/provisioner").mkdir(parents=True)
    (root / "ansible_collections/provisioner/gpu_hosts").symlink_to("../..")
    (root / "distributions/ubuntu99.04.yml").write_text(UBUNTU)
    (root / "distributions/debian99.yml").write_text(DEBIAN)
    environment = os.environ | {
        "ANSIBLE_CONFIG": str(root / "ansible.cfg"),
        "PYTHONPATH": str(root),
        "PROVISIONER_STATE_DIR": str(root / "state"),
    }

    def run(*words, code=0):
        done = subprocess.run(
            [str(word) for word in words], cwd=root, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return root, run


@pytest.fixture(scope="module")
def found(copy):
    root, run = copy
    (root / "dump.yml").write_text(DUMP.format(root=root))
    interpreter = f"ansible_python_interpreter={PYTHON}"
    run(PYTHON.parent / "ansible-playbook", "-i", "localhost,", "-c", "local", "-e", interpreter, root / "dump.yml")
    return json.loads(run(PYTHON, "-c", LOOK))


def test_the_roles_know_a_new_release(found):
    assert found["engine"] == table()["ubuntu24.04"]["docker_engine"]["distribution"]
    known = table()["ubuntu24.04"]["gpu_driver"]
    assert found["driver"] == {**known, "id": "ubuntu99.04", "name": "Ubuntu 99.04", "codename": "invented"}
    assert (found["image"]["codename"], found["image"]["distribution"]) == ("invented", "Ubuntu")
    assert re.fullmatch("[0-9a-f]{64}", found["inputs"])


def test_the_doctor_knows_a_new_release(found):
    assert found["doctor"] == {"check": "os", "outcome": "ok", "detail": "Ubuntu 99.04", "remedy": ""}


def test_the_lab_knows_a_new_release(copy):
    _, run = copy
    said = run(PYTHON, "-m", "provisioner", "lab", "up", "--debian", "98", code=2)
    assert "--debian: '98' is none of 12, 13, 99" in said
    said = run(PYTHON, "-m", "provisioner", "completion", "bash")
    assert re.search(r"debian\w*choices=\(.*'?99'?", said), said
    program = (
        "import json; from provisioner.lab import dress, outside, releases;"
        "print(json.dumps([releases.codenames(), dress.load('umask-077').debian, dress.load('dkms-failed').debian,"
        " json.loads(outside.contents()['releases.json'])]))"
    )
    names = {"12": "bookworm", "13": "trixie", "99": "imagined"}
    assert json.loads(run(PYTHON, "-c", program)) == [names, [12, 13, 99], [12], names]


def test_the_page_knows_a_new_release(copy):
    root, run = copy
    run(PYTHON, "bin/distributions_table.py")
    page = (root / "docs/hosts.md").read_text()
    assert "| Ubuntu 99.04 | yes | 580, or another branch | 580, or another branch | nothing at all |\n" in page
    assert "| Debian 99 | yes | 550 | " in page


def test_what_a_file_does_not_say_it_has_from_the_one_that_it_is_like(tmp_path):
    (tmp_path / "base.yml").write_text("role: {list: [1, 2], deep: {a: 1, b: 2}}\nother: {x: 1}\n")
    (tmp_path / "one1.yml").write_text(
        "like: base\nname: One\ncodename: first\nin_part: wait\nrole: {list: [3], deep: {b: 4}}\n"
    )
    (tmp_path / "two2.yml").write_text("like: one1\nname: Two\n")
    made = table(tmp_path)
    assert list(made) == ["one1", "two2"], "a file without a name is no release"
    one = {"list": [3], "deep": {"a": 1, "b": 4}}
    assert made["one1"]["role"] == {**one, "id": "one1", "name": "One", "codename": "first"}
    assert made["two2"]["role"] == {**one, "id": "two2", "name": "Two"}
    assert made["two2"]["other"]["x"] == 1
    assert "in_part" not in made["two2"]


@pytest.mark.parametrize("like", ["one1", "nobody"])
def test_a_file_that_is_like_nothing_is_named(tmp_path, like):
    (tmp_path / "one1.yml").write_text(f"like: {like}\nname: One\n")
    with pytest.raises(ValueError, match=f"distributions/one1.yml: like {like}, which cannot be; name another file"):
        table(tmp_path)


def test_of_a_part_that_a_release_has_not_it_is_left_out():
    assert "rocky9" not in column("docker_engine.distribution") and "rocky9" in column("docker_engine.docker")
    assert column("docker_engine.nothing.there") == {}


def test_what_an_inventory_says_takes_the_place_of_the_table():
    """Each host picks a list that is for all; of the driver the module's packages are replaced, and the rest stays."""
    probed = Host()
    probed.os_release = {"ID": "debian", "VERSION_ID": "12"}
    assert probed.pick(["docker.io", "tree"]) == ["docker.io", "tree"]
    assert probed.pick({"debian12": ["docker.io"], "debian": []}) == ["docker.io"]
    assert probed.pick({"ubuntu": ["docker.io"]}) is None
    wanted = {"distributions": column("gpu_driver"), "source": "distribution", "module": "", "packages": []}
    entry = gpu_driver.entry_of(probed, wanted)
    own = ["nvidia-kernel-dkms", "nvidia-smi", "libnvidia-encode1"]
    changed = gpu_driver.entry_of(probed, wanted | {"packages": own})
    assert changed["sources"]["distribution"]["packages"] == {
        "proprietary": own,
        "open": entry["sources"]["distribution"]["packages"]["open"],
    }
    assert changed["sources"]["nvidia"] == entry["sources"]["nvidia"]
