"""What the outside world does to people: each ends in one line with its remedy, and the next run works.

A run of the tests takes one of the three kinds, another each day, and of that a sample; FAULTS=all takes all of them.
The short workload takes xformers' place; the servers, the engine and the containers are real.
"""

import json
import os
import re

import pytest
from faults import FAULTS, GIT, HUB, pulls
from outside_world import SHORT, WORKLOAD
from sample import ALL, TODAY, chosen

SAMPLE = 1
FAULTS_ASKED = os.environ.get("FAULTS", "")


def of_today(turn):
    """Skip a kind whose turn it is on another day. Each takes a minute and a half."""
    other = not FAULTS_ASKED and TODAY.toordinal() % 3 != turn
    return pytest.mark.skipif(other, reason="another kind has its turn today; FAULTS=all takes all")


@pytest.fixture(scope="module", autouse=True)
def forks(world, short_run):
    """A fork whose submodule is nowhere."""
    gone = "git config --file .gitmodules submodule.gone"
    world.publish(
        "short/broken",
        WORKLOAD,
        f"{gone}.path gone; {gone}.url https://github.com/short/gone.git; git add .gitmodules",
        "mkdir gone; git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),gone; commit -m gone",
    )


@of_today(0)
@pytest.mark.parametrize("name", chosen(FAULTS_ASKED, list(FAULTS), TODAY, SAMPLE))
def test_it_ends_in_one_line_and_the_next_run_works(world, short_run, name):
    fault = FAULTS[name]
    variables = json.loads(json.dumps(fault.variables).replace("OUTSIDE", world.address))
    with fault.begin(world):
        done = short_run(**variables)
    assert done.code == 1, done
    told = [line for line in done.stderr.splitlines() if re.search(fault.says, line)]
    assert told, done
    if fault.phase:
        (record,) = done.json["runs"]
        assert record["failure"]["phase"] == fault.phase and re.search(fault.says, record["failure"]["cause"]), record
    else:
        assert done.json["runs"] == [], done
    # Nothing of it is left running.
    host = world.host()
    assert (
        world.sh("systemctl list-units --no-legend 'provisioner-scenario-a-*'; pgrep docker-proxy || true", host) == ""
    )
    again = short_run(scenario_cold_base=fault.variables.get("scenario_cold_base", False))
    assert again.code == 0, again
    (record,) = again.json["runs"]
    assert record["outcome"] == "ok" and record["retries"] == [], record


PASSING = {
    "image_build": (HUB, pulls("return 503;"), "docker"),
    "clone": (GIT, "location ~ /info/refs$ { return 503; }", "git"),
}


@of_today(1)
@pytest.mark.parametrize("phase", list(PASSING) if FAULTS_ASKED == ALL else chosen("", list(PASSING), TODAY, SAMPLE))
def test_what_passes_is_tried_again_and_told(world, short_run, phase):
    server, settings, what = PASSING[phase]
    cold = {"scenario_cold_base": phase == "image_build", "provisioner_check_sources": False}
    with world.fault(server, settings, passes=2):
        done = short_run(**cold)
    assert done.code == 0, done
    (record,) = done.json["runs"]
    assert [(one["phase"], one["what"]) for one in record["retries"]] == [(phase, what)], record["retries"]
    assert f"tried again, as part of its time: {what} " in done.stderr


@of_today(2)
def test_a_run_takes_all_that_it_needs_from_a_mirror(short_run):
    mirror = "mirror.example"
    index = f"https://{mirror}/download.pytorch.org/whl/cu128"
    done = short_run(
        scenario_base_image=f"{mirror}/nvidia/cuda:12.8.0-devel-ubuntu22.04",
        scenario_python_packages=[["filelock", "--index-url", index], *SHORT["scenario_python_packages"]],
        scenario_xformers_url=f"https://{mirror}/github.com/short/xformers.git",
    )
    assert done.code == 0, done
    (record,) = done.json["runs"]
    assert record["inputs"]["base_image_digest"].startswith(f"{mirror}/nvidia/cuda@sha256:")
