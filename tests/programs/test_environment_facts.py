"""environment_facts.py, run as the post-create script runs it, in an environment made for it."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "roles/scenario/files/xformers-devcontainer/.devcontainer/environment_facts.py"


@pytest.fixture
def facts(tmp_path):
    def run(*arguments, **environment):
        done = subprocess.run(
            [sys.executable, SCRIPT, *arguments],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "site")} | environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    return run


@pytest.fixture
def installed(tmp_path):
    """An xformers in a folder that Python looks into, which may not be imported: that would take seconds."""
    package = tmp_path / "site/xformers"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')\n")
    (package / "_C.so").write_bytes(b"\x7fELF extension")
    metadata = tmp_path / "site/XFormers-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: xformers\nVersion: 1.0\n")
    url = {"url": f"file://{tmp_path}/site", "dir_info": {"editable": True}}
    (metadata / "direct_url.json").write_text(json.dumps(url))
    return package


def test_nothing_of_xformers_is_nothing(facts, tmp_path):
    (tmp_path / "xformers").mkdir()  # the clone, in the current folder: no package until it is installed
    machine = os.uname()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    where = {"host": machine.nodename, "kernel": machine.release, "boot_id": boot}
    assert facts("--before") == where | {"installed": [], "package": []}


def test_what_is_there_before_is_found(facts, installed, tmp_path):
    found = facts("--before")
    assert found["package"] == [str(installed)]
    (distribution,) = found["installed"]
    assert distribution["editable"] and distribution["url"] == f"file://{tmp_path}/site"
    assert distribution["version"] == "1.0"


def test_the_extension_in_use_is_described_as_stat_describes_it(facts, installed):
    (extension,) = facts()["extensions"]
    said = subprocess.run(
        ["stat", "--printf", "%n %s %i %.9Y %.9Z", installed / "_C.so"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert [extension[key] for key in ("path", "size", "inode", "modified", "changed")] == [
        said[0],
        int(said[1]),
        int(said[2]),
        *said[3:],
    ]
    assert extension["sha256"] == hashlib.sha256(b"\x7fELF extension").hexdigest()
    assert extension["in_use"]


def test_compilers_are_followed_to_what_they_really_are(facts, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "launcher").write_text("#!/bin/sh\necho 'launcher 1.0'\n")
    (tools / "launcher").chmod(0o755)
    (tools / "gcc").symlink_to("launcher")
    found = facts(PATH=f"{tools}:{os.environ['PATH']}")
    gcc = next(compiler for compiler in found["compilers"] if compiler["name"] == "gcc")
    assert (gcc["path"], gcc["real"]) == (str(tools / "gcc"), str(tools / "launcher"))
    assert gcc["binary"] is False and gcc["package"] is None and gcc["altered"] is False
    assert found["versions"]["gcc"] == "launcher 1.0"
    assert found["versions"]["python"].startswith("3.")


@pytest.mark.skipif(not shutil.which("dpkg-query"), reason="needs dpkg")
@pytest.mark.parametrize(
    ("content", "diversions", "altered"),
    [
        ("#!/bin/sh\n", "", False),
        ("#!/bin/sh\necho ccache\n", "", True),
        ("#!/bin/sh\n", "{path}\n{path}.distrib\ncheat\n", True),
    ],
)
def test_a_compiler_is_compared_with_its_package(facts, tmp_path, content, diversions, altered):
    tools, installed = tmp_path / "tools", tmp_path / "dpkg"
    tools.mkdir()
    (installed / "info").mkdir(parents=True)
    (installed / "updates").mkdir()
    gcc = tools / "gcc"
    gcc.write_text(content)
    gcc.chmod(0o755)
    (installed / "status").write_text(
        "Package: gcc-0\nStatus: install ok installed\nArchitecture: all\nVersion: 0\nMaintainer: a\nDescription: a\n\n"
    )
    (installed / "info/gcc-0.list").write_text(f"{gcc}\n")
    came = hashlib.md5(b"#!/bin/sh\n", usedforsecurity=False).hexdigest()
    (installed / "info/gcc-0.md5sums").write_text(f"{came}  {str(gcc)[1:]}\n")
    (installed / "diversions").write_text(diversions.format(path=gcc))
    found = facts(PATH=f"{tools}:{os.environ['PATH']}", DPKG_ADMINDIR=str(installed))
    described = next(compiler for compiler in found["compilers"] if compiler["name"] == "gcc")
    assert (described["package"], described["altered"]) == ("gcc-0", altered)
