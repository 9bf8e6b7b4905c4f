"""Who goes first where a play has more hosts than forks: by the strategy that each play of ours has."""

import re
from pathlib import Path

import ansible_forked
import pytest
import yaml

ROOT = Path(__file__).parents[2]
TASKS = [{"name": name, "ansible.builtin.debug": {"msg": ""}} for name in ("begin", "end")]
THROUGH = ["begin h1", "end h1", "begin h2", "end h2"]
IN_TURN = ["begin h1", "begin h2", "end h1", "end h2"]


@pytest.mark.parametrize(
    ("playbook", "turns"),
    [
        *((name, THROUGH) for name in ("doctor", "plan", "prepare", "scenario", "site", "collect")),
        ("cancel", IN_TURN),
    ],
)
def test_a_host_is_through_before_another_begins_unless_runs_are_cancelled(playbook, turns, tmp_path):
    plays = yaml.safe_load((ROOT / f"playbooks/{playbook}.yml").read_text())
    (play,) = [play for play in plays if "hosts" in play]
    kept = {key: play[key] for key in ("name", "hosts", "strategy", "gather_facts")}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{**kept, "tasks": TASKS}]))
    options = ("-i", "h1,h2,", "-c", "local", "--forks", "1", tmp_path / "play.yml")
    done = ansible_forked.run("playbook", *options, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"))
    assert done.returncode == 0, done.stderr
    said = re.findall(r"^TASK \[(\w+)\]|^ok: \[(\w+)\]", done.stdout, re.M)
    task, order = "", []
    for name, host in said:
        task = name or task
        order += [f"{task} {host}"] if host else []
    assert order == turns, done.stdout
