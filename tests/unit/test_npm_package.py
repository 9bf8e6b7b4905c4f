"""Module `npm_package`, with an npm that tests make up, and what is told of npm's and pip's failures."""

import json
import os

import pytest

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.installers import failure

LOCK = {"packages": {"": {"dependencies": {"@a/tool": "1.2"}}, "node_modules/@a/tool": {"version": "1.2"}}}
INSTALLS = """#!/bin/sh
echo "$@" > calls
cat $3/package.json $3/package-lock.json > read
mkdir -p $3/node_modules/@a/tool
echo '{"version": "1.2"}' > $3/node_modules/@a/tool/package.json
"""
FAILS = """#!/bin/sh
mkdir -p $3/node_modules/half
echo 'npm error code EINTEGRITY
npm error Integrity checksum failed when using sha512: wanted sha512-a but got sha512-b.' >&2
exit 1
"""


@pytest.fixture
def call(run_module, tmp_path):
    """Call the module: `call(npm, umask)` gives what it says; `npm` is the text of its program."""

    def run(npm=INSTALLS, umask=0o022, **more):
        program = tmp_path / "npm"
        program.write_text(npm)
        program.chmod(0o755)
        given = {"npm": [str(program)], "folder": str(tmp_path / "there"), "name": "@a/tool", "version": "1.2"}
        given |= {"lock": json.dumps(LOCK), **more}
        return run_module("npm_package", given, cwd=tmp_path, preexec_fn=lambda: os.umask(umask))

    return run


def test_it_is_installed_for_everybody_whatever_is_left_there(call, tmp_path):
    left = tmp_path / "there/node_modules/left.js"
    left.parent.mkdir(parents=True)
    left.touch()
    assert call(umask=0o077)["changed"] and not left.exists()
    package = tmp_path / "there/node_modules/@a/tool"
    modes = [path.stat().st_mode & 0o777 for path in (package.parents[1], package, package / "package.json")]
    assert modes == [0o755, 0o755, 0o644]
    words = (tmp_path / "calls").read_text()
    assert words.startswith("ci --prefix ") and "--no-global --location=project --no-dry-run --ignore-scripts" in words
    assert json.dumps(LOCK) in (tmp_path / "read").read_text() and '"@a/tool": "1.2"' in (tmp_path / "read").read_text()
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == [
        *("node_modules", "package-lock.json", "package.json"),
    ]


def test_what_has_another_sum_is_refused_and_what_was_there_stays(call, tmp_path):
    there = tmp_path / "there/node_modules/@a/tool/package.json"
    there.parent.mkdir(parents=True)
    there.write_text("working")
    said = call(FAILS)
    assert said["msg"] == (
        "@a/tool@1.2 cannot be installed: Integrity checksum failed when using sha512: wanted sha512-a but got sha512-b"
        ".; that is not its pinned sum, so it was not installed: find out what the index in root's npm settings serves"
        " and run this again"
    )
    left = [path for path in (tmp_path / "there").rglob("*") if path.is_file()]
    assert left == [there] and there.read_text() == "working"


def test_where_nothing_was_nothing_half_done_is_left(call, tmp_path):
    assert call(FAILS)["failed"]
    assert list((tmp_path / "there").rglob("*")) == []


def test_an_npm_that_is_set_to_install_elsewhere_is_told(call):
    said = call("#!/bin/sh\n")
    assert said["failed"] and "sends it elsewhere: see 'npm config list' there" in said["msg"]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "npm error code ETARGET\nnpm error notarget No matching version found for a@9.\nnpm error notarget In most",
            "notarget No matching version found for a@9.; mend x_version, or the index in root's npm settings",
        ),
        (
            "npm ERR! code ECONNREFUSED\nnpm ERR! request to http://u:secret@m/a failed, reason: connect ECONNREFUSED",
            "request to http://m/a failed, reason: connect ECONNREFUSED; let the host reach the index in root's npm",
        ),
        (
            "npm error code ENOTCACHED\nnpm error request to https://m/a failed: cache mode is 'only-if-cached'",
            "offline",
        ),
        ("npm error code E401\nnpm error Incorrect or missing password.", "E401; mend the login to the index"),
        ("npm error code UNABLE_TO_GET_ISSUER_CERT_LOCALLY\nnpm error unable to get", "name the site's CA bundle"),
        (
            "ERROR: Could not install: [Errno 28] No space left on device: '/opt'\n",
            "a@9 cannot be installed: no space was left at /",
        ),
        ("", "npm: it says nothing; mend that on the host"),
    ],
)
def test_the_line_that_tells_is_told_with_what_mends_it(said, told):
    found = failure("a@9", "npm", said, "x_version")
    assert told in found and "secret" not in found and "\n" not in found


def test_from_a_folder_of_archives_no_registry_is_asked(call, tmp_path):
    assert call(archives="/bundle/npm")["changed"]
    assert (tmp_path / "calls").read_text().split()[-1] == "--offline"
    assert '"version": "1.2", "resolved": "file:///bundle/npm/a-tool-1.2.tgz"' in (tmp_path / "read").read_text()
