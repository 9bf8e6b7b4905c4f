"""`provisioner run --batch` with real runs, of the short workload: what fails on one host is begun on no other."""

import pytest
import short
import yaml

NO_FORK = {"scenario_xformers_url": "file:///sources/no-such.git"}
NO_ROOM = {"scenario_minimum_free_bytes": 10**15}
LOOK = (
    "ls -A /var/lib/provisioner /etc/provisioner /var/log/provisioner 2>&1; command -v docker; docker ps --all --quiet"
)


@pytest.fixture(scope="module")
def bare(make_lab):
    return make_lab("batches")


@pytest.fixture
def begin(crasher, bare, provisioner, tmp_path):
    """Run on the host that can measure and on the bare one, one after the other, and give what came of it.

    `begin({host: variables}, *options)`: the hosts in their order, with what is wrong on each.
    """
    known = yaml.safe_load(crasher.inventory.read_text())["all"]
    known["hosts"] |= yaml.safe_load(bare.inventory.read_text())["all"]["hosts"]

    def run(hosts, *options):
        inventory = tmp_path / "hosts.yml"
        own = {name: known["hosts"][name] | variables for name, variables in hosts.items()}
        inventory.write_text(yaml.safe_dump({"all": {"hosts": own, "vars": known["vars"]}}, sort_keys=False))
        # The bare host has not the base image, and no registry has it.
        common = ("-e", "provisioner_check_sources=false", "--username", "batches", "--batch", "1")
        state = ("--state-dir", tmp_path / "state", "--json")
        return provisioner("run", "-i", inventory, *short.OPTIONS, *common, *state, *options)

    return run


@pytest.fixture
def names(crasher, bare):
    """The host that can measure, and the bare one."""
    return crasher.host.name.removeprefix("provisioner-"), bare.hosts[0].name


def test_where_the_first_run_fails_the_next_host_is_not_touched(begin, names, bare, ask):
    first, second = names
    before = ask(bare, second, LOOK, check=False).stdout
    done = begin({first: NO_FORK, second: {}})
    assert done.code == 1 and done.json["not_begun"] == [second]
    (record,) = done.json["runs"]
    assert (record["host"], record["outcome"], record["failure"]["phase"]) == (first, "failed", "clone")
    assert f"not begun: {second}; the same command with --limit @not-begun" in done.stderr
    assert ask(bare, second, LOOK, check=False).stdout == before


def test_as_many_as_may_fail_do_not_keep_the_next_host_from_its_run(begin, names, bare, ask):
    second, first = names
    before = ask(bare, first, LOOK, check=False).stdout
    done = begin({first: NO_ROOM, second: {}}, "--max-fail", "1")
    assert done.code == 1 and done.json["not_begun"] == []
    assert f"{first}: failed in " in done.stderr and ask(bare, first, LOOK, check=False).stdout == before
    (record,) = done.json["runs"]
    assert (record["host"], record["outcome"], record["compile"]["count"]) == (second, "ok", 1)
