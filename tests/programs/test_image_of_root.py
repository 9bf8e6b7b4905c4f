"""Module `image_of_root`, with a docker that tests make up: what of a root file system comes into the image."""

import os
import tarfile

import pytest

DOCKER = """#!/bin/sh
echo "$@" > {folder}/calls
[ ! -e {folder}/fails ] || {{ echo 'Error response from daemon: no space' >&2; exit 1; }}
cat > {folder}/image.tar
"""


@pytest.fixture
def call(run_module, tmp_path):
    """Call the module for a folder or an archive; it gives what the module says."""
    (tmp_path / "docker").write_text(DOCKER.format(folder=tmp_path))
    (tmp_path / "docker").chmod(0o755)

    def run(source):
        given = {"name": "site/base:1", "source": str(source), "exclude": ["./tmp/*", "./secret"], "inputs": "abc"}
        given |= {"label": "l", "environment": {"A": "b"}, "work": str(tmp_path / "work")}
        path = f"{tmp_path}:{os.environ['PATH']}"
        return run_module("image_of_root", given, env={**os.environ, "PATH": path})

    return run


@pytest.fixture
def root(tmp_path):
    """A root file system."""
    folder = tmp_path / "root"
    (folder / "tmp/left").mkdir(parents=True)
    (folder / "etc").mkdir()
    (folder / "etc/hostname").write_text("site")
    (folder / "secret").write_text("x")
    return folder


def test_a_folder_is_in_the_image_but_for_what_is_excluded(call, root, tmp_path):
    assert call(root)["changed"] is True
    with tarfile.open(tmp_path / "image.tar") as tar:
        assert {name for name in tar.getnames() if name != "."} == {"./tmp", "./etc", "./etc/hostname"}
    words = (tmp_path / "calls").read_text().split()
    assert words[0] == "import" and words[-2:] == ["-", "site/base:1"]
    assert {"A=b", "l=abc"} <= set(words)
    assert not (tmp_path / "work").exists()


def test_an_archive_is_given_to_the_engine_as_it_is(call, tmp_path):
    (tmp_path / "root.tar").touch()
    assert call(tmp_path / "root.tar")["changed"] is True
    assert (tmp_path / "calls").read_text().split()[-2:] == [str(tmp_path / "root.tar"), "site/base:1"]


def test_an_engine_that_fails_is_told_in_one_line(call, root, tmp_path):
    (tmp_path / "fails").touch()
    said = call(root)
    assert said["failed"] and said["msg"].startswith(
        "docker import failed: Error response from daemon: no space; check"
    )
