"""How many compilers there may be at once: within every limit that holds for the compile, of both cgroup versions."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "roles/scenario/files/xformers-devcontainer/benchmarking/limits.py"
spec = importlib.util.spec_from_file_location("limits", FILE)
limits = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(limits)

GIB = 2**30


def tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def test_version_2_the_tightest_limit_of_all_above_counts(tmp_path):
    root = tree(
        tmp_path,
        {
            "cgroup.controllers": "cpu cpuset memory",
            "system.slice/memory.max": 8 * GIB,
            "system.slice/memory.current": 6 * GIB,
            "system.slice/memory.stat": f"anon 1\ninactive_file {GIB}",
            "system.slice/x.service/memory.max": "max",
            "system.slice/x.service/memory.current": GIB,
            "system.slice/cpu.max": "max 100000",
            "system.slice/x.service/cpu.max": "250000 100000",
            "system.slice/x.service/cpuset.cpus.effective": "0-7",
        },
    )
    group = limits.Group("/system.slice/x.service", root)
    assert group.memory() == 3 * GIB
    assert group.cores() == 2.5
    assert limits.Group("/system.slice", root).cores() is None


def test_version_1_has_a_tree_for_each_controller(tmp_path):
    root = tree(
        tmp_path,
        {
            "memory/memory.limit_in_bytes": 9223372036854771712,
            "memory/memory.usage_in_bytes": GIB,
            "memory/docker/memory.limit_in_bytes": 4 * GIB,
            "memory/docker/memory.usage_in_bytes": 5 * GIB,
            "cpu/docker/cpu.cfs_quota_us": -1,
            "cpu/docker/cpu.cfs_period_us": 100000,
            "cpuset/docker/cpuset.cpus": "1,3-4",
        },
    )
    group = limits.Group("/docker", root)
    assert group.memory() == 0
    assert group.cores() == 3.0
    assert limits.Group("/none", root).memory() is None


def test_a_slice_that_the_engine_is_told_of(tmp_path, monkeypatch):
    assert limits.slice_path("gpu.slice") == "/gpu.slice"
    assert limits.slice_path("gpu-jobs.slice") == "/gpu.slice/gpu-jobs.slice"
    assert limits.slice_path("/site/jobs") == "/site/jobs"
    settings = tmp_path / "daemon.json"
    settings.write_text('{"cgroup-parent": "gpu.slice"}')
    monkeypatch.setattr(limits, "SETTINGS", settings)
    assert limits.engine_group() == "/gpu.slice"
    settings.write_text("[")
    assert limits.engine_group() in {"/docker", "/system.slice"}


def test_this_process_s_groups_by_what_the_kernel_says():
    assert limits.own_group("0::/user.slice/a.scope", "memory") == "/user.slice/a.scope"
    hybrid = "4:memory:/jobs/7\n1:cpu,cpuacct:/jobs/8\n0::/x"
    assert limits.own_group(hybrid, "memory") == "/jobs/7" and limits.own_group(hybrid, "cpu") == "/jobs/8"


@pytest.mark.parametrize("runtime", ["native", "devcontainer"])
def test_both_numbers_are_printed_whatever_there_is(runtime, capsys):
    limits.main([runtime])
    cores, memory = map(int, capsys.readouterr().out.split())
    assert 1 <= cores <= len(os.sched_getaffinity(0)) and memory > 0
