"""`provisioner doctor`: the controller, and a host that cannot be looked at, are findings too."""

import json
from pathlib import Path

import pytest

from provisioner.ansible import environment
from provisioner.ansible.events import NO_PYTHON, HostFinding, TaskFailure
from provisioner.ansible.job import Host, Job
from provisioner.ansible.target import Target
from provisioner.commands import controller_checks
from provisioner.commands.doctor import exit_code


def a_job(findings=(), **hosts):
    return Job(Path("/nonexistent"), hosts=hosts, findings=list(findings))


OK = HostFinding("h1", "disk", "ok", "", "")
WARN = HostFinding("h1", "engine", "warn", "", "")
FAIL = HostFinding("h1", "disk", "fail", "", "")
AWAY = Host(unreachable=True, failure=TaskFailure("h2", "p", "t", unreachable=True, message="no route"))


@pytest.mark.parametrize(
    ("job", "code"),
    [
        (a_job([OK, WARN], h1=Host()), 0),
        (a_job([OK, FAIL], h1=Host()), 1),
        (a_job([OK], h1=Host(), h2=AWAY), 3),
        (a_job([FAIL], h1=Host(), h2=AWAY), 1),
        (a_job(h1=Host(failed=1, failure=TaskFailure("h1", "p", "t", unreachable=False, message="boom"))), 1),
    ],
)
def test_exit_codes(job, code):
    assert exit_code(job, controller_checks.of_job(job)) == code


def test_a_host_that_was_not_reached_is_a_finding_with_a_remedy():
    (found,) = controller_checks.of_job(a_job(h2=AWAY))
    assert (found.host, found.check, found.outcome, found.detail) == ("h2", "reachable", "fail", "no route")
    assert found.remedy


def test_a_host_without_python_is_told_so():
    failure = TaskFailure("h1", "p", "t", unreachable=False, message=NO_PYTHON)
    (found,) = controller_checks.of_job(a_job(h1=Host(failed=1, failure=failure)))
    assert (found.check, found.detail) == ("python", "no Python 3 on the host")
    assert found.remedy.startswith("install it there (apt-get install python3)")


def test_the_controller(state, monkeypatch):
    state.mkdir()
    target = Target(("x,",), ("x",), state)
    assert {f.check: f.outcome for f in controller_checks.controller(target)} == {
        "python": "ok",
        "ansible": "ok",
        "disk": "ok",
        "ssh": "ok",
    }
    monkeypatch.setenv("PATH", "/nonexistent")
    assert {f.check for f in controller_checks.controller(target) if f.outcome == "fail"} == {"ssh"}
    local = Target(("x,",), ("x",), state, local=frozenset({"x"}))
    assert "ssh" not in {f.check for f in controller_checks.controller(local)}, "this machine needs none for itself"
    monkeypatch.setattr(controller_checks, "MINIMUM_FREE_BYTES", 10**18)
    assert {f.check for f in controller_checks.controller(local) if f.outcome == "fail"} == {"disk"}


def test_pip_says_which_index_it_uses(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.site/simple")
    assert environment.pip_index() == "https://index.site/simple"


def test_for_real_on_this_machine(cli):
    """The playbook and its module, through Ansible; what it finds differs from machine to machine."""
    code, out, _ = cli("doctor", "--profile", "registries", "--json")
    document = json.loads(out)
    assert code == (0 if document["ok"] else 1)
    assert {"host", "check", "outcome", "detail", "remedy"} == set(document["findings"][0])
    hosts = {f["host"] for f in document["findings"]}
    assert hosts == {"controller", "localhost"}
    assert {"reachable", "os", "disk", "engine", "gpu"} <= {f["check"] for f in document["findings"]}


def test_an_unreachable_host_for_real(cli, tmp_path):
    inventory = tmp_path / "inventory.yml"
    inventory.write_text("all:\n  hosts:\n    away:\n      ansible_host: 127.0.0.1\n      ansible_port: 1\n")
    code, out, err = cli("doctor", "-i", inventory)
    assert code == 3
    assert "refused" in out and "Traceback" not in err
