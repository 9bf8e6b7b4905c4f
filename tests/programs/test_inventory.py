"""Inventories, as Ansible reads them, and those that it would not come to an end with."""

import os
import re
from pathlib import Path

import pytest

from provisioner.ansible import inventory
from provisioner.errors import ProvisionerError
from provisioner.text import bounds

FLEET = """
all:
  vars: {ansible_user: someone}
  hosts:
    alone:
  children:
    racks:
      children:
        rack1:
          hosts:
            n[01:03].example:
            secret: {ansible_password: !vault "$ANSIBLE_VAULT;1.1"}
        rack2:
          hosts:
            x[a:c]:
    here:
      vars: {ansible_connection: local}
      hosts: {me: }
"""


BOMB = """
all:
  hosts: {h1: }
  vars:
    a: &a [x, x, x, x, x, x, x, x, x, x]
    b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]
    c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]
    d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]
    e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]
    f: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e, *e]
    g: [*f, *f, *f, *f, *f, *f, *f, *f, *f, *f]
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    path = tmp_path_factory.mktemp("fleet") / "fleet.yml"
    path.write_text(FLEET)
    return inventory.read(str(path))


def test_hosts_of_all_groups_and_ranges(fleet):
    assert list(fleet.hosts) == [
        *("alone", "n01.example", "n02.example", "n03.example", "secret", "xa", "xb", "xc", "me")
    ]
    assert fleet.local == {"me"}


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (None, 9),
        ("all", 9),
        ("alone", 1),
        ("n*", 3),
        ("rack1", 4),
        ("racks", 7),
        ("racks:!rack2", 4),
        ("racks,!rack1", 3),
        ("racks:&rack2", 3),
        ("!rack1", 5),
        ("alone,me", 2),
        ("~n0[12].*", 2),
        ("rack1[0]", 1),
    ],
)
def test_limits(fleet, limit, expected):
    assert len(inventory.select(fleet, limit)) == expected


@pytest.mark.parametrize("limit", ["nobody", "rack3", "alone:!alone", "rack1:&rack2", "~nobody", "rack1[0:0:0]"])
def test_a_limit_that_leaves_nothing(fleet, limit):
    with pytest.raises(ProvisionerError, match="matches no host"):
        inventory.select(fleet, limit)


@pytest.mark.parametrize("limit", ["~(", "@", "@/dev/zero", "@nothing/there", "rack1[99999999999999999999]"])
def test_a_limit_that_ansible_does_not_understand(fleet, limit):
    with pytest.raises(ProvisionerError, match=re.escape(f"--limit {limit}: ")) as caught:
        inventory.select(fleet, limit)
    assert caught.value.code == 2 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("all: [", r"YAML parsing failed: .*broken\.yml:2:1"),
        ("a\tb: c: d", "YAML parsing failed"),
        ("- a\n- b", "should be a dictionary"),
        ("just text", "should be a dictionary"),
        ("", "no hosts"),
        ("all: {}", "no hosts"),
        ("all:\n  hosts: [h1, h2]", '"hosts" entry for "all" group'),
        ("all:\n  hosts: {h1: }\n  hots: {h2: }", "unexpected key .hots. in group .all."),
        ("all:\n  children: {web: text}", "web is not"),
        ("\x00", "is not the name of a host"),
        ("all:\n  hosts: {a/b: }", "is not the name of a host"),
        ("all:\n  hosts:\n    h[0:9:0]:", "must not be zero"),
        ("all: &all\n  children: {web: *all}", "recursion"),
        ("all:\n  hosts: {h1: }\n  vars: &all {x: *all}", "recursion"),
        ("all: {hosts: {h1: {x: &deep [*deep]}}}", "recursion"),
        ("all: " + "[" * 50_000, "."),
        ("all:\n  hosts:\n    h[0:999999999]:", "takes more than 256 MiB of memory"),
        (BOMB, "takes more than 1 s of this machine's processor"),
    ],
)
def test_broken_yaml_is_named_with_its_place(tmp_path, monkeypatch, text, said):
    monkeypatch.setattr(bounds, "INVENTORY_MEMORY", 256 * 2**20)  # the same, sooner
    if text == BOMB:
        monkeypatch.setattr(bounds, "INVENTORY_CPU", 1)
    path = tmp_path / "broken.yml"
    path.write_text(text)
    with pytest.raises(ProvisionerError, match=said) as caught:
        inventory.read(str(path))
    assert caught.value.code == 2
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_not_text(tmp_path):
    path = tmp_path / "broken.yml"
    path.write_bytes(b"all: \xff\xfe")
    with pytest.raises(ProvisionerError, match="YAML parsing failed"):
        inventory.read(str(path))


def test_names_separated_by_commas():
    assert list(inventory.read("h1, h2,").hosts) == ["h1", "h2"]


def test_ansible_leaves_no_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ANSIBLE_LOCAL_TEMP", str(tmp_path / "temporary"))
    inventory.read("h1,")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_ini_is_left_to_ansible(tmp_path):
    path = tmp_path / "hosts"
    path.write_text("[web]\nh1\nh2 ansible_connection=local\n[db]\nh3\n")
    found = inventory.read(str(path))
    assert set(found.hosts) == {"h1", "h2", "h3"}
    assert found.local == {"h2"}
    assert inventory.select(found, "web") == ("h1", "h2")


def test_ini_that_ansible_cannot_read(tmp_path):
    path = tmp_path / "hosts"
    path.write_text("[web\nh1 = = =\n{{\n")
    with pytest.raises(ProvisionerError) as caught:
        inventory.read(str(path))
    assert caught.value.code == 2
    assert "\n" not in str(caught.value)


def refused(source, said):
    """Read the inventory, which must be refused, and return the line."""
    with pytest.raises(ProvisionerError, match=said) as caught:
        inventory.read(str(source))
    line = str(caught.value)
    assert caught.value.code == 2 and "\n" not in line and "; " in line
    return line


def test_what_holds_for_a_group_holds_for_its_hosts(tmp_path):
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/all.yml").write_text("ansible_connection: local\nprovisioner_profile: registries\n")
    (tmp_path / "fleet.yml").write_text("all:\n  hosts: {h1: }\n")
    found = inventory.read(str(tmp_path / "fleet.yml"))
    assert (found.local, found.profiles) == ({"h1"}, {"h1": "registries"})


def test_variables_of_unexpected_types(tmp_path):
    path = tmp_path / "fleet.yml"
    path.write_text("all:\n  hosts: {h1: {ansible_connection: [x], provisioner_profile: {a: b}}}\n")
    assert inventory.read(str(path)).local == set()


def test_groups_that_hold_one_another_many_times_over(tmp_path):
    """Each of ten groups is in each of ten: there are more ways from the first to the last than anybody can go."""
    lines = [
        f"[g{n}x{m}:children]\n" + "".join(f"g{n + 1}x{k}\n" for k in range(10)) for n in range(9) for m in range(10)
    ]
    path = tmp_path / "fleet.ini"
    path.write_text("".join(lines) + "".join(f"[g9x{k}]\nh1\n" for k in range(10)))
    found = inventory.read(str(path))
    assert list(found.hosts) == ["h1"] and found.groups["g0x0"] == {"h1"}


@pytest.mark.parametrize(
    "name", ["fleet.yml", "group_vars/all.yml", "group_vars/all/x.yml", "host_vars/h1", "group_vars"]
)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_a_device_is_not_opened(tmp_path, name, kind):
    (tmp_path / "fleet.yml").write_text("all:\n  hosts: {h1: }\n")
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    assert name in refused(tmp_path / "fleet.yml", "is a pipe, a device or a socket")
    assert name in refused(tmp_path, "is a pipe, a device or a socket")


def test_a_folder_that_is_no_inventory(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "INVENTORY_FILES", 3)
    for number in range(4):
        (tmp_path / f"{number}.yml").touch()
    refused(tmp_path, "has more than 3 files")


def test_a_file_that_is_larger_than_any_inventory(tmp_path):
    with (tmp_path / "fleet.yml").open("wb") as file:
        file.truncate(bounds.INVENTORY + 1)
    refused(tmp_path / "fleet.yml", "64 MiB")


@pytest.fixture
def program(tmp_path):
    """An inventory that is a program, given the lines of a shell script."""

    def make(text):
        path = tmp_path / "fleet"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('echo \'{"all": {"hosts": ["h1"]}}\' && exit 3', "script"),
        ("echo nonsense", "script"),
        ("while :; do :; done", "script"),
        ("yes", "takes more than 64 MiB of memory"),
        ("sleep 1000 & echo $! >pid; wait", "takes more than 2 s to read"),
    ],
)
def test_a_program_that_is_no_inventory(program, tmp_path, monkeypatch, text, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bounds, "INVENTORY_SECONDS", 60 if said == "script" else 2)
    monkeypatch.setattr(bounds, "INVENTORY_CPU", 2)
    if "memory" in said:
        monkeypatch.setattr(bounds, "INVENTORY_MEMORY", 64 * 2**20)
        monkeypatch.setattr(bounds, "INVENTORY_SECONDS", 60)
        monkeypatch.setattr(bounds, "INVENTORY_CPU", 60)  # of which a busy machine may take the most for the start
    refused(program(text), said)
    if "pid" in text:
        pid = (tmp_path / "pid").read_text().strip()
        state = Path(f"/proc/{pid}/stat")
        assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z", "it goes on"


@pytest.mark.parametrize("source", ["x" * 300, "x" * 5000, "~nosuchuser/x", "a\0b"])
def test_what_no_file_can_be_called(source):
    assert len(refused(source, "cannot be used")) < 200


RACK1 = ("n01.example", "n02.example", "n03.example", "secret")


def test_ansible_is_not_asked_again_while_the_files_stay_as_they_are(tmp_path, monkeypatch):
    path, state = tmp_path / "site" / "hosts.yml", tmp_path / "state"
    path.parent.mkdir()
    path.write_text(FLEET)
    first = inventory.read(str(path), state)
    with monkeypatch.context() as patched:
        patched.setattr(inventory, "_ask_ansible", lambda *_: pytest.fail("Ansible was asked"))
        assert inventory.read(str(path), state) == first
    (kept,) = (state / "inventories").iterdir()
    assert "someone" not in kept.read_text(), "a variable that we have no use for"
    kept.write_text('{"hosts": 1}')
    assert inventory.read(str(path), state) == first
    (path.parent / "group_vars").mkdir()
    (path.parent / "group_vars" / "rack1.yml").write_text("provisioner_profile: offline\n")
    assert inventory.read(str(path), state).profiles == dict.fromkeys(RACK1, "offline")
    path.write_text("all: {hosts: {other: }}")
    assert list(inventory.read(str(path), state).hosts) == ["other"]


def _program(folder):
    path = folder / "hosts"
    path.write_text("""#!/bin/sh\necho '{"all": {"hosts": ["h1"]}}'\n""")
    path.chmod(0o755)
    return path


def _plugin(folder):
    path = folder / "hosts.yml"
    path.write_text("plugin: ansible.builtin.generator\nhosts: {name: h1}\nlayers: {}\n")
    return path


def _with_a_link_to_nowhere(folder):
    path = folder / "hosts.yml"
    path.write_text("all: {hosts: {h1: }}")
    (folder / "host_vars").mkdir()
    (folder / "host_vars" / "h1.yml").symlink_to("nowhere")
    return path


@pytest.mark.parametrize("make", [_program, _plugin, _with_a_link_to_nowhere])
def test_what_may_change_by_itself_is_not_kept(tmp_path, monkeypatch, make):
    monkeypatch.setattr(inventory, "_ask_ansible", lambda *_: {"all": {"hosts": ["h1"]}})
    assert list(inventory.read(str(make(tmp_path)), tmp_path / "state").hosts) == ["h1"]
    assert not (tmp_path / "state").exists()
