"""The checkout as a collection: full names everywhere, every input named, nothing that only a checkout has."""

import ast
import re
import subprocess
from pathlib import Path

import jinja2
import jinja2.meta
import pytest
import yaml

import provisioner

ROOT = Path(__file__).parents[2]
NAME = "provisioner.gpu_hosts"
PLUGINS = {path.stem for kind in ("action", "lookup", "modules") for path in (ROOT / "plugins" / kind).glob("*.py")}
ROLES = {path.name for path in (ROOT / "roles").iterdir()}
FILES = sorted(
    path
    for top in ("playbooks", "roles", "tests/hosts", "benchmarks")
    for path in (ROOT / top).rglob("*.yml")
    if "argument_specs" not in path.name and "files" not in path.parts
)
IMPORTERS = {"plugins/plugin_utils/package.py", "plugins/action/scenario_collect.py"}
"""What may import the package: each does without it where it is not there, or says so."""


def short_names(value):
    """Yield each short name of a role, a module or an action of ours."""
    if isinstance(value, list):
        for inner in value:
            yield from short_names(inner)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if (name in PLUGINS and "name" in value) or (name == "role" and inner in ROLES):
                yield name
            if str(name).endswith(("include_role", "import_role")) and inner["name"] in ROLES:
                yield inner["name"]
            if not str(name).startswith(NAME):  # what one of ours is given
                yield from short_names(inner)
        if "hosts" in value:
            yield from (role for role in value.get("roles", ()) if str(role) in ROLES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_short_name_is_left(path):
    text = path.read_text(encoding="utf-8")
    found = list(short_names(yaml.safe_load(text)))
    found += [name for name in re.findall(r"(?:lookup|query|q)\(\s*'([^']+)'", text) if name in PLUGINS]
    assert found == []


@pytest.mark.parametrize("role", sorted(ROLES))
def test_every_input_of_a_role_is_in_its_argument_specs(role):
    files = [path for path in (ROOT / "roles" / role / "defaults").rglob("*.yml") if not path.is_symlink()]
    inputs = {name for path in files for name in yaml.safe_load(path.read_text(encoding="utf-8"))}
    if any(re.search(r"{{.*\bprofile\.", path.read_text(encoding="utf-8")) for path in files):
        inputs.add("profile")
    specs = ROOT / "roles" / role / "meta" / "argument_specs.yml"
    document = yaml.safe_load(specs.read_text(encoding="utf-8")) if specs.exists() else None
    options = document["argument_specs"]["main"]["options"] if document else {}
    assert inputs - options.keys() == set()
    assert [name for name, option in options.items() if not option.get("description")] == []


class Every(dict):  # type: ignore[type-arg]
    """Jinja's filters or tests, with those of Ansible, whatever they are called."""

    def get(self, name, default=None):
        return super().get(name, len)


JINJA = jinja2.Environment(autoescape=False)  # noqa: S701 - nothing is rendered
JINJA.filters, JINJA.tests = Every(JINJA.filters), Every(JINJA.tests)
CONDITIONS = ("when", "until", "changed_when", "failed_when")
OF_ANSIBLE = {"inventory_hostname", "item", "lookup", "now", "omit", "role_path"}


def texts(value, *, bare=False):
    """Yield the templates in a value of a YAML file; a condition is one without its braces."""
    if isinstance(value, str):
        yield "{{ " + value + " }}" if bare and "{{" not in value else value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(key)
            yield from texts(inner, bare=key in CONDITIONS)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner, bare=bare)


def of_role(role, *kinds):
    """Return the documents of a role's files of these kinds."""
    paths = (path for kind in kinds for path in (ROOT / "roles" / role / kind).rglob("*.yml"))
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths]


def imported(role):
    """Return the roles whose variables a role has with its own, since its tasks import them."""
    tasks = [task for document in of_role(role, "tasks") for task in document]
    return [task["ansible.builtin.import_role"]["name"] for task in tasks if "ansible.builtin.import_role" in task]


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_role_reads_nothing_of_the_play_around_it_that_its_argument_specs_do_not_name(role):
    templates = [*texts(of_role(role, "tasks", "defaults", "vars"))]
    templates += [path.read_text(encoding="utf-8") for path in (ROOT / "roles" / role / "templates").glob("*.j2")]
    read = {name for text in templates for name in jinja2.meta.find_undeclared_variables(JINJA.parse(text))}
    own = [role, *(name.rpartition(".")[2] for name in imported(role))]
    (specs,) = (one["argument_specs"] for one in of_role(role, "meta") if "argument_specs" in one)
    named = {name for entry in specs.values() for name in entry["options"]} | OF_ANSIBLE
    others = {name for name in read - named if not name.startswith(("ansible_", *(f"{one}_" for one in own)))}
    assert others == set()


def task_names(value):
    """Yield the names of plays, blocks and tasks."""
    for one in value if isinstance(value, list) else ():
        yield one.get("name", "")
        for kind in ("pre_tasks", "tasks", "post_tasks", "block", "rescue", "always"):
            yield from task_names(one.get(kind))


@pytest.mark.parametrize("path", [path for path in FILES if {"tasks", "playbooks"} & {*path.parts}], ids=str)
def test_the_name_of_a_task_is_a_verb_and_names_its_object(path):
    for name in task_names(yaml.safe_load(path.read_text(encoding="utf-8"))):
        assert not re.match(r"(Have|Get|See|Say|With|Without)\b", name), name
        assert not re.search(r"\b(it|its|them|those|what is|so)\b", name), name
        assert len(name.split()) > 1, name


def test_only_these_import_the_package():
    found = set()
    for path in (ROOT / "plugins").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [name.name for name in node.names] if isinstance(node, ast.Import) else []
            if any(name.partition(".")[0] == "provisioner" for name in names):
                found.add(str(path.relative_to(ROOT)))
    assert found == IMPORTERS


def test_the_collection_is_of_the_packages_version():
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    assert (f"{galaxy['namespace']}.{galaxy['name']}", galaxy["version"]) == (NAME, provisioner.__version__)
    assert yaml.safe_load((ROOT / "meta/runtime.yml").read_text(encoding="utf-8"))["requires_ansible"]


def test_what_ansible_test_ignores_is_the_licence_rule_of_each_module_and_no_more():
    plugins = sorted(path for kind in ("lookup", "modules") for path in (ROOT / "plugins" / kind).glob("*.py"))
    for path in (ROOT / "tests/sanity").iterdir():
        lines = [line.partition(" #")[0] for line in path.read_text(encoding="utf-8").splitlines()]
        assert lines == [f"{plugin.relative_to(ROOT)} validate-modules:missing-gplv3-license" for plugin in plugins]


def test_the_link_leads_to_the_checkout_and_git_has_it_as_a_link():
    link = ROOT / "ansible_collections/provisioner/gpu_hosts"
    assert link.is_symlink() and link.resolve() == ROOT.resolve()
    listed = subprocess.check_output(["git", "ls-files", "-s", link], cwd=ROOT, text=True)
    assert listed.startswith("120000 ")


def test_no_task_registers_its_result_as_a_variable_of_its_role():
    """Ansible would take the result for what a default or an inventory says, from then on."""
    for role in (ROOT / "roles").iterdir():
        files = [role / name for name in ("defaults/main.yml", "vars/main.yml")]
        own = {name for file in files if file.exists() for name in yaml.safe_load(file.read_text()) or {}}
        for tasks in role.glob("tasks/*.yml"):
            registered = set(re.findall(r"^\s*register: (\S+)$", tasks.read_text(), re.MULTILINE))
            assert not registered & own, f"{tasks}: {registered & own}"
