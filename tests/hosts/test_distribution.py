"""The wheel, as somebody installs it: under its own name, with the command, the roles and the manual page."""

import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = "gpu-host-provisioner"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A virtual environment that has the wheel; what it needs is this environment's."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    assert wheel.name.startswith("gpu_host_provisioner-")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (site / "needed.pth").write_text(str(Path(distribution("ansible-core").locate_file("")).resolve()))
    return folder / "venv"


def said(*command):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = list(map(str, command))
    return subprocess.run(words, cwd="/", env=environment, capture_output=True, text=True, check=True).stdout


def test_the_command_works_outside_a_checkout(installed, tmp_path):
    command = installed / "bin" / "provisioner"
    assert said(command, "--version").startswith("provisioner ")
    assert said(command, "completion", "bash").count("registries")
    where = said(installed / "bin/python", "-c", "import provisioner.system.paths as p; print(p.ansible_dir())")
    assert where.startswith(f"{installed}/")


def test_man_finds_its_page(installed):
    page = said("man", "-M", installed / "share/man", "provisioner")
    assert "provisioner lab ssh" in page
    assert (installed / "share/man/man1/provisioner.1").read_text() == said(installed / "bin/provisioner", "man")


def test_it_is_known_by_the_name_of_the_distribution(installed):
    ask = f"from importlib.metadata import metadata; print(metadata({NAME!r})['Name'])"
    assert said(installed / "bin/python", "-c", ask) == f"{NAME}\n"
