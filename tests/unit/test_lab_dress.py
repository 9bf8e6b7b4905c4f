"""Dresses of lab hosts: each file fits the model, and a wrong name or file is one line."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioner import lab as labs
from provisioner.errors import ProvisionerError
from provisioner.lab import Lab, LabHost, access, dress, script, wear

GOOD: dict[str, Any] = {
    "what": "A host with a site's own engine",
    "report": "https://example.org/issues/1",
    "debian": [12, 13],
    "expect": {"prepare": "refused", "says": "an engine of the site's"},
    "script": "true\n",
}


def parse(**changed: Any) -> dress.Dress:
    content = {key: value for key, value in (GOOD | changed).items() if value is not None}
    return dress.parse("site-engine", yaml.safe_dump(content))


@pytest.mark.parametrize("name", dress.names())
def test_a_shipped_dress_is_right_and_its_script_is_bash(name: str) -> None:
    found = dress.load(name)
    subprocess.run(["bash", "-n", "-c", found.script], check=True)


def test_a_dress_is_what_its_file_says() -> None:
    found = parse(stands_in="the driver", vars={"docker_engine_users": ["fred"]})
    assert (found.name, found.debian, found.expect.prepare) == ("site-engine", (12, 13), "refused")
    assert found.vars == {"docker_engine_users": ["fred"]}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"what": None}, "what: Field required"),
        ({"what": "two\nlines"}, "what: "),
        ({"report": "issue 15"}, "report: "),
        ({"debian": []}, "debian: "),
        ({"debian": [12, 11]}, "debian: Value error, no lab hosts with Debian 11"),
        ({"expect": {"prepare": "fails"}}, "expect.prepare: Input should be 'ready' or 'refused'"),
        ({"expect": {"prepare": "ready", "says": "("}}, "expect.says: Value error, not a regular expression"),
        ({"script": None}, "script: Field required"),
        ({"scripts": "true"}, "scripts: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ProvisionerError) as caught:
        parse(**changed)
    assert f"the dress 'site-engine' is wrong: {said}" in str(caught.value)
    assert caught.value.code == 2 and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["- a\n- list\n", "", "what: [", "what: 'a\n  b: {"])
def test_a_file_that_is_no_dress_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ProvisionerError, match=r"^the dress 'odd' is wrong: [^\n]*; mend its file$"):
        dress.parse("odd", text)


def test_a_file_s_name_becomes_part_of_a_host_s() -> None:
    with pytest.raises(ProvisionerError, match="name: "):
        dress.parse("Site_Engine", yaml.safe_dump(GOOD))


@pytest.fixture
def wardrobe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name, releases in {"engine-on-tcp": [12, 13], "trixie": [13]}.items():
        (tmp_path / f"{name}.yml").write_text(yaml.safe_dump(GOOD | {"debian": releases}))
    monkeypatch.setattr(dress, "_folder", lambda: tmp_path)
    dress.load.cache_clear()
    return tmp_path


def test_an_unknown_dress_is_refused_with_what_there_is(wardrobe: Path, tmp_path: Path) -> None:
    with pytest.raises(ProvisionerError, match=r"^--as: there is no dress 'engine-tcp'; did you mean engine-on-tcp\?$"):
        labs.up("lab", 0, None, "root", tmp_path / "state", print, ["engine-tcp"])
    with pytest.raises(ProvisionerError, match=r"'nothing-like-it'; `provisioner lab dresses` lists them$"):
        dress.pick(["nothing-like-it"], None)
    assert not (tmp_path / "state").exists()


def test_a_host_has_the_release_that_its_dress_fits(wardrobe: Path) -> None:
    def picked(*wanted: str, debian: int | None = None) -> list[tuple[str, int]]:
        return [(one.name, release) for one, release in dress.pick(wanted, debian)]

    assert picked("trixie", "engine-on-tcp", "trixie") == [("trixie", 13), ("engine-on-tcp", 12)]
    assert picked("engine-on-tcp", debian=13) == [("engine-on-tcp", 13)]
    with pytest.raises(ProvisionerError, match="'trixie' does not fit Debian 12; use --debian 13"):
        picked("engine-on-tcp", "trixie", debian=12)


def test_the_inventory_has_what_a_site_s_would_have(wardrobe: Path, tmp_path: Path) -> None:
    (wardrobe / "told.yml").write_text(yaml.safe_dump(GOOD | {"vars": {"docker_engine_source": "docker"}}))
    path = tmp_path / "inventory.yml"
    hosts = (LabHost("lab-1", "192.0.2.2", "root", 12, "running"),)
    hosts += (LabHost("lab-told", "192.0.2.3", "root", 12, "running", "told"),)
    access.write_inventory(tmp_path, Lab("lab", path, hosts), {})
    written = yaml.safe_load(path.read_text())["all"]["hosts"]
    assert written["lab-told"]["docker_engine_source"] == "docker"
    assert "docker_engine_source" not in written["lab-1"]


def test_a_script_that_fails_is_told_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "ssh_command", lambda folder, host: ["sh", "-c"])
    host = LabHost("lab-x", "192.0.2.2", "root", 12, "running", "site-engine")
    with pytest.raises(ProvisionerError, match="the dress 'site-engine' failed with exit code 3"):
        wear.put_on(host, parse(script="false | true || echo 'no such unit' >&2; exit 3"), tmp_path, print)
    assert "lab-x: no such unit" in capsys.readouterr().out
    wear.put_on(host, parse(script="true"), tmp_path, print)
