"""On a Debian 13 host, whose Python takes the newest ansible-core of the lock: the unit tests, and a converge.

This machine's Python takes another end of the lock's, as far as this is Debian 12: so each is run.
"""

import os
import re
import shlex
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHECKOUT = "/root/provisioner"
# The image and the repository take minutes and depend on neither Python nor Ansible.
WITHOUT = {"local_sources_base_image_build": None, "local_sources_xformers_sdist": None}


@pytest.fixture(scope="module")
def run(make_lab, ask):
    """Run a command in a copy of this checkout on the host, with the site's CA bundle, and return what it printed."""
    lab = make_lab("newer", debian=13)
    (host,) = lab.hosts
    tracked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    paths = subprocess.check_output(tracked, cwd=ROOT, text=True).split("\0")[:-1]
    bundle = os.environ.get("SSL_CERT_FILE")
    inventory = {"all": {"hosts": {"localhost": {"ansible_connection": "local"}}, "vars": WITHOUT}}
    with tempfile.TemporaryDirectory() as folder:
        hosts, archive = Path(folder) / "hosts.yml", Path(folder) / "checkout.tar"
        hosts.write_text(yaml.safe_dump(inventory))
        with tarfile.open(archive, "w") as tar:
            for path in paths:
                if (ROOT / path).exists() or (ROOT / path).is_symlink():
                    tar.add(ROOT / path, f"{CHECKOUT}/{path}")
            tar.add(hosts, f"{CHECKOUT}/hosts.yml")
            if bundle:
                tar.add(Path(bundle).resolve(), f"{CHECKOUT}/ca.crt")
        with archive.open("rb") as file:
            ask(lab, host.name, "tar -C / -xf -", given=file)

    def on_the_host(*command, check=True):
        site = f"export SSL_CERT_FILE={CHECKOUT}/ca.crt; " if bundle else ""
        done = ask(lab, host.name, f"{site}cd {CHECKOUT} && {shlex.join(command)}", check=False)
        print(done.stdout, done.stderr)
        assert not check or done.returncode == 0, f"{shlex.join(command)} ended with {done.returncode}: see above"
        return done

    return on_the_host


def test_the_unit_tests_pass(run):
    run("bin/test", "-q", "-p", "no:cacheprovider", "tests/unit", "tests/programs")
    newest = re.findall(r"^ansible-core==(\S+)", (ROOT / "requirements.txt").read_text(), re.M)[-1]
    assert f"ansible [core {newest}]" in run(".venv/bin/ansible", "--version").stdout


def test_a_bare_host_converges_and_then_needs_nothing(run):
    options = ("-i", "hosts.yml", "--profile", "registries", "--json")
    run("bin/provisioner", "prepare", *options)
    assert yaml.safe_load(run("bin/provisioner", "plan", *options).stdout)["hosts"]["localhost"]["changes"] == []
