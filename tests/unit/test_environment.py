"""The environment in which Ansible runs: what is ours, and what is the site's."""

from provisioner import environment
from provisioner.paths import ansible_dir


def test_ours_is_the_configuration_where_the_site_has_none(monkeypatch, tmp_path):
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)
    site = tmp_path / "ansible.cfg"
    monkeypatch.setattr(environment, "SITE_CONFIGS", (str(site),))
    assert environment.ansible_environment()["ANSIBLE_CONFIG"] == str(ansible_dir() / "ansible.cfg")
    site.touch()
    assert "ANSIBLE_CONFIG" not in environment.ansible_environment()


def test_what_the_user_says_goes_over_ours(monkeypatch):
    monkeypatch.setenv("ANSIBLE_CONFIG", "/theirs.cfg")
    monkeypatch.setenv("ANSIBLE_TIMEOUT", "7")
    found = environment.ansible_environment()
    assert (found["ANSIBLE_CONFIG"], found["ANSIBLE_TIMEOUT"]) == ("/theirs.cfg", "7")
