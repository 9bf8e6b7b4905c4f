"""Role docker_engine with docker_engine_source: docker, from a signed apt repository that the host itself serves.

The packages in it are stand-ins (provisioner/data/lab/outside/apt_repositories.py), the engine's being Debian's own
under another name: Docker's repository is reached from few places. apt, the keys and the engine are real. Then from a
mirror whose TLS is signed by an authority that only the site knows.
"""

import re

import pytest

PLAY = """
- hosts: all
  gather_facts: false
  vars: {profile: {}}
  environment: "{{ site_environment }}"
  roles: [provisioner.gpu_hosts.site, provisioner.gpu_hosts.docker_engine]
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
    keys = serve_repositories(lab, name, "docker", "toolkit", "--stranger")
    playbook = tmp_path_factory.mktemp("play") / "play.yml"
    playbook.write_text(PLAY, encoding="utf-8")
    ours = {
        "docker_engine_source": "docker",
        "docker_engine_users": ["games"],
        "docker_engine_repository_url": "http://127.0.0.1:8000/download.docker.com/linux",
        "docker_engine_repository_key_url": "http://127.0.0.1:8000/download.docker.com/linux/debian/gpg",
        "docker_engine_repository_fingerprints": [keys["docker"]],
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
    assert (code, changed) == (0, 3), said  # repository, packages, user: it runs with its settings at once
    assert "Suites: bookworm\nComponents: stable\n" in sh(f"cat {SOURCE}")
    names = ("docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin")
    versions = sh("dpkg-query -Wf '${Version} ' " + " ".join(names)).split()
    assert sorted(versions) == [*["5:99.0-1"] * 3, "5:99.0-2"]
    assert sh("docker info --format ok") == "ok\n"
    assert "docker" in sh("id -nG games").split()

    before = sh(STATE)
    assert run()[:2] == (0, 0)
    sh(f"sed -i s/stable/edge/ {SOURCE}; cp /srv/repository/stranger/key.gpg {KEYRING}; gpasswd -d games docker")
    sh("dpkg --remove docker-buildx-plugin")
    code, changed, _ = run()
    assert (code, changed) == (0, 3)
    assert sh(STATE) == before
    assert run()[:2] == (0, 0)


# A certificate of the host's own making, and the repository behind it.
SERVE_TLS = """
cd /srv && openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out ca.pem -days 2 -subj /CN=localhost \\
  -addext subjectAltName=DNS:localhost 2>/dev/null
cat >serve.py <<'END'
import functools, http.server, ssl
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory="/srv/repository")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8443), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/srv/ca.pem", "/srv/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
END
systemd-run --quiet --unit=mirror python3 /srv/serve.py; cat ca.pem
"""
APT_SETTINGS = "/etc/apt/apt.conf.d/90provisioner-site-ca"


def test_a_mirror_behind_the_site_s_own_authority(host, tmp_path):
    run, sh = host
    bundle = tmp_path / "ca.pem"
    bundle.write_text(sh(SERVE_TLS), encoding="utf-8")
    mirror = {
        "docker_engine_repository_url": "https://localhost:8443/download.docker.com/linux",
        "docker_engine_repository_key_url": "https://localhost:8443/download.docker.com/linux/debian/gpg",
    }
    sh(f"rm {KEYRING}")
    code, changed, said = run(**mirror)
    assert (code, changed) == (2, 0) and "CERTIFICATE_VERIFY_FAILED" in said

    code, _, said = run(**mirror, site_ca_bundle=str(bundle))
    assert code == 0, said
    assert sh(f"cat {APT_SETTINGS}").splitlines()[1] == 'Acquire::https::CAInfo "/etc/provisioner/site-ca.crt";'
    assert sh("apt-get update 2>&1").count("https://localhost:8443") >= 1
    assert run(**mirror, site_ca_bundle=str(bundle))[:2] == (0, 0)

    # Without the site's bundle no trace of it is left, and apt no longer trusts that mirror.
    code, changed, _ = run(**mirror, site_ca_bundle="")
    assert code == 0 and changed
    assert sh(f"ls {APT_SETTINGS} /etc/provisioner", check=False) == "/etc/provisioner:\n"
    assert "certificate" in sh("apt-get update 2>&1", check=False)
