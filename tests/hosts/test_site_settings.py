"""A host of a site whose Ansible is set up otherwise: the same plan, or a refusal in a line; on a terminal and without.

Nobody answers where nobody is there to: what would wait for that, waits for ever.
"""

import json
import os
from pathlib import Path

import pexpect
import pytest

ROOT = Path(__file__).parents[2]
WITHIN = 600
"""Seconds after which a command is taken to wait for ever."""


@pytest.fixture(scope="module")
def lab(make_lab):
    return make_lab("settings")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder of the site's, with what it has for Ansible in it."""
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def act(lab, provisioner, site):
    """Plan for the host, as a person whose environment has these variables does."""

    def plan(*options, **variables):
        options = ("-i", lab.inventory, "--profile", "registries", "--state-dir", site / "state", "--json", *options)
        return provisioner("plan", *options, timeout=WITHIN, within=["setsid", "--wait"], **variables)

    return plan


@pytest.fixture(scope="module")
def expected(act):
    done = act()
    assert done.code == 5 and done.json["hosts"], done
    return done.json


SETTINGS = {
    "no_log": {"ANSIBLE_NO_LOG": "1"},
    "callbacks": {"ANSIBLE_STDOUT_CALLBACK": "minimal", "ANSIBLE_CALLBACKS_ENABLED": "nobody.has.this"},
    "roles": {"ANSIBLE_ROLES_PATH": "/nowhere", "ANSIBLE_LIBRARY": "/nowhere", "ANSIBLE_ACTION_PLUGINS": "/nowhere"},
    "strategy": {"ANSIBLE_STRATEGY": "debug", "ANSIBLE_FORCE_HANDLERS": "1", "ANSIBLE_ANY_ERRORS_FATAL": "1"},
    "tags": {"ANSIBLE_SKIP_TAGS": "always", "ANSIBLE_RUN_TAGS": "mine"},
    "become": {"ANSIBLE_BECOME": "1", "ANSIBLE_BECOME_USER": "nobody", "ANSIBLE_SUDO_USER": "nobody"},
    "merged dicts": {"ANSIBLE_HASH_BEHAVIOUR": "merge", "ANSIBLE_DUPLICATE_YAML_DICT_KEY": "error"},
    "no pipelining": {
        "ANSIBLE_PIPELINING": "False",
        "ANSIBLE_KEEP_REMOTE_FILES": "1",
        "ANSIBLE_REMOTE_TMP": "/var/tmp/x",
    },
    "cached facts": {"ANSIBLE_CACHE_PLUGIN": "jsonfile", "ANSIBLE_CACHE_PLUGIN_CONNECTION": "/proc/nowhere"},
    "one second": {"ANSIBLE_TASK_TIMEOUT": "1", "ANSIBLE_GATHERING": "explicit"},
    "undefined": {"ANSIBLE_ERROR_ON_UNDEFINED_VARS": "0", "ANSIBLE_JINJA2_EXTENSIONS": "jinja2.ext.nothing"},
    "debugger": {"ANSIBLE_ENABLE_TASK_DEBUGGER": "1", "ANSIBLE_DEBUG": "1", "ANSIBLE_VERBOSITY": "4"},
    "display": {"ANSIBLE_FORCE_COLOR": "1", "ANSIBLE_DISPLAY_OK_HOSTS": "0", "ANSIBLE_VERBOSE_TO_STDERR": "1"},
    "log": {"ANSIBLE_LOG_PATH": "ansible.log"},
    "not text": {"SOME_NAME": "\udcff", "ANSIBLE_REMOTE_PORT": "22"},
    "ssh": {"ANSIBLE_SSH_ARGS": "-C", "ANSIBLE_SSH_RETRIES": "2", "ANSIBLE_SSH_USETTY": "0", "ANSIBLE_TIMEOUT": "60"},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_plan_is_the_same(act, expected, monkeypatch, site, name):
    monkeypatch.chdir(site)
    done = act(**SETTINGS[name])
    assert (done.code, done.json) == (5, expected), done


def test_so_it_is_with_all_of_them_in_a_file(act, expected, monkeypatch, site):
    (site / "ansible.cfg").write_text(
        "[defaults]\nno_log = True\nstdout_callback = minimal\nroles_path = mine\nlibrary = mine\nstrategy = debug\n"
        "internal_poll_interval = 1\nplugin_filters_cfg = nowhere\nfact_caching = jsonfile\ninventory = nowhere\n"
        "gathering = explicit\nerror_on_undefined_vars = False\ntask_timeout = 1\nlog_path = a.log\n"
        "[privilege_escalation]\nbecome_user = nobody\n[tags]\nskip = always\n[ssh_connection]\nretries = 2\n"
    )
    monkeypatch.chdir(site)
    done = act()
    (site / "ansible.cfg").unlink()
    assert (done.code, done.json) == (5, expected), done
    assert (site / "a.log").stat().st_size, "the site's own log of what Ansible did"


ASKING = [
    *({"ANSIBLE_ASK_PASS": "1"}, {"ANSIBLE_BECOME_ASK_PASS": "1"}, {"ANSIBLE_ASK_VAULT_PASS": "1"}),
    *({"ANSIBLE_VAULT_IDENTITY_LIST": "a@prompt"}, {"ANSIBLE_BECOME_PASSWORD_FILE": "/nowhere"}),
]


@pytest.mark.parametrize("variables", ASKING)
def test_what_nobody_can_answer_is_refused_in_a_line(act, variables):
    done = act(**variables)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert "; " in done.stderr and next(iter(variables)) in done.stderr


def test_on_a_terminal_it_is_asked_and_the_plan_is_the_same(lab, expected, site):
    out = site / "out.json"
    command = (
        f"{ROOT}/bin/provisioner plan -i {lab.inventory} --profile registries --state-dir {site}/state --json >{out}"
    )
    variables = {"ANSIBLE_BECOME_ASK_PASS": "1", "ANSIBLE_VAULT_IDENTITY_LIST": "a@prompt", "ANSIBLE_NO_LOG": "1"}
    child = pexpect.spawn("/bin/sh", ["-c", command], env=os.environ | variables, timeout=WITHIN, encoding="utf-8")
    for question in ("Vault password (a): ", "BECOME password: "):
        child.expect_exact(question)
        child.sendline("sesame")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 5, child.before
    assert json.loads(out.read_text()) == expected
