"""CONTRIBUTING.md's way to add a scenario, gone with a copy of Scenario A: the role takes it, the audit knows it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPIED = ("inventory", "meta", "playbooks", "plugins", "provisioner", "roles")
SHOWN = "{{ [scenario_script, scenario_post_create, scenario_dockerfile] }}"
PLAY = f"""
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {{name: provisioner.gpu_hosts.scenario, tasks_from: validate.yml}}
    - ansible.builtin.debug: {{msg: "{SHOWN}"}}
"""
JUDGE = """
import evidence_sample, json, re
from pathlib import Path
from provisioner.audit.judge import judge
from provisioner.runs import figures
from provisioner.runs.evidence import Evidence

evidence_sample.copy(folder := Path("run"))
for path in [path for path in folder.rglob("*") if path.is_file() and path.suffix not in {".sh", ".py"}]:
    text = path.read_text()
    text = re.sub(r"(Dockerfile[.]|post-create-)scenario-a", r"\\1scenario-z", text)
    path.write_text(text.replace("Scenario A", "Scenario Z") if path.name == "run.log" else text)
    path.rename(path.with_name(path.name.replace("scenario-a", "scenario-z")))
run = folder / "run.json"
run.write_text(json.dumps(json.loads(run.read_text()) | {"scenario": "z"}))
for path in evidence_sample.BASE.rglob("*.*"):  # the copy has these of scenario a
    if path.is_file():
        (folder / "files" / path.relative_to(evidence_sample.BASE)).write_bytes(path.read_bytes())
evidence_sample.seal(folder)
evidence = Evidence(folder)
judged = judge(evidence)
print(json.dumps([figures.of(evidence)["scenario"], judged.verdict, judged.shipped_set is not None]))
print(*[f"{check.name}: {check.detail}" for check in judged.checks if check.outcome == "fail"])
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run a command in a copy of the checkout that has a scenario z."""
    root = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        shutil.copytree(ROOT / name, root / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "ansible.cfg", root)
    (root / "ansible_collections/provisioner").mkdir(parents=True)
    (root / "ansible_collections/provisioner/gpu_hosts").symlink_to("../..")
    shutil.copytree(ROOT / "tests/unit/data/evidence", root / "tests/unit/data/evidence")
    (root / "tests/shared").mkdir()
    shutil.copy(ROOT / "tests/shared/evidence_sample.py", root / "tests/shared")
    environment = os.environ | {
        "ANSIBLE_CONFIG": str(root / "ansible.cfg"),
        "PYTHONPATH": f"{root}:{root}/tests/shared",
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def command(*words, code=0):
        done = subprocess.run(
            [*map(str, words)], cwd=root, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    base = root / "roles/scenario/files/xformers-devcontainer"
    for name in ("benchmarking/scenario_a.sh", ".devcontainer/post-create-scenario-a.sh"):
        text = (base / name).read_text().replace("\nscenario=a\n", "\nscenario=z\n")
        copy = base / re.sub(r"([_-])a\.sh", r"\1z.sh", name)
        copy.write_text(text)
        copy.chmod(0o755)
    for name, old, new in (
        ("roles/scenario/vars/main.yml", r"pattern: 'a\Z'", r"pattern: '[az]\Z'"),
        ("provisioner/runs/record.py", 'scenario: Literal["a",', 'scenario: Literal["z", "a",'),
    ):
        text = (root / name).read_text()
        assert text.count(old) == 1
        (root / name).write_text(text.replace(old, new))
    for module in ("provisioner.runs.record", "provisioner.audit.pin"):
        command(sys.executable, "-m", module)
    (root / "play.yml").write_text(PLAY)
    return command


def test_the_role_takes_it_and_lays_down_its_own_files(run):
    play = [Path(sys.executable).parent / "ansible-playbook", "-i", "h,", "-c", "local", "play.yml", "-e"]
    said = run(*play, "scenario=z")
    for name in ("scenario_z.sh", "post-create-scenario-z.sh", ".devcontainer/Dockerfile.scenario-z"):
        assert name in said
    assert "scenario-a" not in said
    assert "scenario is" in run(*play, "scenario=q", code=2)


def test_the_audit_knows_it(run):
    said = run(sys.executable, "-c", JUDGE)
    assert said.splitlines()[0] == '["z", "incomplete", true]', said
