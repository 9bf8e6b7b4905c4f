"""Every source that a default or a documented variable names is installed from for real, on both releases of Debian.

What is in NVIDIA's packages is a stand-in; apt, the keys, DKMS, Docker's engine and Node are real.
"""

import re

import pytest

SOURCES = (
    *("-e", "docker_engine_source=docker"),
    *("-e", "nvidia_container_toolkit_force=true"),
    *("-e", "gpu_driver_force=true", "-e", "gpu_driver_source=nvidia"),
)
# The package, and whose archive has it.
FROM = {
    "docker-ce": "download.docker.com",
    "nodejs": "deb.nodesource.com",
    "nvidia-container-toolkit": "nvidia.github.io",
    "nvidia-open-580": "developer.download.nvidia.com",
}


@pytest.fixture(scope="module", params=[12, 13])
def world(make_world, request):
    return make_world(f"installed{request.param}", debian=request.param)


@pytest.fixture(scope="module")
def prepared(world, provisioner, tmp_path_factory):
    state = tmp_path_factory.mktemp("state")

    def prepare(command="prepare"):
        return provisioner(command, "-i", world.lab.inventory, "--state-dir", state, "--json", *SOURCES)

    first = prepare()
    assert first.code == 0, first
    return prepare


def test_each_package_is_of_its_own_repository(prepared, world):
    for package, name in FROM.items():
        policy = world.sh(f"apt-cache policy {package}", world.host())
        assert re.search(rf"\*\*\* \S+ \d+\n +\d+ https://{re.escape(name)}/", policy), policy


def test_what_they_brought_works(prepared, world):
    host = world.host()
    assert world.sh("docker info --format ok", host) == "ok\n"
    assert world.sh("/opt/provisioner/bin/devcontainer --version", host).startswith("0.")
    assert "installed" in world.sh("dkms status nvidia", host)
    assert '"nvidia"' in world.sh("docker info --format '{{json .Runtimes}}'", host)


def test_nothing_is_left_to_do(prepared, world):
    plan = prepared("plan")
    assert plan.json["hosts"][world.lab.hosts[0].name]["changes"] == [], plan
    again = prepared()
    assert again.code == 0 and again.json["hosts"][world.lab.hosts[0].name]["changed"] == 0, again
