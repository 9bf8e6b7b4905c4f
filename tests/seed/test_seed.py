"""The default path: profile `seed`, with nothing but an inventory, from a bare host to its record.

The outside world is the lab's own (docs/lab.md says in what it differs); the rest is real, xformers and torch too.
"""

import json
import re

import pytest


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return tmp_path_factory.mktemp("records")


@pytest.fixture(scope="module")
def done(world, state, provisioner):
    done = provisioner("run", "-i", world.lab.inventory, "--state-dir", state, "--json")
    assert done.code == 0, done
    return done


@pytest.fixture(scope="module")
def record(done, world):
    return done.json["hosts"][world.lab.hosts[0].name]


@pytest.fixture(scope="module")
def evidence(state, record, unpacked):
    return unpacked(state, record["run_id"])


def test_a_bare_host_comes_to_its_record(record, evidence):
    assert record["outcome"] == "ok", (evidence / "run.log").read_text()[-3000:]
    assert record["profile"] == "seed" and record["compile"]["count"] == 1 and record["compile"]["objects"] > 5
    failed = [check for check in record["audit"]["checks"] if check["outcome"] == "fail"]
    assert not failed
    # No GPU: so the attention test is skipped, and nothing else is missing.
    assert record["audit"]["verdict"] == "incomplete" and record["timings"]["attention_test"] is None


def test_its_base_is_the_registry_s_and_was_pulled_within_what_is_timed(record, evidence, world):
    assert record["inputs"]["base_image"] == "nvidia/cuda:12.8.0-devel-ubuntu22.04"
    assert record["inputs"]["base_image_present"] is False
    registry = "docker://127.0.0.1:5000/nvidia/cuda:12.8.0-devel-ubuntu22.04"
    digest = world.sh(f"skopeo inspect --tls-verify=false --format '{{{{.Digest}}}}' {registry}").strip()
    assert f"Digest: {digest}" in (evidence / "run.log").read_text()
    assert digest in (evidence / "base_image.json").read_text()


def test_the_fork_came_with_its_submodules_and_theirs(record, evidence, world):
    log = (evidence / "run.log").read_text()
    assert "git clone --recurse-submodules -- https://github.com/alexchesser/xformers.git" in log
    for path in ("third_party/cutlass", "third_party/flash-attention", "third_party/flash-attention/csrc/cutlass"):
        assert re.search(rf"Submodule path '{path}': checked out", log), path
    head = world.sh("git -C /srv/outside/github.com/alexchesser/xformers.git -c safe.directory='*' rev-parse HEAD")
    assert record["inputs"]["xformers_commit"] == head.strip()


def test_setuptools_is_not_the_one_that_the_base_brought(evidence):
    packages = {one["name"]: one["version"] for one in json.loads((evidence / "packages.json").read_text())}
    assert packages["torch"].startswith("2.11.0")
    assert int(packages["setuptools"].split(".")[0]) >= 64


def test_a_second_run_asks_nobody_and_returns_the_record(record, world, state, provisioner):
    again = provisioner("run", "-i", world.lab.inventory, "--state-dir", state, "--json")
    assert again.code == 0, again
    assert again.json["hosts"][world.lab.hosts[0].name] == record
