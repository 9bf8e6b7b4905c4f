"""Inventories in all the forms that people have: the same hosts, groups and variables as `ansible-inventory --list`.

What is held against it is Ansible's own command, as a person gives it in the same folder.
"""

import json
from pathlib import Path

import ansible_forked
import pytest

from provisioner.ansible import inventory, site_settings
from provisioner.errors import ProvisionerError
from provisioner.store import selection

INI = """\
[web]
w[1:3].example ansible_port=2222 note="two words"
db1:5309 # a comment
[web:vars]
colour=blue
ratio=3
flag=True
[all_of:children]
web
"""

PROGRAM = """#!/bin/sh
echo '{"g": {"hosts": ["p1", "p2"], "vars": {"x": [1]}}, "_meta": {"hostvars": {"p1": {"y": {"z": 1}}}}}'
"""

PROGRAM_ONE_BY_ONE = """#!/bin/sh
[ "$1" = --host ] && { echo '{"who": "'$2'"}'; exit; }
echo '{"g": {"hosts": ["p1", "p2"]}}'
"""

HOSTS = "all: {hosts: {a1: , a2: , a3: }, children: {odd: {hosts: {a1: , a3: }}}}\n"

FORMS = {
    "yaml": {"i.yml": HOSTS},
    "yaml, no extension": {"i": HOSTS},
    "yaml, executable": {"i.yml": (HOSTS, 0o755)},
    "json": {"i.json": '{"all": {"hosts": {"a": {"x": [1, {"y": null}]}}}}'},
    "a host as a text": {"i.yml": "all:\n  hosts: a1\n"},
    "a group's hosts as a text": {"i.yml": "all:\n  children:\n    web:\n      hosts: a1\n"},
    "ranges": {"i.yml": "all:\n  hosts:\n    n[01:10]-[a:c].example: {x: 1}\n    m[0:9:3]:\n"},
    "anchors": {"i.yml": "all:\n  hosts:\n    a: &one {x: 1, l: [1]}\n    b: {<<: *one, y: 2}\n    c: *one\n"},
    "host and port": {"i.yml": "all:\n  hosts:\n    h1:2222:\n    'h2:22': {x: 1}\n"},
    "IPv4": {"i.yml": "all:\n  hosts:\n    192.0.2.[1:3]:\n    192.0.2.9:2222:\n"},
    "IPv6": {"i.yml": "all:\n  hosts:\n    '2001:db8::1':\n    '[2001:db8::2]:2222':\n    'fe80::1': {x: 1}\n"},
    "names beyond ASCII": {"i.yml": "all:\n  hosts:\n    gpu-über: {x: ü}\n"},
    "groups of groups": {
        "i.yml": "a:\n  children: {b: {children: {c: {hosts: {h1: }}}}}\n  vars: {x: 1}\nc: {vars: {x: 2}}\n"
    },
    "a group's priority": {
        "i.yml": "a: {hosts: {h: }, vars: {x: 1, ansible_group_priority: 10}}\nb: {hosts: {h: }, vars: {x: 2}}\n"
    },
    "a group's name with a dash": {"i.yml": "my-group: {hosts: {h1: }}\n"},
    "an empty group": {"i.yml": "all: {hosts: {h1: }}\nnone:\n"},
    "ini": {"hosts": INI},
    "ini, in .ini": {"i.ini": INI},
    "ini, IPv6": {"hosts": "[six]\n2001:db8::1\n[2001:db8::2]:2222 x=1\n"},
    "ini, an alias": {"hosts": "jumper ansible_port=5555 ansible_host=192.0.2.50\n"},
    "ini, values": {
        "hosts": "h a=1 b='x y' c=[1,2] d={'e':None} f=yes g='\"q\"'\n[all:vars]\nk=[1,2]\nl={'m': 1}\nn=yes # c\n"
    },
    "toml": {"i.toml": '[web.hosts]\nh1 = {}\nh2 = { ansible_port = 222 }\n[web.vars]\nx = ["a"]\n'},
    "a program": {"i": (PROGRAM, 0o755)},
    "a program, host by host": {"i": (PROGRAM_ONE_BY_ONE, 0o755)},
    "a program, named .sh": {"i.sh": (PROGRAM, 0o755)},
    "group_vars": {
        "i.yml": HOSTS,
        "group_vars/all.yml": "x: 1\ny: [a]\n",
        "group_vars/odd/one.yaml": "x: 2\n",
        "group_vars/odd/two": "z: 3\n",
        "host_vars/a2.json": '{"x": 4}',
    },
    "a generator": {
        "i.yml": "plugin: ansible.builtin.generator\nhosts: {name: '{{ a }}-{{ b }}', parents: [{name: g}]}\n"
        "layers: {a: [x, y], b: [1, 2]}\n"
    },
    "constructed": {
        "1.yml": HOSTS,
        "2.yml": "plugin: ansible.builtin.constructed\ncompose: {short: 'inventory_hostname[:1]'}\n"
        "groups: {first: inventory_hostname == 'a1'}\n"
        "keyed_groups: [{prefix: k, key: inventory_hostname}]\n",
    },
    "advanced ranges": {"-i": ["h[1:3],g[a:b].x,"]},
    "a list": {"-i": ["h1,h2:2222,"]},
    "a list of one": {"-i": ["h1,"]},
    "a folder": {
        "a.yml": HOSTS,
        "b": INI,
        "c.cfg": "nonsense [",
        ".hidden": "nonsense [",
        "group_vars/web.yml": "x: 1\n",
        "-i": ["."],
    },
    "a folder in a folder": {"in/a.yml": HOSTS, "b": INI, "-i": ["."]},
    "several": {
        "a.yml": HOSTS,
        "b": INI,
        "c.yml": "odd: {vars: {x: 1}, hosts: {c1: }}\n",
        "-i": ["a.yml", "b", "h9,", "c.yml"],
    },
    "several, the later wins": {
        "a.yml": "all: {hosts: {h: {x: 1}}}\n",
        "b.yml": "all: {hosts: {h: {x: 2}}}\n",
        "-i": ["a.yml", "b.yml"],
    },
    "several, each with its variables": {
        "one/a.yml": "all: {hosts: {h: }}\n",
        "one/group_vars/all.yml": "x: 1\n",
        "two/b.yml": "all: {hosts: {k: }}\n",
        "two/group_vars/all.yml": "y: 2\n",
        "-i": ["one/a.yml", "two/b.yml"],
    },
    "templates and unsafe": {"i.yml": "all: {hosts: {h: {x: '{{ y }}', z: !unsafe '{{ no }}'}}}\n"},
    "a vault's text": {
        "i.yml": "all:\n  hosts:\n    h:\n      secret: !vault |\n        $ANSIBLE_VAULT;1.1;AES256\n        6162\n"
    },
    "numbers and times": {"i.yml": "all: {hosts: {h: {a: 010, b: 1e3, c: 2026-11-29, d: yes, e: ~, f: 1_000, 7: x}}}"},
    "a link": {"real/i.yml": HOSTS, "real/group_vars/all.yml": "x: 1\n", "i.yml": Path("real/i.yml")},
}


@pytest.fixture(autouse=True)
def here(tmp_path, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setattr(site_settings, "SYSTEM_FILE", tmp_path / "none")
    return tmp_path


def written(form):
    """Write the files of a form and return what Ansible's -i is given."""
    for name, content in form.items():
        if name == "-i":
            continue
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            path.symlink_to(content)
            continue
        text, mode = content if isinstance(content, tuple) else (content, 0o644)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
    first = next(iter(form))
    return form.get("-i") or (["."] if len({name for name in form if "/" not in name}) > 1 else [first])


def asked(sources, *more):
    """Return what `ansible-inventory --list` says by itself."""
    done = ansible_forked.run("inventory", *(f"--inventory={source}" for source in sources), "--list", *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def hosts_of(document):
    return document["_meta"]["hostvars"].items()


def members(document, group):
    content = document.get(group, {})
    return set(content.get("hosts", ())).union(*(members(document, child) for child in content.get("children", ())))


@pytest.mark.parametrize("name", FORMS)
def test_the_same_as_ansible_says(name, monkeypatch):
    sources = written(FORMS[name])
    expected = asked(sources)
    answers = []
    ask = inventory._ask_ansible
    monkeypatch.setattr(
        inventory, "_ask_ansible", lambda *of: answers.append(ask(*of)) or json.loads(json.dumps(answers[-1]))
    )
    found = inventory.read(sources)
    (answer,) = answers
    # No inventory's: Ansible has it there where facts are not injected as variables.
    own = {host: {key: value for key, value in of.items() if key != "ansible_local"} for host, of in hosts_of(answer)}
    answer["_meta"]["hostvars"] = {host: variables for host, variables in own.items() if variables}
    assert answer == expected
    assert set(found.hosts) == members(expected, "all") != set()
    groups = {group for group in expected if group != "_meta"}
    assert found.groups == {group: members(expected, group) for group in groups}


LIMITS = [
    *("a1", "a*", "odd", "a1,a3", "odd:!a1", "odd:&a1", "!odd", "~a[12]", "odd[0]", "odd[-1]", "all[1:2]", "odd[0:]"),
    *(
        "2001:db8::1",
        "2001:db8::1,a1",
        "six",
        "six:a1",
        "all,!2001:db8::1",
        "db1",
        "web:!w1.example",
        "w?.example",
        "ungrouped",
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fleet")


@pytest.fixture
def fleet(folder, monkeypatch):
    """Three sources, read once."""
    monkeypatch.chdir(folder)
    sources = written({"a.yml": HOSTS, "b": INI, "c": "[six]\n2001:db8::1\n2001:db8::2\n", "-i": ["a.yml", "b", "c"]})
    found = inventory.read(sources, folder / "kept")
    monkeypatch.setattr(inventory, "read", lambda *_: found)
    return sources


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_means_what_it_means_to_ansible(fleet, limit):
    expected = members(asked(fleet, f"--limit={limit}"), "all")
    assert set(inventory.select(inventory.read(fleet), limit)) == expected != set()
    assert set(selection.hosts([limit], fleet)) - {limit} == expected - {limit}, "and to `facts --host`"


@pytest.mark.parametrize("pattern", ["odd", "odd[0]", "~a[12]", "all:!odd"])
def test_compare_takes_the_same_names(fleet, pattern):
    assert set(selection.group(fleet, pattern)) == set(inventory.select(inventory.read(fleet), pattern))


def test_a_host_that_the_inventory_has_no_more_is_meant_by_its_name(fleet):
    assert selection.hosts(["gone", "gone*", "odd,also"], fleet) == ("gone", "gone*", "a1", "a3", "also")
    assert selection.hosts(["2001:db8::9", "a:b"], []) == ("2001:db8::9", "a", "b")


def test_one_of_several_that_is_broken_is_refused():
    sources = written({"a.yml": HOSTS, "b.yml": "all: [", "-i": ["a.yml", "b.yml"]})
    with pytest.raises(ProvisionerError, match=r"b\.yml") as caught:
        inventory.read(sources)
    assert caught.value.code == 2 and "\n" not in str(caught.value)
    with pytest.raises(ProvisionerError, match=r"no inventory at .*nothing"):
        inventory.read(["a.yml", "nothing"])


def test_several_on_the_command_line(cli):
    written({"a.yml": HOSTS, "b": INI})
    code, _, err = cli("prepare", "-i", "a.yml", "-i", "b", "-l", "nobody")
    assert code == 2 and "the inventory has a2, a1, a3, w1.example" in err


def test_hosts_are_this_machine_where_the_site_says_so(monkeypatch):
    monkeypatch.setenv("ANSIBLE_TRANSPORT", "local")
    written({"a.yml": "all: {hosts: {a: , b: {ansible_connection: ssh}}}\n"})
    assert inventory.read("a.yml").local == {"a"}
