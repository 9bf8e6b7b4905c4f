"""Action `look`, run as Ansible runs it against this machine; and what of it can be asked without."""

import json
import marshal
import re
import subprocess
import sys
import zlib
from pathlib import Path

import ansible_forked
import pytest
import yaml
from ansible.template import trust_as_template

from ansible_collections.provisioner.gpu_hosts.plugins.modules import host_checks
from ansible_collections.provisioner.gpu_hosts.plugins.plugin_utils import host_program, same_for_hosts
from provisioner.ansible import changes

ROOT = Path(__file__).parents[2]
VARIABLES = yaml.safe_load((ROOT / "playbooks/tasks/variables.yml").read_text())
NOWHERE = dict.fromkeys(("path", "apt_settings_path", "environment_path"), "/nonexistent")
NOWHERE |= dict.fromkeys(("bundle", "sha256", "environment_sha256"), "")


@pytest.fixture
def look(tmp_path):
    """Look at hosts that all are this machine: {host: result}, or what Ansible said where it failed."""

    def run(variables, hosts=None, settings=None, *, roles=("site",), action="look", more=None):
        inventory = {"all": {"vars": {"ansible_connection": "local"}, "hosts": hosts or {"one": {}}}}
        options = {"roles": roles if isinstance(roles, str) else list(roles), **(more or {})}
        tasks = [{f"provisioner.gpu_hosts.{action}": options, "register": "looked"}, ansible_forked.tell("looked")]
        playbook = [{"hosts": "all", "gather_facts": False, "vars": variables, "tasks": tasks}]
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
        (tmp_path / "look.yml").write_text(yaml.safe_dump(playbook))
        settings = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), **(settings or {})}
        done = ansible_forked.run("playbook", "-i", tmp_path / "hosts.yml", tmp_path / "look.yml", **settings)
        return done.stdout + done.stderr if done.returncode else ansible_forked.told(done)

    return run


def test_each_probe_is_asked(look, tmp_path):
    bundle = tmp_path / "there"
    looked = look({"site_wanted": {**NOWHERE, "path": str(bundle)}})["one"]
    assert looked["looks"]["site"]["changes"] == looked["off"] == [] and not looked["changed"]
    bundle.touch()
    looked = look({"site_wanted": {**NOWHERE, "path": str(bundle)}})["one"]
    there = {"what": str(bundle), "from": "present", "to": "absent"}
    assert looked["looks"]["site"]["changes"] == looked["off"] == [there]


READS_WHAT_DIFFERS = [
    "{{ between }}",
    "{{ hostvars[inventory_hostname].place }}",
    "{{ hostvars[inventory_hostname]['pla' ~ 'ce'] }}",
    "{{ vars['pla' ~ 'ce'] }}",
    "{{ lookup('vars', 'pla' ~ 'ce') }}",
    "{{ lookup('ansible.builtin.template', 'place.j2') | trim }}",
    "{{ lookup('ansible.builtin.template', 'outer.j2') | trim }}",
    "{{ lookup('ansible.builtin.file', inventory_hostname ~ '.txt') }}",
    "{{ lookup('of_the_site') }}",
    "{{ 'x' | filter_of_the_site(hostvars[inventory_hostname]) }}",
    "{{ (lookup('ansible.builtin.dict', vars) | selectattr('key', 'equalto', 'place') | first).value }}",
]
LOOKUP = """
from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **_):
        return [variables["place"]]
"""
FILTER = """
class FilterModule:
    def filters(self):
        return {"filter_of_the_site": lambda _, variables: variables["place"]}
"""


def off(looked):
    """The paths that are off on each host."""
    return {name: [change["what"] for change in found["looks"]["site"]["changes"]] for name, found in looked.items()}


def test_what_is_wanted_of_one_host_is_not_taken_for_what_is_wanted_of_another(look, tmp_path):
    """Whatever reads what differs from host to host: templates, their files, lookups, a site's own plugins."""
    places, hosts = {}, {}
    files = {
        "templates/place.j2": "{{ place }}",
        "templates/outer.j2": "{% include 'place.j2' %}",
        "lookup_plugins/of_the_site.py": LOOKUP,
        "filter_plugins/of_the_site.py": FILTER,
    }
    for number, wanted in enumerate(READS_WHAT_DIFFERS):
        for name in (f"one{number}", f"two{number}", f"three{number}"):
            places[name] = str(tmp_path / name)
            hosts[name] = {"place": places[name], "site_wanted": {**NOWHERE, "path": wanted}}
            files |= {name: "", f"files/{name}.txt": places[name]}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    looked = look({"between": "{{ place }}"}, hosts)
    assert isinstance(looked, dict), looked
    assert off(looked) == {name: [place] for name, place in places.items()}


def test_what_is_wanted_may_be_in_a_vault_of_each_host(look, tmp_path):
    (tmp_path / "password").write_text("a password")
    (tmp_path / "host_vars").mkdir()
    command = [Path(sys.executable).parent / "ansible-vault", "encrypt_string", "--vault-password-file"]
    places = {name: str(tmp_path / name) for name in ("one", "two")}
    for name, place in places.items():
        Path(place).touch()
        secret = subprocess.check_output([*command, tmp_path / "password", "--name", "place", place], text=True)
        (tmp_path / "host_vars" / f"{name}.yml").write_text(secret)
    variables = {"between": "{{ place }}", "site_wanted": {**NOWHERE, "path": "{{ between }}"}}
    settings = {"ANSIBLE_VAULT_PASSWORD_FILE": str(tmp_path / "password")}
    looked = look(variables, {name: {} for name in places}, settings)
    assert isinstance(looked, dict), looked
    assert off(looked) == {name: [place] for name, place in places.items()}


def trusted(value):
    """What Ansible makes of a YAML file: its texts may be templates."""
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, dict):
        return {key: trusted(item) for key, item in value.items()}
    return [trusted(item) for item in value] if isinstance(value, list) else value


@pytest.fixture
def variables():
    """What a host of prepare.yml has of ours, as it is before templating, and of its own."""
    roles = [task["ansible.builtin.import_role"]["name"].rpartition(".")[2] for task in VARIABLES]
    paths = [
        path
        for role in roles
        for kind in ("defaults", "vars")
        for path in (ROOT / "roles" / role / kind).rglob("*.yml")
    ]
    paths.append(ROOT / "playbooks/group_vars/all.yml")
    found = yaml.safe_load((ROOT / "playbooks/prepare.yml").read_text())[0]["vars"]
    for path in paths:
        found |= yaml.safe_load(path.read_text())
    return trusted(found) | {
        "provisioner_profile": "registries",
        "inventory_hostname": "one",
        "ansible_host": "192.0.2.1",
    }


NAMES = ["provisioner_roles", *(f"{role}_wanted" for role in ("site", "gpu_driver", "docker_engine", "local_sources"))]


def test_hosts_that_differ_in_nothing_that_is_read_share_their_wanted_state(variables):
    same = same_for_hosts.all_that_is_read(NAMES, variables)
    assert same and "registries" in same
    assert (
        same_for_hosts.all_that_is_read(NAMES, variables | {"inventory_hostname": "two", "ansible_host": "192.0.2.2"})
        == same
    )
    assert same_for_hosts.all_that_is_read(NAMES, variables | {"provisioner_profile": "seed"}) not in {same, None}
    assert same_for_hosts.all_that_is_read(NAMES, variables | {"ansible_connection": "local"}) not in {same, None}
    assert same_for_hosts.all_that_is_read(
        NAMES, variables | {"site_no_proxy": {1: "a"}}
    ) != same_for_hosts.all_that_is_read(NAMES, variables | {"site_no_proxy": {"1": "a"}})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("site_ca_bundle", trust_as_template("{{ lookup('ansible.builtin.template', 'p.j2') }}")),
        ("site_no_proxy", trust_as_template("{{ hostvars[inventory_hostname].place }}")),
        ("docker_engine_users", [trust_as_template("{% include 'users.j2' %}")]),
        ("provisioner_profile", trust_as_template("{{ mine }}")),
        # One of our own texts, but from where nobody vouches for it: Ansible does not template it.
        ("site_ca_bundle", "{{ lookup('ansible.builtin.env', 'SSL_CERT_FILE') }}"),
        ("site_ca_bundle", object()),  # as a vault's value is none of JSON's
    ],
)
def test_a_host_shares_nothing_where_it_cannot_be_told_what_is_read(variables, name, value):
    assert same_for_hosts.all_that_is_read(NAMES, variables | {name: value}) is None


def test_what_we_ship_reads_variables_by_their_names_alone():
    read = "".join(same_for_hosts.shipped())
    assert not re.search(r"\b(hostvars|varnames|groups|vars|include|import|query|q)\b", read)
    assert set(re.findall(r"lookup\('([^']*)'", read)) == {
        "ansible.builtin.env",
        "ansible.builtin.file",
        "provisioner.gpu_hosts.bundle",
        "provisioner.gpu_hosts.cuda_architectures",
        "provisioner.gpu_hosts.cuda_misfit",
        "provisioner.gpu_hosts.devcontainer_json",
        "provisioner.gpu_hosts.distributions",
        "provisioner.gpu_hosts.lock",
        "provisioner.gpu_hosts.profile",
        "provisioner.gpu_hosts.uncollectable",
    }


@pytest.mark.parametrize("action", ["look", "host_checks"])
def test_what_any_template_takes_is_there_before_workers_are_forked(action):
    program = f"""if True:
        import importlib, sys
        from ansible.template import Templar, trust_as_template
        importlib.import_module("ansible_collections.provisioner.gpu_hosts.plugins.action.{action}")
        before = set(sys.modules)
        text = "{{{{ 'a' if b is defined and b | default(1) | int else c | default([]) | to_json }}}}"
        assert Templar(variables={{"b": 1}}).template(trust_as_template(text)) == "a"
        print(*sorted(set(sys.modules) - before))
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done


def test_the_profile_is_templated_once_for_all_that_read_it(look, tmp_path):
    profile = (
        f"{{{{ {{'at': lookup('ansible.builtin.pipe', 'echo once >> {tmp_path}/count; echo {tmp_path}/none')}} }}}}"
    )
    wanted = NOWHERE | {"path": "{{ profile.at }}", "apt_settings_path": "{{ profile.at }}"}
    assert look({"profile": profile, "site_wanted": wanted})["one"]["off"] == []
    assert (tmp_path / "count").read_text() == "once\n"


DEAF = """
from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = "name: deaf\\nshort_description: local, without input\\noptions: {}"


class Connection(Local):
    transport = "deaf"
    has_pipelining = False
"""


@pytest.fixture
def deaf(tmp_path):
    """Give the variables of a host whose connection takes no input."""
    (tmp_path / "connection_plugins").mkdir()
    (tmp_path / "connection_plugins/deaf.py").write_text(DEAF)
    return {"ansible_connection": "deaf", "ansible_python_interpreter": sys.executable}


def test_the_module_answers_as_the_action_does_where_a_connection_takes_no_input(look, deaf, tmp_path):
    (tmp_path / "there").touch()
    looked = look({"site_wanted": {**NOWHERE, "path": f"{tmp_path}/there"}}, {"one": {}, "two": deaf})
    assert isinstance(looked, dict), looked
    assert looked["one"]["off"] == looked["two"]["off"] != [] and looked["one"]["looks"] == looked["two"]["looks"]
    assert "needs" not in looked["two"] and not looked["two"]["changed"]
    said = look({"site_wanted": NOWHERE | {"bundle": "/nowhere.pem"}}, {"two": deaf})
    assert "the CA bundle /nowhere.pem is not on the controller; set site_ca_bundle" in said


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


RUN = {"root": "/nonexistent", "input_hash": "ab", "fresh": False, "minimum_free_bytes": 0, "runtime": "native"}


@pytest.mark.parametrize(("more", "would"), [({}, "measure"), ({"minimum_free_bytes": 10**18}, "refuse")])
def test_what_a_run_would_do_comes_with_the_look(look, more, would):
    looked = look({"site_wanted": NOWHERE, "a_run": RUN | more}, more={"run": "a_run"})["one"]
    assert looked["off"] == [] and looked["scenario_planned"]["would"] == would


def test_without_a_run_nothing_is_said_of_one_and_one_that_nobody_set_is_refused(look):
    assert "scenario_planned" not in look({"site_wanted": NOWHERE})["one"]
    assert "a_run is not set" in look({"site_wanted": NOWHERE}, more={"run": "a_run"})


CHECKED = {"profile": {"network": False}, "runtime": "native", "python": "/nonexistent", "gpu_driver": {"force": False}}


def test_the_doctor_asks_a_host_once_for_all_that_it_finds(look):
    """The checks, the clocks, and what the roles would refuse, which is their own look."""
    variables = {"site_wanted": NOWHERE | {"bundle": "/nowhere.pem"}, "asked": CHECKED}
    answer = look(variables, action="host_checks", more={"wanted": "asked"})["one"]
    found = {each["check"]: each for each in answer["host_findings"]}
    assert {"root", "python", "os", "site python", "clock", "prepare"} <= set(found)
    assert (found["prepare"]["outcome"], found["clock"]["detail"]) == ("fail", "the controller's own")
    assert "/nowhere.pem is not on the controller" in found["prepare"]["detail"]
    answer = look(variables, action="host_checks", more={"wanted": "asked", "sources_only": True})
    assert "no /nonexistent on PATH; install Python" in answer and "host_findings" not in answer


@pytest.mark.parametrize("wanted", [None, "nobody_set_it", {"profile": {}}])
def test_the_doctor_is_told_what_to_ask_by_the_name_of_a_variable(look, wanted):
    more = {"wanted": wanted} if wanted else {}
    assert "host_checks needs wanted" in look({"site_wanted": NOWHERE}, action="host_checks", more=more)


def test_the_doctor_s_module_answers_as_its_action_does_where_a_connection_takes_no_input(look, deaf):
    variables = {"site_wanted": NOWHERE | {"bundle": "/nowhere.pem"}, "asked": CHECKED}
    hosts = {"one": deaf | {"ansible_connection": "local"}, "two": deaf}
    found = look(variables, hosts, action="host_checks", more={"wanted": "asked"})
    one, two = (
        [each for each in found[name]["host_findings"] if each["check"] not in {"busy", "clock", "disk"}]
        for name in hosts
    )
    assert one == two and "prepare" in {each["check"] for each in two}
    more = {"wanted": "asked", "sources_only": True}
    said = look(variables, {"two": deaf}, action="host_checks", more=more)
    assert "no /nonexistent on PATH; install Python" in said and "host_findings" not in said


def test_what_a_run_would_do_comes_without_input_too(look, deaf):
    looked = look({"site_wanted": NOWHERE, "a_run": RUN}, {"two": deaf}, more={"run": "a_run"})["two"]
    assert looked["off"] == [] and looked["scenario_planned"]["would"] == "measure"


@pytest.mark.parametrize(
    ("words", "said"), [(["env"], "reboot_required"), (["sh", "-c", "echo sick >&2; exit 3"], "the look failed: sick")]
)
def test_the_module_asks_again_as_another_user_too(words, said):
    assert said in str(host_checks.again(*words, program="look", wanted={}))


def test_another_question_is_asked_of_the_same_python_by_the_words_that_are_before_it(tmp_path):
    """As sudo would: here env, and a program that ends in a failure."""
    program = """
def answer(again, words):
    return again(*words, program="look", wanted={}) if words else {"warnings": []}
"""
    start, _, _, sources = unpacked()
    sources[f"{host_program.PACKAGE}.asks"] = (False, program)
    parts = [start, b"of another version", b"", sources]
    packed = zlib.compress(marshal.dumps(parts, host_program.PLAIN))
    for words, said in ((["env"], "reboot_required"), (["sh", "-c", "echo sick >&2; exit 3"], "the look failed: sick")):
        given = host_program.stream(packed, json.dumps({"program": "asks"}), json.dumps({"words": words}))
        done = subprocess.run(
            [sys.executable, "-ISc", host_program.STARTER], input=given, capture_output=True, check=True
        )
        assert said in done.stdout.decode()


def unpacked():
    return marshal.loads(zlib.decompress(host_program.code()))  # noqa: S302 - made right here


def test_old_pythons_are_refused_by_their_version(tmp_path):
    """The host's part says so before it imports anything that an old Python may not understand."""
    start, *_ = unpacked()
    pretend = f"import sys\nsys.version_info = (3, 6, 9)\ngiven = []\n{start}"
    done = subprocess.run([sys.executable, "-c", pretend], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "Python 3.6 is too old, 3.9 is needed\n")


@pytest.mark.parametrize("same", [True, False])
def test_a_python_like_this_one_is_spared_the_compiling_and_another_reads_the_sources(same):
    start, magic, compiled, sources = unpacked()
    if same:
        sources = {name: (package, text and "this is not read") for name, (package, text) in sources.items()}
    else:
        magic, compiled = b"of another version", b"and so is this"
    code = zlib.compress(marshal.dumps([start, magic, compiled, sources], host_program.PLAIN))
    question = json.dumps({"program": "look", "wanted": {"site": NOWHERE}})
    given = host_program.stream(code, question)
    done = subprocess.run([sys.executable, "-ISc", host_program.STARTER], input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["looks"]["site"]["changes"] == []


def test_plays_read_the_variables_of_every_role_that_is_looked_for_and_no_tasks():
    runtimes = yaml.safe_load((ROOT / "playbooks" / "group_vars" / "all.yml").read_text())["provisioner_runtimes"]
    imports = [task["ansible.builtin.import_role"] for task in VARIABLES]
    assert {one["name"] for one in imports} == {
        f"provisioner.gpu_hosts.{role}" for runtime in runtimes.values() for role in runtime["roles"]
    }
    for one in imports:
        role = one["name"].rpartition(".")[2]
        assert yaml.safe_load((ROOT / "roles" / role / "tasks" / one["tasks_from"]).read_text()) == []
        # A dependency's tasks would come with it.
        assert yaml.safe_load((ROOT / "roles" / role / "meta" / "main.yml").read_text())["dependencies"] == []


THERE = [{"what": "x", "from": "absent", "to": "present"}]


def test_a_role_that_was_looked_for_already_is_not_looked_for_again(look):
    known = {"site": {"changes": THERE}, "other": {"changes": []}}
    looked = look({}, more={"known": known})["one"]  # there is no site_wanted to ask for
    assert looked["looks"] == {"site": {"changes": THERE}} and looked["off"] == THERE and not looked["changed"]


@pytest.mark.parametrize(
    "more",
    [
        {"known": {}},
        {"known": {"local_sources": {"changes": []}}},
        {"known": {"site": {"changes": THERE}, "other": {"changes": THERE}}, "depends_on": ["other"]},
    ],
    ids=["nothing", "another role", "what it stands on was changed since"],
)
def test_a_role_of_which_nothing_true_is_known_is_looked_for(look, more):
    assert look({"site_wanted": NOWHERE}, more=more)["one"]["off"] == []


@pytest.mark.parametrize("other", [{}, {"other": {"changes": []}}], ids=["left out", "as it should be"])
def test_what_a_role_stands_on_may_be_left_out(look, other):
    known = {"site": {"changes": THERE}, **other}
    assert look({}, more={"known": known, "depends_on": ["other"]})["one"]["off"] == THERE


def test_a_host_that_is_changed_by_a_plan_is_refused_where_others_are_off(look, tmp_path):
    bundle = tmp_path / "there"
    bundle.touch()
    there = {"what": str(bundle), "from": "present", "to": "absent"}
    wanted = {"site_wanted": {**NOWHERE, "path": str(bundle)}}
    for planned in (changes.digest([]), ""):
        assert changes.CHANGED in look(wanted, more={"planned": planned})
    assert look(wanted, more={"planned": changes.digest([there])})["one"]["off"] == [there]
