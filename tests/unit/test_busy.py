"""What a host is busy with: a table of processes that is made up, as each kind of work looks in it."""

import os
from pathlib import Path

import pytest

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import busy as probe
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import look
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host

SHIM = "/usr/bin/containerd-shim-runc-v2 -namespace {} -id {} -address /run/containerd/containerd.sock"
WEB, OURS = "a" * 64, "b" * 64


class Machine(Host):
    """A made-up host: processes below a folder, CUDA's count of users, and an engine that answers for containers."""

    def __init__(self, root):
        super().__init__()
        self.root, self.users, self.number = root, "", 100
        (root / "self").mkdir()
        (root / "meminfo").touch()

    def read(self, path):
        return self.users if str(path) == probe.GPU_USERS else super().read(path)

    def runs(self, command, name="", opens=()):
        self.number += 1
        folder = self.root / str(self.number)
        (folder / "fd").mkdir(parents=True)
        (folder / "comm").write_text((name or Path(command.split()[0]).name)[:15] + "\n")
        (folder / "cmdline").write_text(command.replace(" ", "\0") + "\0" if command else "")
        for number, path in enumerate(opens):
            (folder / "fd" / str(number)).symlink_to(path)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "PROCESSES", tmp_path)
    monkeypatch.setattr(probe, "GPU_DEVICE", tmp_path / "nvidia-uvm")
    (tmp_path / "nvidia-uvm").touch()
    monkeypatch.setattr(probe.engines, "of", lambda _: type("", (), {"answer": lambda *_: None}))
    return Machine(tmp_path)


def engine(monkeypatch, *containers):
    monkeypatch.setattr(probe.engines, "of", lambda _: type("", (), {"answer": lambda *_: list(containers)}))


@pytest.mark.parametrize(
    ("command", "name", "says"),
    [
        ("slurmstepd: [1234.batch]", "slurmstepd", "1 Slurm job: 1234"),
        ("sge_shepherd-77 -bg", "sge_shepherd", "1 Grid Engine job: 77"),
        ("condor_starter -f -local-name slot1", "condor_starter", "1 HTCondor job"),
        (SHIM.format("moby", WEB), "", f"1 container: {WEB[:12]}"),
        (SHIM.format("default", WEB), "", f"1 container: {WEB[:12]}"),
        (SHIM.format("k8s.io", WEB), "", f"1 pod: {WEB[:12]}"),
        (
            "/usr/bin/conmon --api-version 1 -c 12ab -u 12ab -n web --exit-dir /run",
            "",
            "1 container: web",
        ),
        ("/usr/bin/conmon -b /run -c 12ab -n k8s_POD_web_default_1_0 -s", "", "1 pod: k8s_POD_web_default_1_0"),
        ("/usr/bin/kvm -id 100 -name web,debug-threads=on -no-shutdown", "kvm", "1 virtual machine: web"),
        ("/usr/bin/qemu-system-x86_64 -name guest=web,debug-threads=on", "", "1 virtual machine: web"),
    ],
)
def test_each_kind_of_work_is_seen(machine, command, name, says):
    machine.runs("/sbin/init", "systemd")
    machine.runs(command, name)
    assert probe.busy(machine) == [says]


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/sbin/slurmstepd infinity", "slurmstepd"),
        ("", "kvm-nx-lpage-recovery"),
        ("/usr/sbin/slurmd -D", ""),
        ("/usr/bin/dockerd -H fd://", ""),
        ("/usr/bin/containerd", ""),
        ("/usr/bin/kubelet --config=/var/lib/kubelet/config.yaml", ""),
        ("/usr/bin/nvidia-persistenced --user nvidia", ""),
    ],
)
def test_what_only_waits_for_work_is_none(machine, command, name):
    machine.runs(command, name)
    assert probe.busy(machine) == []


def test_a_kind_is_one_line_that_counts_each_piece_once(machine):
    for job in (7, 7, 8, 9, 10):
        machine.runs(f"slurmstepd: [{job}.0]", "slurmstepd")
    machine.runs(SHIM.format("moby", WEB))
    assert probe.busy(machine) == ["4 Slurm jobs: 10, 7, 8, …", f"1 container: {WEB[:12]}"]


def test_containers_have_their_names_and_ours_is_none_of_others_work(machine, monkeypatch):
    label = {"devcontainer.local_folder": "/data/scenario/xformers-devcontainer-scenario-a"}
    engine(monkeypatch, {"Id": WEB, "Names": ["/web"], "Labels": {}}, {"Id": OURS, "Names": ["/x"], "Labels": label})
    machine.runs(SHIM.format("moby", OURS))
    assert probe.busy(machine) == []
    machine.runs(SHIM.format("moby", WEB))
    assert probe.busy(machine) == ["1 container: web"]


def test_an_engine_that_answers_with_an_error_hides_no_container(machine, monkeypatch):
    monkeypatch.setattr(probe.engines, "of", lambda _: type("", (), {"answer": lambda *_: {"message": "no"}}))
    machine.runs(SHIM.format("moby", WEB))
    assert probe.busy(machine) == [f"1 container: {WEB[:12]}"]


@pytest.mark.parametrize("users", ["2\n", ""], ids=["counted", "in the kernel itself, as on an H200 that was asked"])
def test_a_program_of_cuda_is_seen_by_what_it_has_open(machine, tmp_path, users):
    machine.users = users
    machine.runs("/usr/bin/dcgm", "nv-hostengine", opens=["/dev/nvidiactl"])
    machine.runs("nvidia-persistenced --uvm-persistence-mode", opens=[tmp_path / "nvidia-uvm"])
    assert probe.busy(machine) == []
    machine.runs("python3 train.py", opens=["/dev/null", tmp_path / "nvidia-uvm"])
    assert probe.busy(machine) == ["1 GPU program: python3 (103)"]


@pytest.mark.parametrize("why", ["nobody is counted", "there is no such device"])
def test_without_a_user_of_cuda_no_process_is_looked_into(machine, tmp_path, why):
    machine.users = "0\n" if why == "nobody is counted" else ""
    machine.runs("python3 train.py", opens=[tmp_path / "nvidia-uvm"])
    if why == "there is no such device":
        (tmp_path / "nvidia-uvm").unlink()
    assert probe.busy(machine) == []


def test_a_gpu_that_is_used_by_what_is_not_seen_from_here_is_in_use(machine):
    machine.users = "1\n"
    assert probe.busy(machine) == ["1 GPU program"]


def test_a_run_of_ours_that_is_under_way_is_no_work_of_others(machine):
    machine.users = "2\n"
    machine.runs("bash /var/lib/provisioner/scenario_a/scenario_a.sh")  # as `#!/usr/bin/env bash` has it
    machine.runs(SHIM.format("moby", WEB))
    machine.runs("slurmstepd: [7.0]", "slurmstepd")
    assert probe.busy(machine) == ["1 Slurm job: 7"]


def test_a_process_that_ends_meanwhile_is_none(machine, tmp_path):
    machine.users = "1\n"
    (tmp_path / "99").mkdir()
    assert probe.busy(machine) == ["1 GPU program"]


def test_this_machine_for_real():
    assert all(isinstance(line, str) for line in probe.busy(Host()))


def test_a_busy_host_is_told_of_or_refused_before_a_role_is_asked(monkeypatch):
    monkeypatch.setattr(look, "busy", lambda _: ["1 Slurm job: 7"])
    told = look.looks({}, "tell")
    assert (told["busy"], told["warnings"]) == (["1 Slurm job: 7"], ["the host is busy: 1 Slurm job: 7"])
    refused = look.looks({"no_such_role": {}}, "refuse")
    assert refused["failed"] and refused["msg"].startswith("the host is busy: 1 Slurm job: 7; wait until that is done")
    assert look.looks({})["busy"] == []


@pytest.mark.parametrize(("kind", "known"), [("x86_64", True), ("aarch64", True), ("riscv64", False)])
def test_a_machine_that_nothing_is_there_for_is_refused(monkeypatch, kind, known):
    monkeypatch.setattr(os, "uname", lambda: type("", (), {"machine": kind}))
    assert ("failed" in look.looks({})) is not known
