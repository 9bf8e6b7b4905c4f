"""Forged commands: something else compiled, linked or was run than what ninja, pip and the script are told to have.

Each is changed in every file that tells of it, and summed anew.
"""

import re

import evidence_sample
import pytest
from test_audit_cheats import at, both, changed, edited, failed

COMMANDS = ("NINJA/build.ninja", "container/pip.log", "run.log")
ECHO = r"^(\S+) (.*=== compile ===)$"
CLONE = "/workspaces/xformers-devcontainer-scenario-a/xformers"


@pytest.fixture
def folder(tmp_path):
    return evidence_sample.copy(tmp_path / "run")


def everywhere(old, new, names=COMMANDS):
    """Replace a pattern wherever the commands are told."""

    def alter(folder):
        for name in names:
            path = at(folder, name)
            path.write_text(re.sub(old, new, path.read_text(), flags=re.MULTILINE))

    return alter


def echoed(command):
    return edited("run.log", ECHO, rf"\1 + {command}\n\1 \2")


def hashes(folder):
    path = at(folder, "NINJA/ninja_log")
    path.write_text(re.sub(r"\t[0-9a-f]+$", "\t1f", path.read_text(), flags=re.MULTILINE))


def of_another_source(folder):
    everywhere(r"-c \$in -o \$out \$cuda_post", "-c /opt/stub.cu -o $out $cuda_post", COMMANDS[:1])(folder)
    everywhere(r"-c \S+\.cu -o", "-c /opt/stub.cu -o", COMMANDS[1:])(folder)


CHEATS = {
    "commands_are_of_the_compile": {
        "an nvcc that was not on PATH": everywhere(r"/usr/local/cuda/bin/nvcc(?=[ \n])", "/opt/fast/nvcc"),
        "each object of another file": of_another_source,
        "headers of nobody's": everywhere("-I/usr/local/cuda/include", "-I/opt/stub -I/usr/local/cuda/include"),
        "a header before all others": everywhere("-DHAS_PYTORCH", "-DHAS_PYTORCH -include /usr/include/stub.h"),
        "another folder of gcc's parts": everywhere("-DHAS_PYTORCH", "-DHAS_PYTORCH -Xcompiler -B/opt/fast"),
        "nothing is compiled": everywhere("-DHAS_PYTORCH", "-DHAS_PYTORCH --dryrun"),
        "nothing is optimised": everywhere("--ptxas-options=-O2", "--ptxas-options=-O0"),
        "kernels were left out": everywhere("-DHAS_PYTORCH", "-DHAS_PYTORCH -DNO_KERNELS"),
        "hashes of other commands": hashes,
        "a newer ninja, whose hashes nobody knows": both(
            hashes, edited("NINJA/ninja_log", "^# ninja log v5", "# ninja log v7")
        ),
    },
    "the_linker_took_the_objects": {
        "a ready object": everywhere(r"( -shared .*?/gemm\.o)", r"\1 /tmp/ready.o", COMMANDS[1:2]),
        "a ready archive": everywhere(r"( -shared .*?/gemm\.o)", r"\1 -l:libready.a", COMMANDS[1:2]),
        "libraries of nobody's": everywhere(r"-L/usr/local/cuda/lib64", "-L/opt/stubs", COMMANDS[1:2]),
        "another linker": everywhere(r"\S+( .*-shared )", r"/opt/fast/ld\1", COMMANDS[1:2]),
    },
    "nothing_else_was_run": {
        "a patch": echoed(f"git -C {CLONE} apply /sources/fast.patch"),
        "objects were copied": echoed(f"cp -R /sources/build {CLONE}/build"),
        "git was sent elsewhere": echoed("git config --global url./sources/fast.insteadOf file:///sources/xformers"),
        "sccache is installed": changed("packages.json", lambda found: found.append({"name": "sccache"})),
    },
}


@pytest.mark.parametrize(
    ("check", "cheat"),
    [(check, cheat) for check, cheats in CHEATS.items() for cheat in cheats.values()],
    ids=[f"{check}: {name}" for check, cheats in CHEATS.items() for name in cheats],
)
def test_a_cheat_is_caught_by_its_check(folder, check, cheat):
    cheat(folder)
    evidence_sample.seal(folder)
    assert check in failed(folder)


def natively(folder):
    """What was compiled in lies where the host has it, and nobody knows where that may be."""
    everywhere("-I/usr/local/cuda/include", "-I/opt/site/include -I/usr/local/cuda/include")(folder)
    (folder / "run.json").write_text((folder / "run.json").read_text().replace('"devcontainer"', '"native"'))
    hashes(folder)
    path = at(folder, "NINJA/ninja_log")
    path.write_text(path.read_text().replace("ninja log v5", "ninja log v7"))
    environment = folder / "environment.json"
    environment.write_text(environment.read_text().replace('"ninja": "1.11.1"', '"ninja": "1.13.0"'))


def test_folders_of_a_host_without_containers_are_its_own(folder):
    natively(folder)
    evidence_sample.seal(folder)
    assert not CHEATS.keys() & set(failed(folder))


def test_a_fork_may_have_flags_of_its_own(folder):
    everywhere("-DHAS_PYTORCH", "-DHAS_PYTORCH -DOF_MY_FORK")(folder)
    for name in ("commit.txt", "built.json"):
        path = folder / name
        path.write_text(re.sub(r"\b(?:7f059|cd3ad|813ab)[0-9a-f]{35}", "0" * 40, path.read_text()))
    from provisioner.audit import ninja_file  # noqa: PLC0415
    from provisioner.audit.checks import commands  # noqa: PLC0415

    edges = ninja_file.parse(at(folder, "NINJA/build.ninja").read_text())
    by_output = {edge.outputs[0]: f"{commands.murmur(edge.command.encode()):x}" for edge in edges}
    path = at(folder, "NINJA/ninja_log")
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    rows = [[*row[:4], by_output[row[3]]] if len(row) == 5 else row for row in rows]
    path.write_text("".join("\t".join(row) + "\n" for row in rows))
    evidence_sample.seal(folder)
    assert not CHEATS.keys() & set(failed(folder))
