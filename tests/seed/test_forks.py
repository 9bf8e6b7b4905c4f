"""The xformers that people have: branches and tags, submodules, other ways to get at them, large files, no history.

A run of the tests takes a sample, other forks each day; FORKS=all takes all of them. The short workload takes xformers'
place; git, its servers and the container are real.
"""

import os

import pytest
from outside_world import WORKLOAD
from sample import TODAY, chosen

SAMPLE = 1
WARM = "provisioner/short:1"
NOT_HAD = "large files, without git-lfs"
DOCKERFILE = """
FROM nvidia/cuda:12.8.0-devel-ubuntu22.04
RUN apt-get update && apt-get install -y python3-pip build-essential git ninja-build openssh-client
"""
GITHUB = "https://github.com/short"
PART = "git config --file .gitmodules submodule.part.path part; git config --file .gitmodules submodule.part.url {url}"
ADD_PART = "git add .gitmodules; mkdir part; git update-index --add --cacheinfo 160000,{commit},part; commit -m part"


@pytest.fixture(scope="module")
def forks(world, provisioner, tmp_path_factory):
    """Each kind of fork, published: what a run is told of it, and what its commit and files must be."""
    # Where these tests are taken alone the host is bare.
    prepared = provisioner("prepare", "-i", world.lab.inventory, "--state-dir", tmp_path_factory.mktemp("prepared"))
    assert prepared.code == 0, prepared
    host = world.host()
    world.sh(
        f"docker image inspect {WARM} >/dev/null 2>&1 || docker build -q -t {WARM} - <<'END'\n{DOCKERFILE}\nEND", host
    )
    world.publish("short/part", WORKLOAD / "xformers")
    part = head(world, "part")

    world.publish(
        "short/named", WORKLOAD, "git tag v1", "git checkout -qb work", "echo >NEWS", "git add NEWS", "commit -m n"
    )
    world.publish("short/master", WORKLOAD, "git branch -m master")
    world.publish("short/beside", WORKLOAD, PART.format(url="../part.git"), ADD_PART.format(commit=part))
    world.sh("DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends git-lfs >/dev/null")
    world.publish(
        "short/large", WORKLOAD, "git lfs track weights", "echo large >weights", "git add -A", "commit -m large"
    )
    world.sh("cp -R /srv/tree/.git/lfs /srv/outside/github.com/short/large.git/")
    world.publish("short/deep", WORKLOAD, "commit --allow-empty -m second", "commit --allow-empty -m third")
    served = "/srv/outside/github.com/short"
    world.sh(
        f"rm -rf {served}/shallow.git; git clone -q --bare --depth 1 file://{served}/deep.git {served}/shallow.git;"
        f"ln -sfn shallow.git {served}/shallow; chown -R www-data: {served}"
    )
    # By SSH, as user git, under the paths that GitHub has; the container's user has the key.
    world.sh(
        f"id git >/dev/null 2>&1 || useradd --create-home --shell /usr/bin/git-shell git; ln -sfn {served} /short;"
        "sudo -u git git config --global --replace-all safe.directory '*'; mkdir -p /home/git/.ssh;"
        "test -e /root/client || ssh-keygen -q -t ed25519 -N '' -f /root/client;"
        "cp /root/client.pub /home/git/.ssh/authorized_keys; chown -R git: /home/git/.ssh"
    )
    key, known = world.sh("cat /root/client"), world.sh("sed 's/^/github.com /' /etc/ssh/ssh_host_ed25519_key.pub")
    world.sh(
        f"mkdir -p /srv/ssh; echo '{key}' >/srv/ssh/id_ed25519; echo '{known}' >/srv/ssh/known_hosts;"
        "chown -R 1000:1000 /srv/ssh; chmod 0700 /srv/ssh; chmod 0600 /srv/ssh/*",
        host,
    )
    # On the host's own disk.
    archive = world.sh(f"tar -C {served} -cz beside.git part.git large.git | base64 -w0")
    world.sh(f"mkdir -p /srv/forks; echo {archive} | base64 -d | tar -xz -C /srv/forks", host)
    return {
        "a tag": ({"scenario_xformers_url": f"{GITHUB}/named.git", "scenario_xformers_ref": "v1"}, "named", "v1"),
        "a branch": (
            {"scenario_xformers_url": f"{GITHUB}/named.git", "scenario_xformers_ref": "work"}, "named", "work"
        ),
        "master": ({"scenario_xformers_url": f"{GITHUB}/master.git"}, "master", "master"),
        "submodules beside it": ({"scenario_xformers_url": f"{GITHUB}/beside.git"}, "beside", "main"),
        "a shallow remote": ({"scenario_xformers_url": f"{GITHUB}/shallow.git"}, "shallow", "main"),
        "SSH": (
            {
                "scenario_xformers_url": "ssh://git@github.com/short/beside.git",
                "scenario_mounts": [{"source": "/srv/ssh", "target": "/home/vscode/.ssh"}],
            },
            "beside",
            "main",
        ),
        "a folder of the host": (
            {
                "scenario_xformers_url": "file:///sources/beside.git",
                "scenario_mounts": [{"source": "/srv/forks", "target": "/sources"}],
            },
            "beside",
            "main",
        ),
        NOT_HAD: ({"scenario_xformers_url": f"{GITHUB}/large.git"}, "large", "main"),
        "large files": (
            {
                "scenario_xformers_url": "file:///sources/large.git",
                "scenario_mounts": [{"source": "/srv/forks", "target": "/sources"}],
                "scenario_system_packages": ["git", "git-lfs"],
            },
            "large",
            "main",
        ),
    }  # fmt: skip


KINDS = (
    "a tag",
    "a branch",
    "master",
    "submodules beside it",
    "a shallow remote",
    "SSH",
    "a folder of the host",
    "large files",
    NOT_HAD,
)
BASE = {"scenario_base_image": WARM, "scenario_system_packages": ["git"]}


def head(world, name, what="HEAD"):
    return world.sh(f"git --git-dir /srv/outside/github.com/short/{name}.git rev-parse '{what}'").strip()


@pytest.mark.parametrize("kind", chosen(os.environ.get("FORKS", ""), KINDS, TODAY, SAMPLE))
def test_it_is_cloned_and_recorded_by_commit_and_tree(world, forks, short_run, kind):
    variables, name, what = forks[kind]
    done = short_run(**{**BASE, **variables})
    if kind == NOT_HAD:
        assert done.code == 1, done
        (record,) = done.json["runs"]
        assert record["failure"]["phase"] == "clone", record
        assert record["failure"]["cause"].endswith("weights; add git-lfs to scenario_system_packages"), record
        return
    assert done.code == 0, done
    (record,) = done.json["runs"]
    inputs = record["inputs"]
    assert inputs["xformers_url"] == variables["scenario_xformers_url"]
    assert inputs["xformers_ref"] == variables.get("scenario_xformers_ref")
    assert inputs["xformers_commit"] == head(world, name, f"{what}^{{commit}}")
    assert inputs["xformers_tree"] == head(world, name, f"{what}^{{tree}}")
    assert not [check for check in record["audit"]["checks"] if check["outcome"] == "fail"], record["audit"]
    place = "/var/lib/provisioner/scenario_a/xformers-devcontainer-scenario-a/xformers"
    if name == "beside":
        assert "__init__.py" in world.sh(f"ls {place}/part", world.host())
    if name == "large":
        assert world.sh(f"cat {place}/weights", world.host()) == "large\n"
