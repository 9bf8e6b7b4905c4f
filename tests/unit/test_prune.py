"""`provisioner prune`: what a rule of retention keeps, and what stays whatever it says."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from provisioner.errors import ProvisionerError
from provisioner.store import retention

ACCEPTED, REJECTED, INCOMPLETE = ({"verdict": word, "checks": []} for word in ("accepted", "rejected", "incomplete"))


def ago(days):
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


@pytest.fixture
def runs(keep):
    """Of gpu: the last accepted run is old; of cpu none is accepted, for want of a GPU."""
    keep(run_id="g1", host="gpu", started_at=ago(1), audit=REJECTED)
    keep(run_id="g20", host="gpu", started_at=ago(20), audit=INCOMPLETE)
    keep(run_id="g50", host="gpu", started_at=ago(50), audit=ACCEPTED)
    keep(run_id="g60", host="gpu", started_at=ago(60), audit=ACCEPTED)
    keep(run_id="c40", host="cpu", started_at=ago(40), audit=INCOMPLETE, outcome="failed")
    keep(run_id="c45", host="cpu", started_at=ago(45), audit=INCOMPLETE)
    keep(run_id="c90", host="cpu", started_at=ago(90), audit=INCOMPLETE)


def left(cli):
    return set(json.loads(cli("facts", "-q", "runs[].run_id", "-o", "json")[1]))


@pytest.mark.parametrize(
    ("rules", "gone"),
    [
        (("30d",), {"g60", "c40", "c90"}),
        (("0",), {"g1", "g20", "g60", "c40", "c90"}),
        (("1",), {"g20", "g60", "c90"}),
        (("3",), {"g60"}),
        (("1", "55d"), {"g60", "c90"}),
        (("99",), set()),
        (("1000d",), set()),
    ],
)
def test_what_no_rule_keeps_goes_and_never_the_last_good_run_of_a_host(cli, runs, rules, gone):
    before = left(cli)
    options = [word for rule in rules for word in ("--keep", rule)]
    code, out, _ = cli("prune", *options, "--json")
    assert code == 0 and set(json.loads(out)["would_delete"]) == gone and json.loads(out)["deleted"] == []
    assert left(cli) == before, "it was only said"
    code, out, _ = cli("prune", *options, "--yes", "--json")
    assert code == 0 and set(json.loads(out)["deleted"]) == gone
    assert left(cli) == before - gone


def test_people_see_which_and_how_to_do_it(cli, runs):
    code, out, err = cli("prune", "--keep", "30d")
    assert code == 0 and {line.split()[-1] for line in out.splitlines()[1:]} == {"g60", "c40", "c90"}
    assert "4 runs kept; 3 runs would be deleted; --yes deletes them" in err
    assert "nothing to delete" in cli("prune", "--keep", "99")[2]


def test_only_the_hosts_that_are_meant(cli, runs):
    code, _, _ = cli("prune", "--keep", "0", "--host", "gpu", "--yes")
    assert code == 0 and left(cli) == {"g50", "c40", "c45", "c90"}
    code, out, err = cli("prune", "--keep", "0", "--host", "nope", "--yes")
    assert (code, out) == (2, "") and "no run on a host nope" in err


def test_a_run_without_evidence_is_not_the_last_accepted_one(cli, runs, keep, state):
    keep(run_id="made-up", host="gpu", started_at=ago(30), audit=ACCEPTED)
    (state / "runs/gpu/made-up/run.json").unlink()
    assert cli("prune", "--keep", "0", "--yes")[0] == 0
    assert left(cli) == {"g50", "c45"}


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "9" * 30, "30d30d", "\0"])
def test_a_rule_that_is_none(text):
    with pytest.raises(ProvisionerError, match="is not a rule") as caught:
        retention.rule(text)
    assert caught.value.code == 2


def test_without_a_rule_nothing_goes(cli, runs):
    code, out, err = cli("prune", "--yes")
    assert (code, out, err.count("\n")) == (2, "", 1) and "--keep" in err
    assert len(left(cli)) == 7
