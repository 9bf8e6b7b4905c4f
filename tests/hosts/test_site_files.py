"""Hosts whose site has its own ideas of modes, links and sudo: what we make there, and who can read it.

The host has umask 077 in every session of root's from the start.
"""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DRESS = yaml.safe_load((ROOT / "provisioner/lab/dresses/umask-077.yml").read_text(encoding="utf-8"))
LOG = "/var/log/provisioner/changes.log"
VARIABLES = {"local_sources_base_image_build": None, "provisioner_profile": "registries"}


@pytest.fixture(scope="module")
def lab(make_lab, ask):
    lab = make_lab("files")
    ask(lab, lab.hosts[0].name, f"{DRESS['script']}\nuseradd reader")
    assert ask(lab, lab.hosts[0].name, "umask").stdout == "0077\n"
    described = yaml.safe_load(lab.inventory.read_text(encoding="utf-8"))
    described["all"]["vars"] = VARIABLES
    lab.inventory.write_text(yaml.safe_dump(described), encoding="utf-8")
    return lab


@pytest.fixture
def sh(lab, ask):
    """Ask the host as root; `sh.reader(command)` as a user of its own."""

    def run(command):
        return ask(lab, lab.hosts[0].name, command).stdout

    run.reader = lambda command: run(f"su reader -c '{command}'")
    return run


@pytest.fixture
def act(lab, provisioner, tmp_path):
    return lambda command, *options: provisioner(command, "-i", lab.inventory, "--state-dir", tmp_path, *options)


def closed(sh):
    """What of ours the user cannot read, but for the variables that are root's."""
    folders = "/opt/provisioner /var/lib/provisioner/sources /etc/provisioner"
    found = sh.reader(f"cd /; find {folders} ! -readable -o -type d ! -executable 2>/dev/null || true")
    secret = ("/etc/provisioner/docker.env", "/etc/provisioner/environment")
    return "".join(f"{path}\n" for path in found.splitlines() if path not in secret)


def test_what_we_make_is_for_everybody_whatever_the_umask(act, sh):
    assert act("prepare").code == 0
    assert act("plan").code == 0
    assert closed(sh) == ""
    assert sh.reader("devcontainer --version") == "0.89.0\n"
    assert sh("find /etc/apt -type f ! -perm -004") == ""


def test_what_was_changed_is_in_the_log(sh, act):
    before = sh(f"cat {LOG}").splitlines()
    assert any(line.endswith(" devcontainer_cli: the Dev Container CLI: absent -> 0.89.0") for line in before)
    assert sh(f"stat -c '%a %U' {LOG}") == "640 root\n"
    act("prepare")
    assert sh(f"cat {LOG}").splitlines() == before, "nothing was changed, so nothing is logged"


def test_a_host_that_an_earlier_version_spoilt_is_mended(act, sh):
    sh("chmod -R go= /opt/provisioner /var/lib/provisioner/sources")
    told = act("plan")
    assert told.code == 5 and "closed" in told.stdout
    assert act("prepare").code == 0
    assert act("plan").code == 0 and closed(sh) == ""
    assert "sources: for other users: closed -> open" in sh(f"cat {LOG}")


def test_two_prepares_at_once_wait_for_each_other(lab, sh, act, apt_is_locked, tmp_path):
    """The first stays where it is, with the host's lock, for as long as another program has apt's."""
    sh("rm /usr/local/bin/devcontainer")
    command = [sys.executable, "-m", "provisioner", "prepare", "-i", lab.inventory]
    started = []
    with apt_is_locked(lab, lab.hosts[0].name):
        for name, says in (("a", "has /var/lib/dpkg/lock-frontend"), ("b", "waiting for the prepare of ")):
            said = tmp_path / f"said-{name}"
            with said.open("w") as out:
                one = subprocess.Popen([*command, "--state-dir", tmp_path / name], stderr=out, stdout=out, cwd=ROOT)
            started.append(one)
            deadline = time.monotonic() + 300
            while says not in said.read_text() and one.poll() is None and time.monotonic() < deadline:
                time.sleep(0.5)
            assert says in said.read_text()
    assert [one.wait() for one in started] == [0, 0]
    assert sh(f"tail -n 1 {LOG}").count("/usr/local/bin/devcontainer: absent") == 1
    assert sh(f"grep -c '/usr/local/bin/devcontainer: absent' {LOG}") == "2\n", "once at first, and once now"
    assert sh("cat /var/lib/provisioner/prepare.lock") == ""


def test_a_lock_whose_controller_was_killed_is_taken_over(lab, sh, act, apt_is_locked, tmp_path):
    sh("rm /usr/local/bin/devcontainer")
    said = tmp_path / "said"
    command = [sys.executable, "-m", "provisioner", "prepare", "-i", lab.inventory, "--state-dir", tmp_path / "killed"]
    with apt_is_locked(lab, lab.hosts[0].name):
        with said.open("w") as out:
            one = subprocess.Popen(command, stderr=out, stdout=out, cwd=ROOT, start_new_session=True)
        deadline = time.monotonic() + 300
        while "has /var/lib/dpkg/lock-frontend" not in said.read_text() and time.monotonic() < deadline:
            time.sleep(0.5)
        # Ansible is in a session of its own, and its command names the job's folder.
        playing = subprocess.run(["pgrep", "-f", f"{tmp_path}/killed"], capture_output=True, text=True, check=False)
        subprocess.run(["kill", "-9", str(one.pid), *playing.stdout.split()], check=False)
        one.wait()
        assert "controller" in sh("cat /var/lib/provisioner/prepare.lock")
    assert act("prepare").code == 0
    assert "(begun; the prepare was broken off)" in sh(f"tail -n 2 {LOG}")


def test_a_log_that_cannot_be_written_is_told_and_fails_nothing(act, sh):
    sh(f"mv {LOG} {LOG}.1; mkdir {LOG}; rm /usr/local/bin/devcontainer")
    done = act("prepare")
    assert done.code == 0 and f"what was changed is not in the log {LOG}: Is a directory" in done.stderr
    sh(f"rmdir {LOG}; mv {LOG}.1 {LOG}")


def test_what_sudo_refuses_is_told_in_its_own_words(make_lab, provisioner, engine, tmp_path):
    lab = make_lab("sudo", user="lab")
    container = engine.containers.get(f"provisioner-{lab.hosts[0].name}")

    def root(command):
        code, said = container.exec_run(["sh", "-ec", command])
        assert code == 0, said

    def said():
        options = ("-i", lab.inventory, "--state-dir", tmp_path, "--profile", "registries")
        return provisioner("plan", *options).stderr, provisioner("doctor", *options).stdout

    root("echo 'Defaults requiretty' > /etc/sudoers.d/site")
    plan, doctor = said()
    assert "turn requiretty off for this user" in plan and "sudo: sorry, you must have a tty to run sudo" in doctor
    root("echo 'Defaults use_pty' > /etc/sudoers.d/site")
    plan, doctor = said()
    assert "failed" not in plan and "sudo asks for no password" in doctor
    root("rm /etc/sudoers.d/site; echo 'lab ALL=(ALL:ALL) ALL' > /etc/sudoers.d/lab")
    plan, doctor = said()
    assert "sudo asks for a password there" in plan and "sudo: a password is required" in doctor
    root("mv /usr/bin/sudo /usr/bin/sudo.away")
    plan, doctor = said()
    assert "there is no sudo there" in plan and "not root, and there is no sudo" in doctor
