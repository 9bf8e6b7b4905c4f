"""The parts of the lab that need no engine: what may be asked for, and the files that a lab writes."""

import shlex
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioner import lab as labs
from provisioner.errors import ProvisionerError
from provisioner.lab import Lab, LabHost, access, kernel_limits, mirror
from provisioner.lab.engine import engine
from provisioner.lab.guard import alone

DEBIAN = "http://mirror.example/debian/"
SECURITY = "https://mirror.example/debian-security/"


def targets(*rows: tuple[str, str, str, str]) -> str:
    return "".join("\t".join(row) + "\n" for row in rows)


def test_another_release_comes_from_the_same_mirrors() -> None:
    known = targets(
        (DEBIAN, "bookworm", "main", "Debian"),
        (DEBIAN, "bookworm", "main", "Debian"),  # a second architecture
        (DEBIAN, "bookworm", "contrib", "Debian"),
        (DEBIAN, "bookworm-updates", "main", "Debian"),
        (DEBIAN, "bookworm-backports", "main", "Debian Backports"),
        (SECURITY, "bookworm-security", "main", "Debian"),
        ("http://engine.example/debian/", "bookworm", "main", "Docker"),
    )
    assert mirror.for_release(known, "bookworm", "trixie") == [
        f"deb {DEBIAN} trixie main",
        f"deb {DEBIAN} trixie-updates main",
        f"deb {SECURITY} trixie-security main",
    ]


def test_updates_without_their_release_are_no_mirror() -> None:
    only = targets(("cdrom:[Debian]/", "bookworm", "main", "Debian"), (SECURITY, "bookworm-security", "main", "Debian"))
    assert mirror.for_release(only, "bookworm", "bookworm") == []


def test_of_a_list_of_mirrors_the_first_is_taken(tmp_path: Path) -> None:
    listed = tmp_path / "debian.list"
    listed.write_text(f"# a comment\n{DEBIAN}\tpriority:1\nhttp://other.example/debian\n")
    known = targets((f"mirror+file:{listed}/", "bookworm", "main", "Debian"))
    assert mirror.for_release(known, "bookworm", "bookworm") == [f"deb {DEBIAN} bookworm main"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": "A lab"}, "--name: 'A lab' cannot be the name of a lab; use at most 32"),
        ({"name": "../lab"}, "cannot be the name"),
        ({"name": "lab-"}, "cannot be the name"),
        ({"name": ""}, "cannot be the name"),
        ({"count": 0}, "a lab of 0 hosts; ask for 1 to 200"),
        ({"count": 201}, "a lab of 201 hosts"),
        ({"debian": 11}, "no lab hosts with Debian 11; choose 12 or 13"),
        ({"user": "fred;reboot"}, "--user: 'fred;reboot' is not a user name"),
        ({"user": "-oProxyCommand=x"}, "is not a user name"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_touched(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    asked = {"name": "lab", "count": 1, "debian": 12, "user": "root", **changed}
    with pytest.raises(ProvisionerError) as caught:
        labs.up(**asked, state=tmp_path, report=print)
    assert said in str(caught.value)
    assert caught.value.code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["up", "status", "down"])
def test_without_an_engine_one_line_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    calls = {
        "up": lambda: labs.up("lab", 1, 12, "root", tmp_path / "state", print),
        "status": lambda: labs.status(tmp_path / "state"),
        "down": lambda: labs.down("lab", tmp_path / "state", report=print),
    }
    with pytest.raises(ProvisionerError, match=r"^no Docker engine answers; start it, or") as caught:
        calls[command]()
    assert caught.value.code == 2
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("base_url", "info", "problem"),
    [
        ("http://10.0.0.1:2375", {}, "not on this machine but at http://10.0.0.1:2375"),
        ("http+docker://localhost", {"SecurityOptions": ["name=seccomp", "name=rootless"]}, "rootless"),
        ("http+docker://localhost", {"OperatingSystem": "Docker Desktop"}, "virtual machine"),
    ],
)
def test_an_engine_whose_containers_cannot_be_reached_is_refused(
    monkeypatch: pytest.MonkeyPatch, base_url: str, info: dict[str, Any], problem: str
) -> None:
    class Client:
        api = type("Api", (), {"base_url": base_url})

        def info(self) -> dict[str, Any]:
            return info

        def close(self) -> None:
            pass

    monkeypatch.setattr("docker.from_env", Client)
    with pytest.raises(ProvisionerError, match=problem) as caught, engine():
        raise AssertionError("the engine was accepted")
    assert caught.value.code == 2


def test_more_hosts_than_the_kernel_can_watch_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit = tmp_path / "max_user_instances"
    limit.write_text("128\n")
    monkeypatch.setattr(kernel_limits, "LIMIT", limit)
    kernel_limits.require_room(12)
    with pytest.raises(ProvisionerError, match=r"13 lab hosts need 130 .* allows 128; run `sysctl fs\.inotify"):
        kernel_limits.require_room(13)
    monkeypatch.setattr(kernel_limits, "LIMIT", tmp_path / "none")
    kernel_limits.require_room(200)


def test_the_inventory_says_how_to_reach_each_host(tmp_path: Path) -> None:
    folder = tmp_path / "a lab at 100%"
    folder.mkdir()
    hosts = (LabHost("lab-1", "192.0.2.2", "fred", 12, "running"), LabHost("lab-2", "192.0.2.3", "root", 13, "running"))
    lab = Lab("lab", access.inventory_path(folder), hosts)
    assert lab.to_dict() == {"inventory": str(folder / "inventory.yml"), "hosts": ["lab-1", "lab-2"]}
    access.write_inventory(folder, lab, {"site_ca_bundle": "/ca.pem"})
    text = lab.inventory.read_text(encoding="utf-8")
    assert yaml.safe_load(text)["all"]["vars"] == {"site_ca_bundle": "/ca.pem"}
    written = yaml.safe_load(text)["all"]["hosts"]
    assert {name: (host["ansible_host"], host["ansible_user"]) for name, host in written.items()} == {
        "lab-1": ("192.0.2.2", "fred"),
        "lab-2": ("192.0.2.3", "root"),
    }
    # What ssh itself makes of it, blanks and per cent signs and all.
    options = shlex.split(written["lab-1"]["ansible_ssh_common_args"])
    settings = subprocess.run(
        ["ssh", "-F", "none", "-G", *options, "192.0.2.2"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "stricthostkeychecking true" in settings
    assert "identitiesonly yes" in settings
    [known] = [line for line in settings if line.startswith("userknownhostsfile ")]
    assert known.removeprefix("userknownhostsfile ").replace("%%", "%") == f"{folder}/known_hosts"


def test_a_resolver_on_loopback_is_not_for_hosts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stub, real = tmp_path / "stub", tmp_path / "real"
    stub.write_text("nameserver 127.0.0.53\noptions edns0\n")
    monkeypatch.setattr(access, "RESOLVERS", (stub, real))
    assert access.resolver(tmp_path) is None
    real.write_text("# comment\nnameserver ::1\nnameserver 192.0.2.53\nsearch site.example\n")
    path = access.resolver(tmp_path)
    assert path is not None
    assert path.read_text() == "nameserver 192.0.2.53\nsearch site.example\n"
    assert path.stat().st_mode & 0o777 == 0o644


def test_half_a_key_pair_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "id_ed25519").write_text("half")
    public = access.login_key(tmp_path)
    assert public.startswith("ssh-ed25519 ")
    assert access.login_key(tmp_path) == public
    assert (tmp_path / "id_ed25519").stat().st_mode & 0o777 == 0o600


def test_two_commands_take_turns(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    order: list[str] = []
    waits = threading.Event()

    def second() -> None:
        with alone(folder, lambda line: (order.append(line), waits.set())):
            order.append("second")

    with alone(folder, order.append):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(5)
        order.append("first")
    thread.join(5)
    assert order == ["waiting for another lab command to end", "first", "second"]
    assert not folder.exists()
