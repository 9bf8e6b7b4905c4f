"""What probes stand on: the host as asked."""

import os
import time
from pathlib import Path

import pytest

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError, change


class Fake(Host):
    """A host whose commands answer what the test says, and which counts them."""

    def __init__(self, files=(), answers=()):
        super().__init__()
        self.files, self.answers, self.asked = dict(files), dict(answers), []

    def run(self, *command):
        self.asked.append(command)
        answer = self.answers.get(command[0])
        return (0, answer, "") if answer is not None else (127, "", "not found")

    def read(self, path):
        return self.files.get(str(path), "")

    def which(self, command):
        return f"/usr/bin/{command}" if command in self.answers else ""

    systemd = True


@pytest.mark.parametrize(
    ("release", "names"),
    [
        ('ID=debian\nVERSION_ID="12"\n', ["debian12", "debian"]),
        ('VERSION_ID="22.04"\nID=ubuntu\nID_LIKE=debian\n', ["ubuntu22.04", "ubuntu22", "ubuntu", "debian"]),
        (
            'ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n',
            ["rocky9.4", "rocky9", "rocky", "rhel", "centos", "fedora"],
        ),
        ("", ["linux"]),
    ],
)
def test_a_distribution_has_names_from_the_most_exact(release, names):
    host = Fake({"/etc/os-release": release})
    assert (host.os_family_ids, host.os_id) == (names, names[0])
    assert host.pick({names[-1]: 1, names[0]: 2}) == 2
    assert host.pick({"other": 1}) is None


def test_packages_are_those_completely_installed_and_asked_for_once():
    lines = (
        "install installed docker.io 20.10.24\nhold installed gpg 2.2\ndeinstall config-files old 1.0\nunknown half\n"
    )
    host = Fake(answers={"dpkg-query": lines})
    assert host.packages == {"docker.io": "20.10.24", "gpg": "2.2"}
    assert host.held == {"gpg"}
    assert host.missing(["gpg", "old"]) == [change("package old", "absent", "installed")]
    assert len(host.asked) == 1


def test_rpm_where_there_is_no_dpkg():
    locks = "# comment\n\ndocker-ce-3:26.1-1.el9.*\n!excluded-1-1.*\n"
    host = Fake({"/etc/dnf/plugins/versionlock.list": locks}, {"rpm": "docker-ce 3:26.1-1.el9\nbash 5.1-9\n"})
    assert host.packages == {"docker-ce": "3:26.1-1.el9", "bash": "5.1-9"}
    assert host.held == {"docker-ce"}


def test_units_are_asked_for_at_once_and_kept_by_the_name_asked_for():
    shown = (
        "Id=docker.service\nUnitFileState=enabled\n\nId=ssh.service\nActiveState=active\nExecStart={ path=/a ; x=y }\n"
    )
    host = Fake(answers={"systemctl": shown})
    host.units("docker.service", "sshd.service")
    assert host.unit("docker.service")["UnitFileState"] == "enabled"
    assert host.unit("sshd.service")["ExecStart"] == "{ path=/a ; x=y }"
    assert len(host.asked) == 1


def test_commands_that_fail_are_told_and_never_raised():
    host = Host()
    assert host.run("sh", "-c", "echo out; echo err >&2; exit 3") == (3, "out\n", "err\n")
    assert host.run("no-such-command")[0] == 127
    assert host.ask("sh", "-c", "echo out; exit 3") == ""
    assert host.ask("printf", " a b\n") == "a b"
    assert host.read("/nonexistent") == ""


def test_a_file_is_compared_in_kind_content_mode_and_owner(tmp_path):
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("text")
    file.chmod(0o600)
    folder.mkdir(mode=0o755)
    host = Host()
    good = host.sha256(file)
    owner = [] if os.getuid() == 0 else [f"{file}: owner"]

    def whats(*arguments, **options):
        return [found["what"] for found in host.file_changes(*map(str, arguments), **options)]

    assert whats(file, mode="0600", sha256=good) == owner
    assert whats(file, mode="0644", sha256="other") == [f"{file}: content", f"{file}: mode", *owner]
    assert host.file_changes(str(tmp_path / "none"), mode="0600") == [change(tmp_path / "none", "absent", "present")]
    with pytest.raises(RefusalError, match="is a folder, and a file must be there; it is left as it is"):
        host.file_changes(str(folder), mode="0600")
    assert whats(folder, mode="0755", kind="directory") == [f"{folder}: owner"][: len(owner)]


def test_what_hangs_ends_with_what_it_started_and_is_told(tmp_path):
    program = tmp_path / "hangs"
    program.write_text(f"#!/bin/sh\nsleep 1000 & echo $! > {tmp_path}/child; wait\n")
    program.chmod(0o755)
    assert Host().run(str(program), patience=0.5) == (124, "", f"{program} did not answer within 0.5 s")
    child = Path("/proc", (tmp_path / "child").read_text().strip())
    deadline = time.monotonic() + 30
    while child.exists() and "Z" not in (child / "stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "what a program that hangs has started is still there"
        time.sleep(0.05)


def test_what_dpkg_has_not_finished_is_not_installed_and_is_known():
    host = Fake(answers={"dpkg-query": "install half-configured nvidia-kernel-dkms 535.1\ninstall installed bash 5\n"})
    assert host.packages == {"bash": "5"}
    assert host.unfinished == {"nvidia-kernel-dkms": "half-configured"}
