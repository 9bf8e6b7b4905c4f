"""A source in trouble is told by `run` in one line with its remedy, before anything is installed.

A run of the tests takes a sample, others each day; FAULTS=all takes all of them.
"""

import os

import pytest
from sample import ALL, TODAY, chosen


@pytest.fixture
def refusal(world, provisioner, tmp_path):
    """What `run` says, of which nothing has come to the host."""

    def run(*arguments):
        done = provisioner("run", "-i", world.lab.inventory, "--state-dir", tmp_path, *arguments)
        assert done.code == 1, done
        there = world.sh("command -v docker node || true; ls /opt", world.container(world.lab.hosts[0].name))
        assert there.strip() == ""
        (line,) = [line for line in done.stderr.splitlines() if "failed in 'Check the host': " in line]
        return line

    return run


FAULTS = {
    "a limit of pulls": (
        "registry-1.docker.io",
        "location /v2/nvidia/ { add_header Retry-After 3600 always; return 429; }",
        ["answers 429", "Retry-After: 3600", "`docker login` as root"],
    ),
    "no tokens": (
        "auth.docker.io",
        "location /x { return 200; } return 503;",
        ["answers 503", "asked twice", "run this again later", "registry-mirrors in daemon.json"],
    ),
    "no signing key": (
        "deb.nodesource.com",
        "location /gpgkey/ { return 404; }",
        ["answers 404", "set devcontainer_cli_nodesource_key_url"],
    ),
    "another signing key": (
        "deb.nodesource.com",
        "location /gpgkey/ { default_type text/html; return 200 '<html>Sign in</html>'; }",
        ["it is not an OpenPGP key", "find out why the key is another one"],
    ),
    "no list of packages": (
        "deb.nodesource.com",
        "location ~ Release$ { return 403; }",
        ["answers 403", "set devcontainer_cli_nodesource_url"],
    ),
    "no torch": (
        "download.pytorch.org",
        "location /whl/cu128/torch/ { return 404; }",
        ["/whl/cu128/torch/ answers 404", "it has no torch", "scenario_python_packages"],
    ),
    "GitHub in trouble": ("github.com", "return 503;", ["answers 503", "asked twice", "scenario_xformers_url"]),
}


CERTIFICATES = {
    "expired": ["has expired", "have the certificate of deb.nodesource.com renewed"],
    "other-name": ["'deb.nodesource.com'", "It is for somewhere.example"],
    "other-authority": ["name the site's CA bundle"],
}
NOWHERE = {
    "scenario_username=nobody-there": ["nobody-there/xformers.git does not exist or is private"],
    "scenario_base_image=nvidia/cuda:12.8.99-devel-ubuntu22.04": ["answers 404", "there is no such image"],
    "devcontainer_cli_nodesource_url=https://deb.nowhere.invalid/x": ["DNS does not find deb.nowhere.invalid"],
    "site_https_proxy=http://127.0.0.1:1": ["Connection refused", "site_https_proxy"],
}
ALL_OF_THEM = [*FAULTS, *CERTIFICATES, *NOWHERE]
ASKED = ALL if os.environ.get("FAULTS") == ALL else ""
SAMPLE = 4


@pytest.mark.parametrize("what", chosen(ASKED, ALL_OF_THEM, TODAY, SAMPLE))
def test_it_is_refused_in_one_line(world, refusal, what):
    """A server in trouble, a certificate that will not do, or a name that leads nowhere."""
    if what in FAULTS:
        name, settings, words = FAULTS[what]
        words = [name, *words]
        with world.fault(name, settings):
            line = refusal()
    elif what in CERTIFICATES:
        words = CERTIFICATES[what]
        with world.certificate(what):
            line = refusal()
    else:
        words = NOWHERE[what]
        line = refusal("-e", what)
    assert all(word in line for word in words), line
