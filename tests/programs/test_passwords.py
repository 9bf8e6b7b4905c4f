"""Passwords that a site's settings have asked for: on a terminal they are, without one that is refused in a line."""

import json
import os
import subprocess
import sys

import pexpect
import pytest

from provisioner.ansible import environment, inventory, passwords, site_settings
from provisioner.errors import ProvisionerError

COMMAND = [sys.executable, "-m", "provisioner"]

SUDO = """\
#!{python}
import os, sys
arguments = sys.argv[1:]
sys.stderr.write(arguments[arguments.index("-p") + 1])
sys.stderr.flush()
given = b""
while not given.endswith(b"\\n"):
    given += os.read(0, 1)
with open("{seen}", "ab") as seen:
    seen.write(given)
program = arguments[arguments.index("-u") + 2 :]
os.execvp(program[0], program)
"""
"""What asks for a password as sudo does, notes it, and begins what it was told to."""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An inventory of this machine, reached through a stand-in for sudo; what that was given is in `seen`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(site_settings, "SYSTEM_FILE", tmp_path / "none")
    sudo = tmp_path / "sudo"
    sudo.write_text(SUDO.format(python=sys.executable, seen=tmp_path / "seen"))
    sudo.chmod(0o755)
    variables = {
        "ansible_connection": "local",
        "ansible_become_exe": str(sudo),
        "ansible_python_interpreter": sys.executable,
        "scenario_dir": str(tmp_path / "scenario"),
    }
    (tmp_path / "fleet.yml").write_text(json.dumps({"all": {"hosts": {"me": variables}}}))
    monkeypatch.setenv("ANSIBLE_BECOME_ALLOW_SAME_USER", "1")
    passwords._asked.cache_clear()
    passwords._told.cache_clear()
    return tmp_path


def without_terminal(site, **variables):
    """Run a command where nobody can be asked, and return its exit code and what it said."""
    command = [*COMMAND, "status", "-i", str(site / "fleet.yml")]
    done = subprocess.run(
        command,
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
        timeout=300,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ANSIBLE_ASK_PASS": "1"}, "has Ansible ask for the SSH password, but there is no terminal; "),
        ({"ANSIBLE_BECOME_ASK_PASS": "yes"}, "has Ansible ask for the BECOME password, but there is no terminal; "),
        ({"ANSIBLE_ASK_VAULT_PASS": "True"}, "has Ansible ask for the Vault password, but there is no terminal; "),
        ({"ANSIBLE_VAULT_IDENTITY_LIST": "a@prompt"}, "Vault password (a), but there is no terminal; "),
        ({"ANSIBLE_BECOME_PASSWORD_FILE": "/nowhere"}, "in /nowhere, which does not exist; "),
        ({"ANSIBLE_VAULT_PASSWORD_FILE": "asks"}, "ended with 1: "),
    ],
)
def test_without_a_terminal_it_is_refused_in_a_line(site, monkeypatch, variables, said):
    monkeypatch.chdir(site)
    (site / "asks").write_text("#!/bin/sh\nread answer </dev/tty 2>/dev/null || exit 1\necho $answer\n")
    (site / "asks").chmod(0o755)
    code, err = without_terminal(site, **variables)
    assert (code, err.count("\n")) == (2, 1) and said in err, err


def test_a_file_of_settings_asks_as_well(site, monkeypatch):
    (site / ".ansible.cfg").write_text("[privilege_escalation]\nbecome_ask_pass = true\n")
    monkeypatch.chdir("/")
    code, err = without_terminal(site)
    assert code == 2 and f"{site / '.ansible.cfg'} has Ansible ask for the BECOME password" in err


def test_on_a_terminal_they_are_asked_for_once_and_reach_ansible(site, state):
    variables = {"ANSIBLE_BECOME_ASK_PASS": "1", "ANSIBLE_VAULT_IDENTITY_LIST": "a@prompt"}
    arguments = [*COMMAND[1:], "status", "-i", str(site / "fleet.yml")]
    child = pexpect.spawn(COMMAND[0], arguments, env=os.environ | variables, timeout=300, encoding="utf-8")
    child.expect_exact("Vault password (a): ")
    child.sendline("any")
    child.expect_exact("BECOME password: ")
    child.sendline("sesame")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    assert set((site / "seen").read_text().split()) == {"sesame"}
    assert not [path for path in state.rglob("*") if path.is_file() and b"sesame" in path.read_bytes()]


@pytest.fixture
def answers(monkeypatch):
    """A person at a terminal, who gives these answers."""

    def give(*given):
        left = list(given)
        asked = []
        monkeypatch.setattr(passwords, "_has_terminal", lambda: True)
        monkeypatch.setattr(passwords.getpass, "getpass", lambda prompt: asked.append(prompt) or left.pop(0))
        return asked

    return give


def read(path):
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - of /proc
        return file.read()


def test_no_answer_to_the_second_question_is_that_to_the_first(site, answers, monkeypatch):
    monkeypatch.setenv("ANSIBLE_ASK_PASS", "1")
    monkeypatch.setenv("ANSIBLE_BECOME_ASK_PASS", "1")
    asked = answers("one", "")
    found = environment.ansible_environment(job=True).variables
    assert [read(found[name]) for name in (passwords.CONNECTION, passwords.BECOME)] == ["one", "one"]
    assert asked == ["SSH password: ", "BECOME password[defaults to SSH password]: "]
    assert not passwords.NAMES & set(environment.ansible_environment().variables), "an inventory needs none of them"


def test_no_answer_is_none(site, answers, monkeypatch):
    monkeypatch.setenv("ANSIBLE_ASK_PASS", "1")
    answers("")
    with pytest.raises(ProvisionerError, match="no SSH password was given") as caught:
        environment.ansible_environment(job=True)
    assert caught.value.code == 2


@pytest.mark.parametrize("how", ["asked", "identity", "file", "program", "client"])
def test_a_vault_is_opened(site, answers, monkeypatch, how):
    (site / "pass").write_text("s3cret\n")
    (site / "group_vars").mkdir()
    secret = site / "group_vars" / "all.yml"
    secret.write_text("provisioner_profile: offline\n")
    encrypt = ["ansible-vault", "encrypt", "--vault-id", f"a@{site / 'pass'}", str(secret)]
    subprocess.run(encrypt, env={**os.environ, "PATH": environment.program_path()}, check=True, capture_output=True)
    for name, text in (("tells", "echo s3cret"), ("tells-client", '[ "$*" = "--vault-id a" ] && echo s3cret')):
        (site / name).write_text(f"#!/bin/sh\n{text}\n")
        (site / name).chmod(0o755)
    answers("s3cret")
    name, value = {
        "asked": ("ANSIBLE_ASK_VAULT_PASS", "1"),
        "identity": ("ANSIBLE_VAULT_IDENTITY_LIST", "a@prompt"),
        "file": ("ANSIBLE_VAULT_PASSWORD_FILE", str(site / "pass")),
        "program": ("ANSIBLE_VAULT_PASSWORD_FILE", str(site / "tells")),
        "client": ("ANSIBLE_VAULT_IDENTITY_LIST", f"a@{site / 'tells-client'}"),
    }[how]
    with pytest.raises(ProvisionerError, match=r"all\.yml|[Vv]ault"):
        inventory.read(str(site / "fleet.yml"))
    monkeypatch.setenv(name, value)
    assert inventory.read(str(site / "fleet.yml")).profiles == {"me": "offline"}
