"""Every source that a default or a documented variable names is installed from for real, on both releases of Debian.

A run of the tests takes one release, under their own names or from a site's mirror, day by day in turn; FAULTS=all
takes both ways on both. What is in NVIDIA's packages is a stand-in; apt, keys, DKMS, Docker's engine and Node are real.
"""

import itertools
import json
import os
import re

import pytest
from sample import ALL, TODAY

SOURCES = {
    "docker_engine_source": "docker",
    "nvidia_container_toolkit_force": True,
    "gpu_driver_force": True,
    "gpu_driver_source": "nvidia",
}
MIRROR = "https://mirror.example"
BY_MIRROR = {
    "docker_engine_repository_url": f"{MIRROR}/download.docker.com/linux",
    "docker_engine_repository_key_url": f"{MIRROR}/download.docker.com/linux/debian/gpg",
    "nvidia_container_toolkit_url": f"{MIRROR}/nvidia.github.io/libnvidia-container/stable",
    "nvidia_container_toolkit_key_url": f"{MIRROR}/nvidia.github.io/libnvidia-container/gpgkey",
    "gpu_driver_repository": f"{MIRROR}/developer.download.nvidia.com/compute/cuda/repos",
    "devcontainer_cli_nodesource_url": f"{MIRROR}/deb.nodesource.com/node_22.x",
    "devcontainer_cli_nodesource_key_url": f"{MIRROR}/deb.nodesource.com/gpgkey/nodesource-repo.gpg.key",
}
# The package, and whose repository has it.
FROM = {
    "docker-ce": "download.docker.com",
    "nodejs": "deb.nodesource.com",
    "nvidia-container-toolkit": "nvidia.github.io",
    "nvidia-open-580": "developer.download.nvidia.com",
}
EVERY_WAY = list(itertools.product((12, 13), ("names", "mirror")))
WAYS = EVERY_WAY if os.environ.get("FAULTS") == ALL else [EVERY_WAY[TODAY.toordinal() % len(EVERY_WAY)]]


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: f"Debian {way[0]}, {way[1]}")
def installed(make_world, request, provisioner, tmp_path_factory):
    """A bare host that was prepared; gives the lab, a command for it, and whence each package must come."""
    debian, way = request.param
    world = make_world(f"{way}{debian}", debian=debian)
    folder = tmp_path_factory.mktemp("prepared")
    file = folder / "variables.json"
    file.write_text(json.dumps(SOURCES | (BY_MIRROR if way == "mirror" else {})))

    def command(name):
        return provisioner(name, "-i", world.lab.inventory, "--state-dir", folder / "state", "--json", "-e", f"@{file}")

    first = command("prepare")
    assert first.code == 0, first
    return world, command, f"{MIRROR}/" if way == "mirror" else "https://"


def test_each_package_is_of_its_own_repository(installed):
    world, _, whence = installed
    for package, name in FROM.items():
        policy = world.sh(f"apt-cache policy {package}", world.host())
        assert re.search(rf"\*\*\* \S+ \d+\n +\d+ {re.escape(whence + name)}/", policy), policy


def test_what_they_brought_works(installed):
    world, _, _ = installed
    host = world.host()
    assert world.sh("docker info --format ok", host) == "ok\n"
    assert world.sh("/opt/provisioner/bin/devcontainer --version", host).startswith("0.")
    assert "installed" in world.sh("dkms status nvidia", host)
    assert '"nvidia"' in world.sh("docker info --format '{{json .Runtimes}}'", host)


def test_nothing_is_left_to_do(installed):
    world, command, _ = installed
    name = world.lab.hosts[0].name
    plan = command("plan")
    assert plan.json["hosts"][name]["changes"] == [], plan
    again = command("prepare")
    assert again.code == 0 and again.json["hosts"][name]["changed"] == 0, again
