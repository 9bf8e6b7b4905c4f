"""A plan that is applied on three hosts, one after the other: only what it has, and nothing after one that has changed.

By role site alone, which takes seconds: what batches and plans do is the same whatever is installed.
"""

import json
import shutil

import pytest

BUNDLE = "/etc/provisioner/site-ca.crt"
LOOK = "ls -A /etc/provisioner /var/log/provisioner 2>&1; sha256sum /etc/apt/apt.conf.d/*"


@pytest.fixture(scope="module")
def lab(make_lab):
    return make_lab("rollout", count=3)


@pytest.fixture
def act(lab, provisioner, tmp_path):
    """Run a command on the hosts: `act("plan", *options)`, with one state for all of them."""
    # As on a site with a bundle of its own; which it is does not matter to role site.
    bundle = shutil.copy("/etc/ssl/certs/ca-certificates.crt", tmp_path / "site.crt")
    variables = {"provisioner_roles": ["site"], "site_ca_bundle": str(bundle)}
    common = ("-i", lab.inventory, "--profile", "registries", "-e", json.dumps(variables), "--json")

    def run(command, *options):
        return provisioner(command, *common, "--state-dir", tmp_path / "state", *options)

    return run


def test_a_plan_is_done_host_after_host_until_one_has_changed(lab, ask, act, tmp_path):
    first, second, third = (host.name for host in lab.hosts)
    plan = tmp_path / "plan.json"
    made = act("plan", "--out", plan)
    assert made.code == 5
    kept = json.loads(plan.read_text())["hosts"]
    assert kept == {name: {"changes": host["changes"]} for name, host in made.json["hosts"].items()}
    assert {change["role"] for change in kept[third]["changes"]} == {"site"}

    # Somebody else makes a part of it, in another way.
    ask(lab, second, "install -d -m 0700 /etc/provisioner")
    before = {name: ask(lab, name, LOOK).stdout for name in (second, third)}
    done = act("prepare", "--plan", plan, "--batch", "1")
    assert done.code == 1 and done.json["not_begun"] == [third]
    assert list(done.json["hosts"]) == [first, second] and done.json["hosts"][first]["changed"] > 0
    (said,) = [line for line in done.stderr.splitlines() if line.startswith(f"provisioner: {second}: left as it is")]
    assert "no more /etc/provisioner: " in said and "now /etc/provisioner: mode: 0700 -> 0755" in said
    assert f"not begun: {third}; the same command with --limit @not-begun" in done.stderr
    assert {name: ask(lab, name, LOOK).stdout for name in (second, third)} == before

    # Going on, whatever the one that changed is.
    done = act("prepare", "--plan", plan, "--batch", "1", "--limit", "@not-begun")
    assert done.code == 0 and list(done.json["hosts"]) == [third] and done.json["not_begun"] == []
    assert ask(lab, third, f"sha256sum <{BUNDLE}").stdout == ask(lab, first, f"sha256sum <{BUNDLE}").stdout
    again = act("plan")
    assert [name for name, host in again.json["hosts"].items() if host["changes"]] == [second]

    # What was done is off no more, so that the plan is of another host by now.
    done = act("prepare", "--plan", plan, "--limit", first)
    assert done.code == 1 and "left as it is" in done.stderr
