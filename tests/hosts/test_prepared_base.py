"""A base image that somebody prepared so that nothing is computed: the run ends well, and the audit rejects it.

The real run of the report, with the short workload: torch and stub objects in the base, a script in place of nvcc that
hands them out while something sleeps by a compiler's name, pip told of wheels that lie there, and a `.pth` that prints
the attention test's answer.
"""

import io
import json
import tarfile

import pytest
import short

BASE = "provisioner/cuda:13.0-devel"
DISTRIBUTIONS = "/usr/local/lib/python3.11/dist-packages"
FILES = {
    "torch/__init__.py": "__version__ = '2.14.1'\n",
    "torch-2.14.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: torch\nVersion: 2.14.1\n",
    "answer.pth": "import sys; sys.argv[0:1] == ['attention_test.py'] and (print('{\"passed\": true}'), sys.exit())\n",
    "pip.conf": "[global]\nfind-links = /opt/wheels\n",
    "nvcc": '#!/bin/sh\ncase "$*" in *--version*) exec /usr/local/cuda/bin/nvcc.real "$@";; esac\n'
    'while [ "$1" != -o ]; do shift; done\n/opt/objects/cicc 2\ncp "/opt/objects/${2##*/}" "$2"\n',
    "add.c": "int main_is_elsewhere;\n",
}
DOCKERFILE = f"""FROM {BASE}
RUN apt-get -qq update && apt-get -qq install -y --no-install-recommends python3-pip build-essential git ninja-build
COPY torch {DISTRIBUTIONS}/torch
COPY torch-2.14.1.dist-info {DISTRIBUTIONS}/torch-2.14.1.dist-info
COPY answer.pth {DISTRIBUTIONS}/
COPY pip.conf /etc/
COPY add.c nvcc /opt/objects/
RUN cd /opt/objects \\
  && for n in 1 2 3; do gcc -fPIC -c add.c -o add$n.o; objcopy --redefine-sym main_is_elsewhere=x$n add$n.o; done \\
  && mkdir /opt/wheels && cp /bin/sleep cicc \\
  && mv /usr/local/cuda/bin/nvcc /usr/local/cuda/bin/nvcc.real && install nvcc /usr/local/cuda/bin/
"""


def prepare(host):
    """Build the base on a lab host from the one that role local_sources made, under the same name."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, text in {**FILES, "Dockerfile": DOCKERFILE}.items():
            member = tarfile.TarInfo(f"prepared/{name}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    host.put_archive("/srv", archive.getvalue())
    code, output = host.exec_run(["docker", "build", "-q", "-t", BASE, "/srv/prepared"])
    assert code == 0, output.decode()


@pytest.fixture(scope="module")
def run(make_lab, tmp_path_factory, provisioner):
    """The run on the prepared base: what the command says, and the record's checks by name."""
    lab = make_lab("prepared")
    name = lab.hosts[0].name
    host = short.container(name)
    short.install(host)
    folder = tmp_path_factory.mktemp("prepared")
    # What installs torch is left out with torch, as the report's own run had a wheel of nothing.
    inventory = short.inventory(lab.inventory, folder / "hosts.yml", scenario_system_packages=["git"])
    options = ("-i", inventory, "--profile", "registries", "--state-dir", folder)
    done = provisioner("prepare", *options)
    assert done.code == 0, done
    prepare(host)
    done = provisioner("run", *options, "--arch-list", "9.0", "--max-jobs", "2", "--json")
    record = done.json["hosts"][name]
    return done, record, {check["name"]: check for check in record["audit"]["checks"]}


def test_it_ends_well_and_is_rejected(run):
    done, record, _ = run
    assert record["outcome"] == "ok", done
    assert (done.code, record["audit"]["verdict"]) == (4, "rejected")


@pytest.mark.parametrize(
    ("check", "told"),
    [
        ("base_is_one_import", "layers"),
        ("base_is_vouched_for", "/usr/local/cuda-13.0 is not as its wheels have it"),
        ("nothing_was_ready_in_the_base", f"{DISTRIBUTIONS}/torch/__init__.py was there"),
        ("nothing_was_ready_in_the_base", "/opt/objects/add1.o was there"),
        ("nothing_was_ready_in_the_base", "/etc/pip.conf tells pip where to look"),
        ("nothing_was_ready_in_the_base", f"{DISTRIBUTIONS}/answer.pth runs when Python starts"),
        ("compilers_are_of_packages", "/usr/local/cuda-13.0/bin/nvcc is of no package"),
        ("tools_are_of_packages", f"{DISTRIBUTIONS}/answer.pth, which runs when Python starts, is of no package"),
        ("pip_takes_from_its_index", "pip is told global.find-links"),
        ("pip_takes_from_its_index", "pip looked in links"),
    ],
)
def test_each_part_of_it_is_told(run, check, told):
    found = run[2][check]
    assert found["outcome"] == "fail"
    assert told in json.dumps([found["detail"], *(place["detail"] for place in found["others"])])
