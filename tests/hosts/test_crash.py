"""Exactly once, whatever happens, on a real host: a sample of tests/hosts/crash.py, and each failure with its cause.

The full count is `python tests/hosts/crash.py --controller 30 --sshd 10 --restart 5`. Honest runs, which the audit must
not accuse, are a sample of tests/hosts/honest.py, other kinds each day; HONEST="one job,killed in compile" takes these,
HONEST=all or `PYTHONPATH=. .venv/bin/python tests/hosts/honest.py` all of them.
"""

import json
import os
import threading
import time

import honest
import pytest
from sample import TODAY, chosen

from provisioner.store import Store

HONEST = {kind.name: kind for kind in honest.KINDS}
# Each takes half a minute.
SAMPLE = 2


@pytest.mark.parametrize("kind", ["controller", "sshd", "restart"])
def test_a_crash_costs_no_run_and_no_second_compile(crasher, kind):
    crashed = crasher.crash(kind)
    print(crashed)
    assert crashed.wrong == []
    assert crashed.codes[-1] == 0
    assert crashed.outcomes[-1] == "ok" and crashed.compiles[-1] == 1


@pytest.mark.parametrize("name", chosen(os.environ.get("HONEST", ""), list(HONEST), TODAY, SAMPLE))
def test_an_honest_run_is_accused_of_nothing(crasher, tmp_path, name):
    assert honest.Honest(crasher, tmp_path).run(HONEST[name]) == []


def record(process):
    """The one record that a command gave, and what else it said."""
    out, err = process.communicate(timeout=300)
    print(err)
    assert "Traceback" not in err
    (found,) = json.loads(out)["runs"]
    return found, err


def in_phase(crasher, phase, seconds=200):
    """Wait until the host's run is in `phase`."""
    deadline = time.monotonic() + seconds
    while crasher.phase() != phase:
        assert time.monotonic() < deadline, f"no run came to {phase}"
        time.sleep(0.2)


def test_of_two_controllers_at_once_one_measures_and_both_have_the_record(crasher, run, tmp_path):
    both = [run("two", state=tmp_path / name) for name in ("one", "other")]
    (one, _), (other, _) = map(record, both)
    assert one == other and one["outcome"] == "ok"
    assert crasher.runs_of("two") == [one["run_id"]]


def test_a_network_that_is_away_is_waited_for(crasher, run):
    process = run("network")
    in_phase(crasher, "image_build")
    (network,) = crasher.host.attrs["NetworkSettings"]["Networks"].values()
    bridge = crasher.host.client.networks.get(network["NetworkID"])
    bridge.disconnect(crasher.host)
    said = []
    reader = threading.Thread(target=lambda: said.extend(iter(process.stderr.readline, "")))
    reader.start()
    deadline = time.monotonic() + 150
    while not any('"Silent"' in line for line in said):
        assert time.monotonic() < deadline, said
        time.sleep(0.5)
    bridge.connect(crasher.host, ipv4_address=network["IPAMConfig"]["IPv4Address"])
    process.wait(timeout=300)
    reader.join()
    # The build needs the network too: the run may have failed for that, but it was told, not lost.
    found = json.loads(process.stdout.read())["runs"]
    assert [entry["run_id"] for entry in found] == crasher.runs_of("network"), said


def failing(crasher, run, label, break_it, **variables):
    """Run, break the host in the middle, and give the record and what was said."""
    process = run(label, **variables)
    in_phase(crasher, "image_build")
    break_it()
    return record(process)


def test_a_killed_docker_daemon_is_the_cause(crasher, run):
    # It stays away: systemd would have it back within a second, and a build that had not begun would not notice.
    away = "systemctl stop docker.socket; systemctl kill --signal=KILL docker; systemctl stop docker"
    found, err = failing(crasher, run, "daemon", lambda: crasher.on_host(away))
    crasher.on_host("systemctl reset-failed docker; systemctl start docker")
    assert found["outcome"] == "failed" and found["failure"]["phase"] == "image_build"
    assert "Docker daemon" in found["failure"]["cause"] and found["failure"]["cause"] in err


def test_a_full_disk_is_the_cause(crasher, run):
    """The evidence lies on a file system of its own, of a few MB, which something else fills."""
    folder = "/srv/small"
    crasher.on_host(f"mkdir -p {folder}; mountpoint -q {folder} || mount -t tmpfs -o size=24M small {folder}")
    fill = f"head -c 1G /dev/zero >{folder}/filler"
    variables = {"scenario_dir": f"{folder}/scenario_a", "scenario_minimum_free_bytes": 0}
    process = run("full", **variables)
    in_phase_of = f"grep -q image_build {folder}/scenario_a/runs/*/events.jsonl && echo yes"
    deadline = time.monotonic() + 200
    while "yes" not in crasher.on_host(in_phase_of):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    crasher.on_host(fill)
    found, err = record(process)
    assert found["outcome"] == "failed"
    assert "no space left" in found["failure"]["cause"] and folder in found["failure"]["cause"]
    assert found["failure"]["cause"] in err
    crasher.on_host(f"rm {folder}/filler; docker ps -aq | xargs -r docker rm -f; umount {folder}")


def test_a_compiler_that_the_kernel_kills_is_the_cause(crasher, run):
    crasher.host.exec_run(["sh", "-c", honest.when(HONEST["memory ends"])], detach=True)
    found, err = record(run("memory"))
    assert found["outcome"] == "failed" and found["failure"]["phase"] in {"container_up", "clone", "compile"}
    assert "for lack of memory" in found["failure"]["cause"] and "--max-jobs" in found["failure"]["cause"]
    assert found["failure"]["cause"] in err


def test_the_next_run_after_all_that_measures_and_the_store_is_whole(crasher, run, tmp_path):
    found, _ = record(run("after"))
    assert found["outcome"] == "ok" and found["compile"]["count"] == 1
    store = Store(tmp_path / "state")
    assert [entry.run_id for entry in store.list()] and not store.warnings
