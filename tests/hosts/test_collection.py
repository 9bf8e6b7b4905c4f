"""Each role alone, as a stranger has it: from the collection's archive, by an Ansible whose Python has not our package.

One host gets them one after the other, in the order in which they stand on each other. The workload of scenario is
the short one; the toolkit is a stand-in, from a repository that the host itself serves.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import collection_page
import pytest
import short
import yaml

ROOT = Path(__file__).parents[2]
NAME = "provisioner.gpu_hosts"
PLAY = """
- hosts: all
  become: true
  gather_facts: false
  roles: [{role}]
"""
CA = os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt"
PROFILE = "{{ lookup('provisioner.gpu_hosts.profile', 'registries') }}"
URL = "http://127.0.0.1:8000/nvidia.github.io/libnvidia-container"
# The role, what a stranger sets for it, and how the host itself shows afterwards that it did its work.
ROLES = [
    ("site", {}, "test -s /etc/provisioner/site-ca.crt"),
    ("docker_engine", {"docker_engine_users": ["games"]}, "docker info --format ok && id -nG games | grep -w docker"),
    (
        "nvidia_container_toolkit",
        {
            "nvidia_container_toolkit_force": True,
            "nvidia_container_toolkit_url": f"{URL}/stable",
            "nvidia_container_toolkit_key_url": f"{URL}/gpgkey",
        },
        "docker info --format '{{json .Runtimes}}' | grep nvidia",
    ),
    ("devcontainer_cli", {}, "devcontainer --version | grep -x 0.89.0"),
    ("local_sources", {"profile": PROFILE}, "git -C /var/lib/provisioner/sources/xformers.git log --oneline"),
    (
        "scenario",
        short.VARIABLES | {"provisioner_profile": "registries", "scenario_arch_list": "9.0"},
        "grep -w ok /var/lib/provisioner/scenario_a/runs/*/result.json",
    ),
]


class Stranger:
    """A controller with ansible-core, the collection, and nothing else of ours."""

    def __init__(self, folder):
        self.folder = folder
        self.bin = folder / "venv/bin"
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        core = f"ansible-core=={version('ansible-core')}"
        subprocess.run([self.bin / "pip", "install", "--quiet", core], check=True, cwd=folder)
        (folder / "ansible.cfg").write_text(f"[defaults]\ncollections_path = {folder}\nnocolor = True\n")
        ours = ("PYTHONPATH", "VIRTUAL_ENV")
        self.environment = {name: value for name, value in os.environ.items() if name not in ours}
        self.environment |= {"ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "LC_ALL": "C.UTF-8"}

    def run(self, program, *arguments):
        """Run a program of the stranger's Python, in a folder that has nothing of ours."""
        return subprocess.run(
            [self.bin / program, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def play(self, lab, role, variables, *options):
        """Run a playbook of the stranger's own with one role, and return how many tasks changed something."""
        return self.playbook(lab, PLAY.format(role=f"{NAME}.{role}"), "-e", json.dumps(variables), *options)

    def playbook(self, lab, text, *options):
        """Run a playbook of this text, and return how many tasks changed something."""
        path = self.folder / "site.yml"
        path.write_text(text)
        done = self.run("ansible-playbook", "-i", lab.inventory, *options, path)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said[-6000:]
        assert "DEPRECATION" not in said, said[-6000:]
        return int(re.search(r"\bchanged=(\d+)", done.stdout)[1])


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The collection, as `ansible-galaxy collection build` makes it."""
    folder = tmp_path_factory.mktemp("archive")
    galaxy = [Path(sys.executable).parent / "ansible-galaxy", "collection", "build", "--output-path", folder, ROOT]
    subprocess.run([*map(str, galaxy)], check=True, env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")})
    (path,) = folder.glob("*.tar.gz")
    return path


@pytest.fixture(scope="module")
def stranger(archive, tmp_path_factory):
    one = Stranger(tmp_path_factory.mktemp("stranger"))
    done = one.run("ansible-galaxy", "collection", "install", "--offline", "-p", one.folder, archive)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No module named 'provisioner'" in one.run("python", "-c", "import provisioner").stderr
    return one


@pytest.fixture(scope="module")
def host(make_lab, ask, serve_repositories):
    """A bare host, with the key of the repository that it serves itself; the short workload is on it."""
    lab = make_lab("collection")
    name = lab.hosts[0].name
    keys = serve_repositories(lab, name, "toolkit")
    short.install(short.container(name))
    return lab, keys["toolkit"], lambda command, **options: ask(lab, name, command, **options)


@pytest.fixture(scope="module")
def site(make_lab, ask, serve_repositories, tmp_path_factory):
    """A bare host of a site with a mirror of Docker's repository and a user ci, and an inventory that says so."""
    lab = make_lab("page")
    name = lab.hosts[0].name
    keys = serve_repositories(lab, name, "docker")
    ask(lab, name, "useradd ci")
    mirror = "http://127.0.0.1:8000/download.docker.com/linux"
    inventory = tmp_path_factory.mktemp("site") / "site.yml"
    variables = {
        "docker_engine_repository_url": mirror,
        "docker_engine_repository_fingerprints": [keys["docker"]],
        "site_ca_bundle": CA,
    }
    inventory.write_text(yaml.safe_dump({"all": {"vars": variables}}))
    return lab, inventory, lambda command, **options: ask(lab, name, command, **options)


def test_the_archive_has_what_roles_need_and_nothing_of_the_package(archive):
    with tarfile.open(archive) as tar:
        names = set(tar.getnames())
    tops = {name.partition("/")[0] for name in names}
    assert {"plugins", "roles", "playbooks", "inventory", "meta", "docs", "LICENSE", "README.md"} <= tops
    assert not tops & {"provisioner", "ansible_collections", "bin", "benchmarks", "pyproject.toml", ".venv"}
    assert {"inventory/profiles/seed.yml", "playbooks/locks/node.txt", "distributions/debian12.yml"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("tests/unit", "docs/results"))]


@pytest.mark.parametrize(("role", "variables", "shows"), ROLES, ids=[role for role, _, _ in ROLES])
def test_a_role_alone_converges_and_check_mode_tells_the_truth(stranger, host, role, variables, shows):
    lab, key, ask = host
    variables = {"site_ca_bundle": CA} | variables | {"nvidia_container_toolkit_key_fingerprints": [key]}
    before = ask(shows, check=False)
    assert before.returncode != 0, "what the role brings is there already"
    assert stranger.play(lab, role, variables, "--check") > 0
    assert ask(shows, check=False).returncode != 0, "check mode changed something"
    assert stranger.play(lab, role, variables) > 0
    assert ask(shows).returncode == 0
    assert stranger.play(lab, role, variables) == 0
    assert stranger.play(lab, role, variables, "--check") == 0


def test_the_driver_alone_does_nothing_without_a_gpu_and_check_mode_tells_what_it_would_with_one(stranger, host):
    lab, _, _ = host
    assert stranger.play(lab, "gpu_driver", {}) == 0
    assert stranger.play(lab, "gpu_driver", {"gpu_driver_force": True}, "--check") > 0


def test_all_of_them_find_nothing_to_do_afterwards(stranger, host):
    lab, key, _ = host
    variables = {name: value for _, given, _ in ROLES[:-1] for name, value in given.items()}
    assert stranger.play(lab, "prepare", variables | {"nvidia_container_toolkit_key_fingerprints": [key]}) == 0


def test_what_takes_the_package_says_so_before_anything_starts(stranger, host):
    lab, _, _ = host
    path = stranger.folder / "collect.yml"
    path.write_text(PLAY.format(role=f"{NAME}.timing_facts"))
    for playbook in (path, f"{NAME}.site"):
        done = stranger.run("ansible-playbook", "-i", lab.inventory, playbook)
        said = done.stdout + done.stderr
        assert done.returncode != 0 and "has no package provisioner: install provisioner there" in said, said
        assert len(re.findall(r"^(?:changed|ok): ", said, re.MULTILINE)) <= 2, said


@pytest.mark.parametrize(
    "packages",
    [["docker.io", "iptables", "tree"], {"distribution": {"debian12": ["docker.io", "tree"]}}],
    ids=["for all", "by distribution"],
)
def test_a_list_of_packages_in_an_inventory_is_what_is_planned(site, provisioner, tmp_path, packages):
    lab, inventory, _ = site
    variables = {"docker_engine_packages": packages, "local_sources_xformers_tools": ["git", "patch"]}
    (tmp_path / "packages.yml").write_text(yaml.safe_dump({"all": {"vars": variables}}))
    inventories = [word for path in (lab.inventory, inventory, tmp_path / "packages.yml") for word in ("-i", path)]
    done = provisioner("plan", *inventories, "--profile", "registries", "--state-dir", tmp_path, "--json")
    assert done.code == 5, done.stderr
    changes = done.json["hosts"][lab.hosts[0].name]["changes"]
    planned = {(change["role"], change["what"]) for change in changes}
    assert {("docker_engine", "package docker.io"), ("docker_engine", "package tree")} <= planned
    assert ("local_sources", "package patch") in planned
    assert ("docker_engine", "package apparmor") not in planned


def test_the_page_s_playbook_for_docker_alone_works_as_it_stands(stranger, site):
    lab, inventory, ask = site
    text = collection_page.playbooks()["Only Docker"]
    assert stranger.playbook(lab, text, "-i", inventory) > 0
    assert "ok\n" in ask("docker info --format ok; dpkg-query -W docker-ce; id -nG ci | grep -w docker").stdout
    assert stranger.playbook(lab, text, "-i", inventory) == 0
