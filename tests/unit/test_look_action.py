"""Action `look`, run as Ansible runs it against this machine; and what of it can be asked without."""

import json
import marshal
import multiprocessing
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "playbooks" / "action_plugins"))

import look as action  # noqa: E402

NOWHERE = {"path": "/nonexistent", "bundle": "", "sha256": "", "apt_settings_path": "/nonexistent"}


@pytest.fixture
def look(tmp_path):
    """Look at hosts that all are this machine: {host: result}, or what Ansible said where it failed."""

    def run(variables, hosts=None, settings=None, roles=("site",)):
        inventory = {"all": {"vars": {"ansible_connection": "local"}, "hosts": hosts or {"one": {}}}}
        kept = {"content": "{{ looked | to_json }}", "dest": f"{tmp_path}/{{{{ inventory_hostname }}}}.json"}
        keep = {"copy": kept | {"mode": "0600"}, "vars": {"ansible_python_interpreter": sys.executable}}
        tasks = [{"look": {"roles": roles if isinstance(roles, str) else list(roles)}, "register": "looked"}, keep]
        playbook = [{"hosts": "all", "gather_facts": False, "vars": variables, "tasks": tasks}]
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
        (tmp_path / "look.yml").write_text(yaml.safe_dump(playbook))
        done = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", "-i", tmp_path / "hosts.yml", tmp_path / "look.yml"],
            env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8"} | (settings or {}),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return done.stdout + done.stderr
        return {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in inventory["all"]["hosts"]}

    return run


def test_each_probe_is_asked(look, tmp_path):
    bundle = tmp_path / "there"
    looked = look({"site_wanted": {**NOWHERE, "path": str(bundle)}})["one"]
    assert looked["looks"]["site"]["changes"] == looked["off"] == [] and not looked["changed"]
    bundle.touch()
    looked = look({"site_wanted": {**NOWHERE, "path": str(bundle)}})["one"]
    there = {"what": str(bundle), "from": "present", "to": "absent"}
    assert looked["looks"]["site"]["changes"] == looked["off"] == [there]


@pytest.mark.parametrize(
    "where", ["{{ between }}", "{{ hostvars[inventory_hostname].place }}", "{{ lookup('vars', 'pla' ~ 'ce') }}"]
)
def test_what_is_wanted_of_one_host_is_not_taken_for_what_is_wanted_of_another(look, tmp_path, where):
    places = {name: str(tmp_path / name) for name in ("one", "two", "three")}
    for place in places.values():
        Path(place).touch()
    hosts = {name: {"place": place} for name, place in places.items()}
    looked = look({"between": "{{ place }}", "site_wanted": {**NOWHERE, "path": where}}, hosts)
    whats = {name: [change["what"] for change in looked[name]["looks"]["site"]["changes"]] for name in hosts}
    assert whats == {name: [place] for name, place in places.items()}


def test_what_is_wanted_of_many_hosts_is_templated_once(look, tmp_path):
    counted = f"{{{{ lookup('ansible.builtin.pipe', 'echo once >> {tmp_path}/count; echo {tmp_path}/none') }}}}"
    hosts = {f"host{number}": {"ansible_host": f"192.0.2.{number}"} for number in range(1, 5)}
    looked = look({"site_wanted": {**NOWHERE, "path": counted}}, hosts)
    assert all(answer["looks"]["site"]["changes"] == [] for answer in looked.values())
    assert (tmp_path / "count").read_text() == "once\n"


def test_the_profile_is_templated_once_for_all_that_read_it(look, tmp_path):
    profile = (
        f"{{{{ {{'at': lookup('ansible.builtin.pipe', 'echo once >> {tmp_path}/count; echo {tmp_path}/none')}} }}}}"
    )
    wanted = NOWHERE | {"path": "{{ profile.at }}", "apt_settings_path": "{{ profile.at }}"}
    assert look({"profile": profile, "site_wanted": wanted})["one"]["off"] == []
    assert (tmp_path / "count").read_text() == "once\n"


def test_a_probe_that_breaks_is_one_line_with_its_role(look):
    said = look({"site_wanted": {"nonsense": 1}})
    assert "looking at site failed: KeyError: 'path'" in said and "Traceback" not in said


def test_what_a_probe_refuses_is_told_in_its_own_words(look):
    said = look({"site_wanted": NOWHERE | {"bundle": "/nowhere.pem"}})
    assert "the CA bundle /nowhere.pem is not on the controller; set site_ca_bundle" in said
    assert "looking at" not in said


@pytest.mark.parametrize(
    ("python", "complaint"),
    [
        ("/nonexistent/python3", "no Python 3 on the host; install it there"),
        ("/bin/false", "the look failed: code 1"),
        ("/bin/echo oops", "the look failed: oops"),
    ],
)
def test_a_host_without_a_python_that_answers_is_told_in_one_line(look, python, complaint):
    said = look({"site_wanted": NOWHERE, "ansible_python_interpreter": python})
    assert complaint in said and "Traceback" not in said


def test_the_interpreter_that_is_named_is_taken(look, tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ntouch {tmp_path}/taken\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    for variables, settings in (
        ({"own": str(python), "ansible_python_interpreter": "{{ own }}"}, {}),
        ({}, {"ANSIBLE_PYTHON_INTERPRETER": str(python)}),
    ):
        assert isinstance(look({"site_wanted": NOWHERE, **variables}, settings=settings), dict)
        (tmp_path / "taken").unlink()


@pytest.mark.parametrize(
    ("roles", "complaint"),
    [
        (("site", "docker_engine"), "docker_engine_wanted is not set"),
        ((), "look needs roles"),
        ((1,), "needs roles"),
        ("nobody_set_it", "needs roles"),
    ],
)
def test_roles_that_cannot_be_looked_for_are_refused(look, roles, complaint):
    assert complaint in look({"site_wanted": NOWHERE}, roles=roles)


def test_the_roles_may_be_a_variables_which_is_templated_with_what_is_wanted(look):
    hosts = {"one": {"choice": "site"}, "two": {"choice": "local"}}
    variables = {"site_wanted": NOWHERE, "local_sources_wanted": {"nonsense": 1}}
    chosen = {"site": ["site"], "local": ["local_sources"]}
    said = look({**variables, "chosen": chosen, "mine": "{{ chosen[choice] }}"}, hosts, roles="mine")
    assert "looking at local_sources failed: KeyError" in said and "looking at site" not in said
    assert look({**variables, "mine": ["site"]}, roles="mine")["one"]["looks"]["site"]["changes"] == []


def test_a_template_reads_what_its_text_names_and_what_that_names():
    variables = {
        "a_wanted": {"deep": ["{{ b | default(c.d) }}", "plain e"], "{{ f }}": 1},
        "b": "{% if g %}x{% endif %}",
        "c": {"d": 1},
        "e": 1,
        "f": 1,
        "g": "{{ a_wanted }}",
        "unread": 1,
    }
    assert set(action.read_by(["a_wanted"], variables)) == {"a_wanted", "b", "c", "g"}


def unpacked(program):
    return marshal.loads(zlib.decompress(program))  # noqa: S302 - made right here


def test_old_pythons_are_refused_by_their_version(tmp_path):
    """The host's part says so before it imports anything that an old Python may not understand."""
    start, *_ = unpacked(action.program({}))
    pretend = f"import sys\nsys.version_info = (3, 6, 9)\ngiven = []\n{start}"
    done = subprocess.run([sys.executable, "-c", pretend], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "Python 3.6 is too old, 3.9 is needed\n")


@pytest.mark.parametrize("same", [True, False])
def test_a_python_like_this_one_is_spared_the_compiling_and_another_reads_the_sources(same):
    start, magic, compiled, sources, wanted = unpacked(action.program({"site": NOWHERE}))
    if same:
        sources = {name: source and "this is not read" for name, source in sources.items()}
    else:
        magic, compiled = b"of another version", b"and so is this"
    given = zlib.compress(marshal.dumps([start, magic, compiled, sources, wanted], action.PLAIN))
    done = subprocess.run([sys.executable, "-ISc", action.STARTER], input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["looks"]["site"]["changes"] == []


def _count_once(folder):
    def make():
        with (folder / "made").open("a") as file:
            file.write("x")
        return b"result"

    assert action.once(folder / "look-key", make) == b"result"


def test_once_is_once_for_processes_that_come_together(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_count_once, args=(tmp_path,)) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8
    assert (tmp_path / "made").read_text() == "x"


def test_role_wanted_has_the_variables_of_every_role_that_is_looked_for():
    runtimes = yaml.safe_load((ROOT / "playbooks" / "group_vars" / "all.yml").read_text())["provisioner_runtimes"]
    every_role = {role for runtime in runtimes.values() for role in runtime["roles"]}
    for kind in ("defaults", "vars"):
        own = {
            path
            for role in every_role
            for pattern in ("main.yml", "main/*.yml")
            for path in (ROOT / "roles" / role / kind).glob(pattern)
        }
        links = {path.readlink() and path.resolve() for path in (ROOT / "roles" / "wanted" / kind / "main").iterdir()}
        assert links == own
