"""One host does not hold another: the play of collect.yml, on two folders of this machine that stand for two hosts."""

import fcntl
import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from provisioner.ansible.events import RecordFound, Started, TaskFailure
from provisioner.ansible.job import run_playbook
from provisioner.ansible.target import Target
from provisioner.errors import Exit

ROOT = Path(__file__).parents[2]
EVIDENCE = Path(__file__).parents[1] / "unit/data/evidence"


class Run:
    """A run under way on a host: it holds the lock, and has no result before it is told to end."""

    def __init__(self, root):
        name = json.loads((EVIDENCE / "run.json").read_text())["run_id"]
        self.folder = root / "runs" / name
        shutil.copytree(EVIDENCE, self.folder)
        self.result = (self.folder / "result.json").read_text()
        (self.folder / "result.json").unlink()
        self.lock = (root / "lock").open("w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)

    def end(self):
        (self.folder / "result.json").write_text(self.result)
        self.lock.close()


@pytest.fixture
def playbook(tmp_path):
    """collect.yml as it is, but that no record is published on this machine."""
    (play,) = yaml.safe_load((ROOT / "playbooks/collect.yml").read_text())
    assert [role["role"] for role in play.pop("roles")] == ["provisioner.gpu_hosts.timing_facts"]
    play["tasks"] = [
        {"ansible.builtin.include_role": {"name": "provisioner.gpu_hosts.timing_facts", "tasks_from": "collect.yml"}}
    ]
    path = tmp_path / "playbook.yml"
    path.write_text(json.dumps([play]))
    return str(path)


def test_a_host_is_collected_while_another_is_waited_for(tmp_path, playbook):
    runs = {name: Run(tmp_path / name) for name in ("early", "late")}
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
    hosts = {name: {**local, "scenario_dir": str(tmp_path / name)} for name in runs}
    # Long enough for one, and short enough to fail soon where one is waited for in vain.
    variables = {"scenario_look_seconds": 1, "scenario_watch_seconds": 20, "provisioner_state_dir": str(tmp_path)}
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": variables}}))
    collected = []

    class Ends:
        """Lets the one run end when it is waited for, and the other when the first has been collected."""

        def event(self, event):
            match event:
                case Started(host="early", task=task) if task.endswith("Wait for the run"):
                    if not runs["early"].lock.closed:
                        runs["early"].end()
                case RecordFound(host=host):
                    collected.append(host)
                    if host == "early":
                        runs["late"].end()
                case TaskFailure():
                    collected.append(event)

        def tick(self):
            pass

    job = run_playbook(playbook, Target((str(inventory),), tuple(hosts), tmp_path), (Ends(),))
    assert collected == ["early", "late"]
    assert job.code == Exit.DONE
