"""What the collection's actions do without the Python package, and how a job finds the collection."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from provisioner.ansible import environment
from provisioner.system.paths import ansible_dir

ROOT = Path(__file__).parents[2]
PACKAGE = "ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils.package"
OF_PYDANTIC = {"annotated_types", "pydantic_core", "typing_extensions", "typing_inspection"}


def told(program, *without):
    """What a program prints as JSON, in a Python that has not the packages of these names."""
    hide = f"import sys; sys.modules.update(dict.fromkeys({list(without)!r}));"
    return json.loads(subprocess.check_output([sys.executable, "-c", hide + program], cwd=ROOT, text=True))


@pytest.mark.parametrize("missing", ["", "pydantic", "provisioner"])
def test_what_collecting_lacks_is_told_without_an_import_of_it(missing):
    program = f"import json; from {PACKAGE} import missing;"
    program += "print(json.dumps([missing(), 'pydantic_core' in sys.modules]))"
    assert told(program, *[missing][: bool(missing)]) == [missing, False]


def test_collecting_needs_no_more_than_what_is_looked_for():
    program = (
        "import json; before = set(sys.modules);"
        "from provisioner.store import reception as arrival; from provisioner.signatures import known_hosts, receipt;"
        "names = {name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names);"
        "print(json.dumps([name for name in names if name[0] != '_']))"
    )
    assert set(told(program)) - OF_PYDANTIC == {"provisioner", "pydantic"}


def test_without_the_package_an_answer_is_as_ansible_has_it():
    program = (
        f"import json; from {PACKAGE} import answers, asking, challenge, printable\n"
        "with asking('ssh'):\n    answer = answers.run({'changed': 1}, 'listed', 'r', check_mode=False)\n"
        "print(json.dumps([answer, answers.parse('{}'), challenge, printable('two\\nlines')]))"
    )
    assert told(program, "provisioner") == [{"changed": 1}, {}, None, "two lines"]


def test_plain_ansible_says_at_the_start_of_the_site_playbook_what_is_missing(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['pydantic'] = None\n")
    touched = tmp_path / "touched"
    variables = {"provisioner_profile": "registries", "ansible_python_interpreter": f"/bin/touch {touched};"}
    settings = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "PYTHONPATH": str(tmp_path), "LC_ALL": "C.UTF-8"}
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", "-c", "local"]
    done = subprocess.run(
        [*command, "-e", json.dumps(variables), "playbooks/site.yml"],
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "has no package pydantic: install provisioner there" in " ".join(said.split()), said
    assert not touched.exists() and "Look before anything" not in said


def test_a_job_finds_its_own_collection_first_and_then_the_sites(tmp_path, monkeypatch):
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", "/srv/site:/srv/more")
    found = environment.ansible_environment().within(tmp_path)["ANSIBLE_COLLECTIONS_PATH"].split(":")
    assert found[1:] == ["/srv/site", "/srv/more"]
    (link,) = Path(found[0]).glob("ansible_collections/*/*")
    assert link.resolve() == ansible_dir() and link.relative_to(found[0]).parts[1:] == ("provisioner", "gpu_hosts")


@pytest.mark.parametrize(("home", "begins"), [("", "~/.ansible/"), ("/srv/ansible", "/srv/ansible/")])
def test_where_the_site_says_nothing_its_collections_are_where_ansible_has_them(tmp_path, monkeypatch, home, begins):
    monkeypatch.delenv("ANSIBLE_COLLECTIONS_PATH", raising=False)
    monkeypatch.chdir(tmp_path)
    if home:
        monkeypatch.setenv("ANSIBLE_HOME", home)
    assert environment.ansible_environment().collections == f"{begins}collections:/usr/share/ansible/collections"
