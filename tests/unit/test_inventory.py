"""Inventories, read without Ansible where they are YAML, and by it where they are anything else."""

import pytest

from provisioner import inventory
from provisioner.errors import ProvisionerError

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


@pytest.fixture
def fleet(tmp_path):
    path = tmp_path / "fleet.yml"
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
        ("~n0[12].*", 9),  # Ansible decides
    ],
)
def test_limits(fleet, limit, expected):
    assert len(inventory.select(fleet, limit)) == expected


@pytest.mark.parametrize("limit", ["nobody", "rack3", "alone:!alone", "rack1:&rack2"])
def test_a_limit_that_leaves_nothing(fleet, limit):
    with pytest.raises(ProvisionerError, match="matches no host"):
        inventory.select(fleet, limit)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("all: [", "not YAML"),
        ("a\tb: c: d", "not YAML"),
        ("- a\n- b", "not a mapping"),
        ("just text", "not a mapping"),
        ("", "not a mapping"),
        ("all: {}", "no hosts"),
        ("all:\n  hosts: [h1, h2]", "group all"),
        ("all:\n  hots: {h1: }", "group all"),
        ("all:\n  children: {web: text}", "group web"),
        ("\x00", "cannot read"),
    ],
)
def test_broken_yaml_is_named_with_its_place(tmp_path, text, said):
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
    with pytest.raises(ProvisionerError, match="cannot read"):
        inventory.read(str(path))


def test_names_separated_by_commas():
    assert list(inventory.read("h1, h2,").hosts) == ["h1", "h2"]


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
