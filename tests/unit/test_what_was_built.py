"""What host and container write down of the clone, the extension and the CPU time; real git, the real kernel."""

import hashlib
import importlib.util
import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROLE = Path(__file__).parents[2] / "roles/scenario/files/xformers-devcontainer"
SOURCE_FACTS = ROLE / ".devcontainer/source_facts.sh"
BUILT_FACTS = ROLE / "benchmarking/built_facts.py"
CPU_USED = ROLE / "benchmarking/cpu_used.py"
spec = importlib.util.spec_from_file_location("built_facts", BUILT_FACTS)
built_facts = importlib.util.module_from_spec(spec)
spec.loader.exec_module(built_facts)


def git(folder, *words):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "protocol.file.allow=always"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def repository(folder, **files):
    folder.mkdir(parents=True)
    git(folder, "init", "-qb", "main")
    for name, text in files.items():
        (folder / f"{name}.cu").write_text(text)
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


@pytest.fixture
def clone(tmp_path):
    """A clone with a submodule, in a workspace."""
    part = repository(tmp_path / "part", part="part")
    origin = repository(tmp_path / "origin", one="one", two="two")
    git(origin, "submodule", "--quiet", "add", str(part), "third party")
    git(origin, "commit", "-qm", "second")
    target = tmp_path / "workspace/xformers"
    git(tmp_path, "clone", "-q", "--recurse-submodules", str(origin), str(target))
    return target


def told(clone):
    done = subprocess.run([SOURCE_FACTS, clone], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_clone_is_told_as_it_is(clone):
    head = [f"commit {git(clone, 'rev-parse', 'HEAD')}", f"tree {git(clone, 'rev-parse', 'HEAD^{tree}')}"]
    part = git(clone / "third party", "rev-parse", "HEAD")
    assert told(clone) == [*head, f"submodule ok {part} third party"]


def test_whatever_is_not_as_committed_is_told(clone):
    (clone / "one.cu").write_text("other")
    (clone / "two.cu").write_text("hidden")
    git(clone, "update-index", "--assume-unchanged", "two.cu")
    (clone / "third party/part.cu").write_text("other")
    (clone / ".git/info/exclude").write_text("*.o\n")
    (clone / "ready.o").write_text("")
    (clone / "build").mkdir()
    (clone / "build/new.txt").write_text("")
    git(clone, "config", "status.showUntrackedFiles", "no")
    git(clone, "config", "core.fsmonitor", "true")
    found = told(clone)[3:]
    assert sorted(found) == sorted(
        [
            "hidden two.cu",
            "changed  M one.cu",
            'changed  M "third party"',
            "changed ?? build/",
            "changed !! ready.o",
            "changed  M third party/part.cu",
        ]
    )


def test_the_host_reads_what_was_compiled_and_written(clone, tmp_path):
    evidence = tmp_path / "evidence"
    (evidence / "ninja/1").mkdir(parents=True)
    inside = f"/workspaces/{clone.parent.name}/xformers"
    (evidence / "ninja/1/build.ninja").write_text(
        f"build a.o: compile {inside}/one.cu\nbuild b.o: compile two.cu\n"
        f"build c.o: compile {inside}/../../out.cu\nbuild d.o: compile {inside}/link.cu\n"
    )
    (tmp_path / "out.cu").write_text("out")
    (clone / "link.cu").symlink_to(tmp_path / "out.cu")
    time.sleep(0.05)
    (evidence / "source_after_clone.txt").write_text("")
    time.sleep(0.05)
    (clone / "two.cu").write_text("two")
    done = subprocess.run([sys.executable, BUILT_FACTS, clone, evidence], capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout)
    assert facts["sources"] == {name: git(clone, "hash-object", name) for name in ("one.cu", "two.cu")}
    assert [path for path, _ in facts["written"]] == ["two.cu"]
    assert facts["extensions"] == []


def fat(*pieces):
    """A container of GPU code, with these pieces: kind, architecture, bytes."""
    body = b"".join(
        struct.pack("<HHIQIIHHIIIQ", kind, 0x101, 48, size, 0, 0, 0, 1, architecture, 0, 0, 0) + bytes(size)
        for kind, architecture, size in pieces
    )
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


def test_gpu_code_is_counted_by_architecture():
    section = fat((2, 90, 64), (1, 90, 32)) + bytes(24) + fat((2, 80, 8), (2, 90, 8))
    assert built_facts.gpu_code(section) == {
        "sm_90": {"elf": 2, "ptx": 1, "bytes": 104},
        "sm_80": {"elf": 1, "ptx": 0, "bytes": 8},
    }


@pytest.mark.parametrize(
    "content", [b"", b"no program", b"\x7fELF\x02\x01" + bytes(50), b"\x7fELF\x02\x01" + b"\xff" * 99]
)
def test_a_broken_extension_is_summed_all_the_same(tmp_path, content):
    (tmp_path / "_C.so").write_bytes(content)
    facts = built_facts.extension(tmp_path / "_C.so", tmp_path)
    assert facts["sha256"] == hashlib.sha256(content).hexdigest() and facts["size"] == len(content)


def test_a_link_is_no_extension(tmp_path):
    (tmp_path / "_C.so").symlink_to(sys.executable)
    assert built_facts.extension(tmp_path / "_C.so", tmp_path)["size"] == 0


def test_the_kernel_is_asked_what_was_computed():
    done = subprocess.run([sys.executable, CPU_USED, str(os.getpid())], capture_output=True, text=True, check=True)
    used = json.loads(done.stdout)
    assert used["machine_seconds"] > 0 and used["forks"] > 0
    assert used["group_seconds"] is None or used["group_seconds"] > 0
    assert json.loads(subprocess.run([sys.executable, CPU_USED, ""], capture_output=True, check=True).stdout)
