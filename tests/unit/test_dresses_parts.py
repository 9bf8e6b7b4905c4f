"""What the test of the dresses goes by: a snapshot's parts, what two of them differ in, and the day's sample."""

import datetime
import json
from pathlib import Path

import pytest
import snapshot
import wardrobe
from differences import gained, lost
from sample import chosen, release

HAD = {
    "package": {"containerd.io:amd64": "1.7.2 hi"},
    "file": {"/etc/hosts": "-rw-r--r-- root:root aaa"},
    "daemon.json": {"log-driver": '"journald"'},
    "container": {"ab12": "process 7, started at tick 99"},
    "unit": {"docker.service": "up, process 5, invocation x", "nginx.service": "up, process 6, invocation y"},
    "sysctl": {"net.ipv4.ip_forward": "0", "net.core.somaxconn": "4096"},
    "mount": {},
}


def changed(section: str, name: str, value: str | None) -> dict[str, dict[str, str]]:
    things = {**HAD[section], name: value}
    return {**HAD, section: {name: value for name, value in things.items() if value is not None}}


def test_a_host_that_stayed_as_it_was_differs_in_nothing() -> None:
    assert lost(HAD, HAD) == gained(HAD, HAD) == []


@pytest.mark.parametrize(
    ("section", "name", "now", "said"),
    [
        ("package", "containerd.io:amd64", None, "package containerd.io:amd64: was 1.7.2 hi, is gone"),
        ("package", "containerd.io:amd64", "1.7.2 ii", "is 1.7.2 ii"),  # no longer held
        ("file", "/etc/hosts", "-rw------- root:root aaa", "was -rw-r--r-- root:root aaa, is -rw------- root:root aaa"),
        ("daemon.json", "log-driver", None, "daemon.json log-driver"),
        ("container", "ab12", "process 8, started at tick 120", "container ab12"),
        ("unit", "nginx.service", "up, process 9, invocation z", "unit nginx.service"),
        ("unit", "docker.service", "up, process 9, invocation z", "unit docker.service"),  # a container runs
        ("sysctl", "net.core.somaxconn", "128", "sysctl net.core.somaxconn"),
    ],
)
def test_what_a_site_has_lost_is_told(section: str, name: str, now: str | None, said: str) -> None:
    (line,) = lost(HAD, changed(section, name, now))
    assert said in line


def test_an_engine_without_containers_may_be_restarted_but_not_stopped() -> None:
    idle = {**HAD, "container": {}}
    restarted = {**idle, "unit": {**HAD["unit"], "docker.service": "up, process 9, invocation z"}}
    stopped = {**idle, "unit": {"nginx.service": HAD["unit"]["nginx.service"]}}
    assert lost(idle, restarted) == []
    assert lost(idle, stopped) == ["unit docker.service: was up, process 5, invocation x, is gone"]


def test_forwarding_may_be_switched_on() -> None:
    assert lost(HAD, changed("sysctl", "net.ipv4.ip_forward", "1")) == []


def test_what_is_new_is_told_but_no_unit_that_runs_by_itself() -> None:
    assert lost(HAD, changed("package", "docker.io:amd64", "20.10 ii")) == []
    assert gained(HAD, changed("package", "docker.io:amd64", "20.10 ii")) == ["package docker.io:amd64: new, 20.10 ii"]
    assert gained(HAD, changed("unit", "apt-news.service", "up")) == []


def test_a_file_is_known_by_kind_mode_owner_and_content(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("a")
    file.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to("file")
    before = snapshot.describe(str(file))
    assert before.startswith("-rw-r----- ")
    assert snapshot.describe(str(link)).endswith(" -> file")
    file.write_text("b")
    assert snapshot.describe(str(file)) != before
    assert sorted(snapshot.walk(str(tmp_path))) == [str(tmp_path), str(file), str(link)]


@pytest.mark.parametrize("content", ['{"a": {"b": 1, "c": []}, "d": {}}', '\ufeff{"d": {}, "a": {"c": [], "b": 1}}'])
def test_the_engine_s_settings_are_known_one_by_one(tmp_path: Path, content: str) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(content, encoding="utf-8")
    assert snapshot.daemon_json(path) == {"a.b": "1", "a.c": "[]", "d": "{}"}
    path.write_text("{", encoding="utf-8")
    assert snapshot.daemon_json(path) == {}


@pytest.mark.parametrize(
    "cgroup",
    [
        "0::/system.slice/docker-{}.scope",
        "12:pids:/docker/{}",
        "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{}.scope",
        "0::/machine.slice/libpod-{}.scope/container",
        "0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{}.scope",
    ],
)
def test_a_container_is_known_by_its_control_group(cgroup: str) -> None:
    name = "0123456789abcdef" * 4
    matched = snapshot.CONTAINER.search(cgroup.format(name))
    assert matched and matched[1] == name
    assert not snapshot.CONTAINER.search("0::/system.slice/docker.service")


def test_a_snapshot_is_json_of_flat_sections(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "FOLDERS", ("/etc",))
    snapshot.main()
    found = json.loads(capsys.readouterr().out)
    assert set(HAD) <= set(found)
    assert all(isinstance(value, str) for section in found.values() for value in section.values())
    assert "/etc/passwd: root" in found["user or group"]


NAMES = [f"dress-{chr(letter)}" for letter in range(ord("a"), ord("a") + 23)]
DAY = datetime.date(2026, 11, 29)


def test_the_sample_is_the_day_s_and_goes_round_all() -> None:
    today = chosen("", NAMES, DAY, 5)
    assert len(set(today)) == 5
    assert today == chosen("", list(reversed(NAMES)), DAY, 5)
    days = [chosen("", NAMES, DAY + datetime.timedelta(days=day), 5) for day in range(5)]
    assert {name for day in days for name in day} == set(NAMES)


def test_dresses_can_be_asked_for() -> None:
    assert chosen("all", NAMES, DAY, 5) == NAMES
    assert chosen("dress-b, dress-a", NAMES, DAY, 5) == ["dress-b", "dress-a"]
    assert sorted(chosen("", NAMES[:3], DAY, 5)) == NAMES[:3]
    with pytest.raises(ValueError, match="no dress-x; there are dress-a"):
        chosen("dress-x", NAMES, DAY, 5)


def test_the_release_changes_with_the_day_unless_it_is_asked_for() -> None:
    assert {release([12, 13], "", DAY), release([12, 13], "", DAY + datetime.timedelta(days=1))} == {12, 13}
    assert release([12, 13], "12", DAY) == 12
    assert release([13], "12", DAY) == 13


def test_what_a_command_said_of_a_host_is_taken_from_what_it_says_of_all() -> None:
    looked = {"event": "Looked", "host": "lab-a", "role": "docker_engine", "changes": [], "notes": ["mind this"]}
    said = wardrobe.Said(
        "plan",
        json.dumps({"hosts": {"lab-a": {"changes": []}, "lab-b": {"changes": [1]}}}),
        "\n".join(
            [
                json.dumps(looked),
                json.dumps(looked | {"host": "lab-b", "notes": ["another's"]}),
                "provisioner: lab-b: failed in 'Look at the host': another's",
                "provisioner: lab-a: failed in 'Look at the host': the engine is silent; start it",
                "provisioner: lab-a: something to know",
            ]
        ),
    )
    step = wardrobe.of_host(said, "lab-a")
    assert step.document == {"changes": []}
    assert step.notes == ["mind this"]
    assert step.failures == ["failed in 'Look at the host': the engine is silent; start it"]
    assert "something to know" in str(step) and "another's" not in str(step)


def test_a_command_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "bin" / "provisioner"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\necho 'provisioner: waiting' >&2\nsleep 60\n", encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.setattr(wardrobe, "ROOT", tmp_path)
    monkeypatch.setattr(wardrobe, "LONGEST", 0.2)
    monkeypatch.setattr(wardrobe, "PATIENCE", 0.2)
    said = wardrobe.run("prepare", tmp_path / "inventory.yml", tmp_path)
    assert "`prepare` had not ended" in said.trouble and "provisioner: waiting" in said.trouble
