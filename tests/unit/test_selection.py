"""Which runs the options mean."""

from datetime import UTC, datetime

import pytest

from provisioner.cli import parse
from provisioner.errors import ProvisionerError
from provisioner.store.selection import RunOptions, Selection, instant, of_options

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("30m", "2026-11-23T11:30:00+00:00"),
        ("12h", "2026-11-23T00:00:00+00:00"),
        ("7d", "2026-11-16T12:00:00+00:00"),
        ("2w", "2026-11-09T12:00:00+00:00"),
        ("2026-11-01", "2026-11-01T00:00:00+00:00"),
        ("2026-11-01T10:00:00+02:00", "2026-11-01T08:00:00+00:00"),
    ],
)
def test_a_time(text, time):
    assert instant(text, "--since", NOW) == datetime.fromisoformat(time)


@pytest.mark.parametrize("text", ["", "7", "d", "7y", "yesterday", "2026-13-01", "999999999d", "-7d"])
def test_what_is_no_time(text):
    with pytest.raises(ProvisionerError, match="--since") as caught:
        instant(text, "--since")
    assert caught.value.code == 2


def test_hosts_may_be_given_in_several_ways(tmp_path):
    assert of_options(RunOptions()) == Selection()
    assert of_options(RunOptions(hosts=("a,b*",), limit="c:d")).hosts == ("a", "b*", "c", "d")
    path = tmp_path / "inventory.yml"
    path.write_text("rack1:\n  hosts:\n    g2: {}\n    g1: {}\n")
    assert of_options(RunOptions(hosts=("rack1", "other"), inventory=(str(path),))).hosts == ("g1", "g2", "other")


@pytest.mark.parametrize("last", ["0", "-1", "1" + "0" * 30, "9" * 5000, "1e3", "٣"])
def test_last_is_at_least_one(last):
    with pytest.raises(ProvisionerError, match="--last"):
        parse(["facts", f"--last={last}"])
