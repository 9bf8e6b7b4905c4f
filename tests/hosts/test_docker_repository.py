"""Role docker_engine with docker_engine_source: docker, from a signed apt repository that the host itself serves.

The packages in it are stand-ins (tests/hosts/apt_repository.py), of which the engine's brings Debian's own: Docker's
repository is reached from few places. apt, the keys and the engine are real.
"""

import re

import pytest

PLAY = """
- hosts: all
  gather_facts: false
  vars: {profile: {}}
  environment: "{{ site_environment }}"
  roles: [site, docker_engine]
"""
SOURCE = "/etc/apt/sources.list.d/provisioner-docker.sources"
KEYRING = "/etc/apt/keyrings/provisioner-docker.gpg"
STATE = f"""
sha256sum {SOURCE} {KEYRING}; stat --format '%n %a %u %g' {SOURCE} {KEYRING}; id -nG games
dpkg-query --show --showformat '${{Package}} ${{Version}} ${{db:Status-Abbrev}}\n'
systemctl show docker.service --property=InvocationID
"""


@pytest.fixture(scope="module")
def host(make_lab, ask, play, serve_repositories, tmp_path_factory):
    """A bare host: run(**variables) runs the role there and gives how much changed and what was said; sh asks it."""
    lab = make_lab("docker")
    name = lab.hosts[0].name
    key, _ = serve_repositories(lab, name)
    playbook = tmp_path_factory.mktemp("play") / "play.yml"
    playbook.write_text(PLAY, encoding="utf-8")
    ours = {
        "docker_engine_source": "docker",
        "docker_engine_users": ["games"],
        "docker_engine_repository_url": "http://127.0.0.1:8000/docker/linux",
        "docker_engine_repository_key_url": "http://127.0.0.1:8000/one.asc",
        "docker_engine_repository_fingerprints": [key],
    }

    def run(**variables):
        done = play(lab, playbook, ours | variables)
        changed = int(re.search(r"changed=(\d+)", done.stdout)[1])
        return done.returncode, changed, " ".join(done.stdout.split())

    return run, lambda command, **options: ask(lab, name, command, **options).stdout


def test_another_key_than_docker_s_is_refused_and_nothing_is_installed(host):
    run, sh = host
    code, _, said = run(docker_engine_repository_fingerprints=[])
    assert code == 2 and "not 9DC858229FC7DD38854AE2D88D81803C0EBFCD88" in said
    assert sh("ls /etc/apt/sources.list.d /etc/apt/keyrings; command -v dockerd", check=False) == (
        "/etc/apt/keyrings:\n\n/etc/apt/sources.list.d:\n"
    )


def test_the_engine_comes_from_there_and_drift_is_mended(host):
    run, sh = host
    code, changed, said = run()
    assert code == 0 and changed > 3, said
    assert "Suites: bookworm\nComponents: stable\n" in sh(f"cat {SOURCE}")
    names = ("docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin")
    assert sh("dpkg-query -Wf '${Version} ' " + " ".join(names)) == "5:99.0-1 " * 4
    assert sh("docker info --format ok") == "ok\n"
    assert "docker" in sh("id -nG games").split()

    before = sh(STATE)
    assert run()[:2] == (0, 0)
    sh(f"sed -i s/stable/edge/ {SOURCE}; cp /srv/repository/two.gpg {KEYRING}; gpasswd -d games docker")
    sh("dpkg --remove docker-buildx-plugin")
    code, changed, _ = run()
    assert (code, changed) == (0, 3)
    assert sh(STATE) == before
    assert run()[:2] == (0, 0)
