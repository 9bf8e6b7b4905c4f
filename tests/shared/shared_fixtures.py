"""Fixtures of the quick tests: a state directory with runs in it, and the command line as a function.

The conftest.py of each folder that has quick tests imports them.
"""

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from provisioner.__main__ import main
from provisioner.ansible import inventory as inventories
from provisioner.system.paths import ensure_state_dir

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests/unit/data"
MODULES = "ansible_collections.provisioner.gpu_hosts.plugins.modules"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of the test's own, which commands use unless told otherwise."""
    folder = tmp_path / "state"
    monkeypatch.setenv("PROVISIONER_STATE_DIR", str(folder))
    return folder


@pytest.fixture
def run_module() -> Callable[..., dict[str, Any]]:
    """Run a module of ours on this machine: `run_module(name, parameters)` gives what it says; options as Popen's."""

    def run(name: str, parameters: dict[str, Any], **options: Any) -> dict[str, Any]:
        environment = {**options.pop("env", os.environ), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-m", f"{MODULES}.{name}"],
            env=environment,
            input=json.dumps({"ANSIBLE_MODULE_ARGS": parameters}),
            capture_output=True,
            text=True,
            check=False,
            **options,
        )
        return json.loads(done.stdout)

    return run


@pytest.fixture
def record() -> dict[str, Any]:
    return json.loads((DATA / "record.json").read_text(encoding="utf-8"))


@pytest.fixture
def keep(state: Path, record: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    """Put a record into the store, as the playbooks do; keywords change its fields."""

    def put(**changes: Any) -> dict[str, Any]:
        changed = {**record, **changes}
        folder = state / "runs" / changed["host"] / changed["run_id"]
        folder.mkdir(parents=True)
        (folder / "run.json").touch()  # evidence, of which nothing is asked
        (folder / "record.json").write_text(json.dumps(changed), encoding="utf-8")
        return changed

    return put


@pytest.fixture(scope="session")
def read_inventory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An inventory of two hosts that nothing answers at; beside it, what Ansible has said of it."""
    path = tmp_path_factory.mktemp("inventory") / "inventory.yml"
    path.write_text("all:\n  hosts:\n    h1: {}\n    h2: {}\n", encoding="utf-8")
    inventories.read(str(path), path.parent)
    return path


@pytest.fixture
def inventory(read_inventory: Path, state: Path) -> Path:
    """That inventory, for a test that leaves it as it is; Ansible's answer is kept, as after a first command."""
    shutil.copytree(read_inventory.parent / "inventories", ensure_state_dir(state) / "inventories")
    return read_inventory


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line: its exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def cli_of() -> Callable[..., tuple[int, str, str]]:
    """As `cli`, for a test that runs many a command line: the streams are of each one alone."""

    def run(*arguments: object) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main([str(argument) for argument in arguments])
        return code, out.getvalue(), err.getvalue()

    return run


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, bytes, bytes]]:
    """A key made by gpg, with a subkey: its fingerprint, and it as a text and as packets."""
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)

    def gpg(*arguments: str) -> bytes:
        command = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", "", *arguments]
        return subprocess.run(command, capture_output=True, check=True).stdout

    gpg("--quick-generate-key", "test", "rsa2048", "default", "never")
    lines = gpg("--with-colons", "--list-keys").decode().splitlines()
    fingerprint = next(line.split(":")[9] for line in lines if line.startswith("fpr"))
    yield fingerprint, gpg("--armor", "--export"), gpg("--export")
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
