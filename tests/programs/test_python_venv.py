"""Module `python_venv`, with a venv and a pip that tests make up: what it asks of them, and when."""

import base64
import fcntl
import hashlib
import os
import threading
import zipfile

import pytest

NAME, VERSION = "a-tool", "1.2"
LOCK = f"{NAME}=={VERSION} --hash=sha256:{64 * '0'}\n"


def install(folder, version=VERSION, content=b"program"):
    """Put the package into the environment `folder`, as pip does."""
    site = folder / "lib/python3.11/site-packages"
    info = site / f"a_tool-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (site / "tool").write_bytes(content)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {version}\n")
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    (info / "RECORD").write_text(f"tool,sha256={digest},{len(content)}\ntool.pyc,,\n")
    return site / "tool"


@pytest.fixture
def call(run_module, tmp_path):
    """Call the module: `call(check=False)` gives what it says; its pip notes its words and installs what is in new/."""
    pip = tmp_path / "env/bin/pip"
    pip.parent.mkdir(parents=True)
    keep = f'echo "$@" >> {tmp_path}/calls; for lock; do :; done; cp $lock {tmp_path}/lock'
    pip.write_text(f"#!/bin/sh\n{keep}\ncp -R {tmp_path}/new/. {tmp_path}/env\n")
    pip.chmod(0o755)
    install(tmp_path / "new")

    def run(check=False, **more):
        given = {"folder": str(tmp_path / "env"), "name": NAME, "version": VERSION, "lock": LOCK, **more}
        given["_ansible_check_mode"] = check
        return run_module("python_venv", given)

    return run


def test_from_a_folder_of_wheels_no_index_is_asked(call, tmp_path):
    assert call(wheels="/bundle/wheels")["changed"]
    assert "--no-index --find-links /bundle/wheels --only-binary" in (tmp_path / "calls").read_text()


def test_it_is_installed_anew_unless_every_file_is_as_it_came(call, tmp_path):
    calls = tmp_path / "calls"
    assert call(check=True)["changed"] and not calls.exists()
    assert call()["changed"] and "--only-binary=:all: --require-hashes --requirement " in calls.read_text()
    assert (tmp_path / "lock").read_text() == LOCK
    tool = tmp_path / "env/lib/python3.11/site-packages/tool"
    calls.unlink()
    assert not call()["changed"] and not call(check=True)["changed"] and not calls.exists()
    tool.write_bytes(b"broken!")
    assert call()["changed"] and tool.read_bytes() == b"program"
    tool.unlink()
    assert call()["changed"] and tool.exists()
    (tmp_path / "env/lib/python3.11/site-packages/a_tool-1.2.dist-info/METADATA").unlink()
    install(tmp_path / "env", version="1.1")
    assert call()["changed"]


def test_one_that_comes_later_waits_for_what_another_began(call, tmp_path):
    said = []
    with (tmp_path / "env.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        later = threading.Thread(target=lambda: said.append(call()))
        later.start()
        later.join(timeout=1)
        assert later.is_alive()
        install(tmp_path / "env")
    later.join()
    assert not said[0]["changed"] and not (tmp_path / "calls").exists()


def test_what_pip_says_is_told(call, tmp_path):
    (tmp_path / "env/bin/pip").write_text("#!/bin/sh\necho 'ERROR: No matching distribution' >&2; exit 1\n")
    said = call()
    assert said["msg"] == (
        f"{NAME}=={VERSION} cannot be installed: No matching distribution; mend the version, or the index in root's "
        "pip settings and run this again"
    )


def test_a_wheel_with_another_sum_is_refused_and_no_empty_environment_is_left(run_module, tmp_path):
    """With a real pip, and a package that no index need be asked for."""
    wheel = tmp_path / "wheels/a_tool-1.2-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in install(tmp_path / "new").parent.rglob("*"):
            if path.is_file():
                archive.write(path, path.relative_to(tmp_path / "new/lib/python3.11/site-packages"))
        archive.writestr("a_tool-1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    given = {"folder": str(tmp_path / "fresh"), "name": NAME, "version": VERSION, "lock": LOCK}
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheel.parent), "PIP_CONFIG_FILE": "/dev/null"}
    said = run_module("python_venv", given, env=os.environ | offline)
    actual = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert f"{actual}; that is not its pinned sum, so it was not installed" in said["msg"] and "\n" not in said["msg"]
    assert not (tmp_path / "fresh").exists()
    given["lock"] = LOCK.replace(64 * "0", actual)
    assert run_module("python_venv", given, env=os.environ | offline)["changed"]


def test_a_pip_that_is_set_to_install_elsewhere_is_told(call, tmp_path):
    (tmp_path / "env/bin/pip").write_text("#!/bin/sh\n")
    assert "it is not in" in call()["msg"] and "see 'pip config list' there" in call()["msg"]
