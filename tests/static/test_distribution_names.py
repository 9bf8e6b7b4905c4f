"""Releases of distributions stand in distributions/ alone, and what is made of them is up to date."""

import re
import subprocess
import sys
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.distributions import table

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "bin"))
import distributions_table  # noqa: E402

PLACES = ("bin", "galaxy.yml", "inventory", "meta", "playbooks", "plugins", "provisioner", "roles")
IMAGE = re.compile(r"nvidia/cuda:\S+")
"""An image's name, which is its owner's."""
OF_ITS_OWN = {
    # Examples of a value.
    "plugins/lookup/distributions.py",
    "plugins/module_utils/host.py",
    "plugins/module_utils/signed_repository.py",
    "plugins/modules/base_image.py",
    "plugins/modules/host_packages.py",
    # A fact about one release.
    "bin/bootstrap.sh",
    "provisioner/data/lab/outside/Dockerfile",
    "provisioner/data/lab/outside/old_packages.py",
    "roles/gpu_driver/README.md",
    "roles/local_sources/vars/main.yml",
    "inventory/profiles/seed.yml",
}


OF_SITES = ("provisioner/audit/", "provisioner/lab/dresses/")
"""What tells of hosts as they are or were."""


def test_no_other_file_names_a_release():
    names = {
        word for release, entry in table().items() for word in (release, entry["name"], entry.get("codename")) if word
    }
    pattern = re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, sorted(names)))})(?![\w-])")
    listed = subprocess.run(["git", "ls-files", "-z", *PLACES], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [name for name in listed.stdout.split("\0") if name and not name.startswith(OF_SITES)]
    found = {
        name
        for name in files
        if not (ROOT / name).is_symlink()
        and (ROOT / name).is_file()
        and pattern.search(IMAGE.sub("", (ROOT / name).read_text(encoding="utf-8", errors="ignore")))
    }
    assert found - OF_ITS_OWN == set()
    assert OF_ITS_OWN - found == set(), "these name none any more"


def test_the_table_in_the_docs_is_that_of_the_files():
    text = distributions_table.PAGE.read_text(encoding="utf-8")
    assert distributions_table.page(text, table()) == text, "run .venv/bin/python bin/distributions_table.py"


def test_each_release_says_what_was_tried_and_has_no_key_that_nobody_reads():
    known = {"like", "name", "codename", "tried", "in_part", "docker_engine", "gpu_driver", "local_sources"}
    for release, entry in table().items():
        assert entry["tried"] and set(entry) <= known, release
        assert "codename" in entry or "local_sources" not in entry, release
