"""The command line: help, where options may stand, and that whatever is wrong is one line."""

import json
import os
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from provisioner import cli as command_line
from provisioner.errors import ProvisionerError

ROOT = Path(__file__).parents[2]
NAMES = [command.name for command in command_line.COMMANDS]


@pytest.mark.parametrize("command", command_line.COMMANDS, ids=NAMES)
def test_each_command_has_help_with_its_example_and_the_common_options_that_it_takes(cli, command):
    code, out, err = cli(*command.name.split(), "--help")
    assert (code, err) == (0, "")
    assert f"example:\n  provisioner {command.name}" in out
    common = out.partition("common options:")[2]
    for option in command_line.COMMON:
        assert (f"{option.flags[-1]} " in common.replace("\n", " ")) == (option.name in command.common), option.name


@pytest.mark.parametrize("command", command_line.COMMANDS, ids=NAMES)
def test_each_example_parses_and_its_module_is_there(command):
    options = command_line.parse(shlex.split(command.example)[1:])
    assert options.command == command.name
    assert (ROOT / "provisioner" / "commands" / f"{command.module}.py").is_file()


@pytest.mark.parametrize("name", ["", "lab", *NAMES])
def test_help_fits_a_terminal_of_80_columns(cli, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "80")
    assert [line for line in cli(*name.split(), "--help")[1].splitlines() if len(line) > 80] == []


def test_common_options_may_stand_before_or_after_the_command():
    before = command_line.parse(["-i", "x.yml", "-e", "a=1", "--json", "--forks", "3", "-vv", "run"])
    after = command_line.parse(["run", "-i", "x.yml", "-e", "a=1", "--json", "--forks", "3", "-vv"])
    for options in (before, after):
        assert (options.inventory, options.extra_vars, options.json) == (["x.yml"], ["a=1"], True)
        assert (options.forks, options.verbose) == (3, 2)


def test_what_is_given_before_and_after_the_command_counts_once_more_or_last():
    options = command_line.parse(["-v", "--forks", "3", "run", "-v", "--forks", "4"])
    assert (options.verbose, options.forks) == (2, 4)


def test_variables_before_and_after_the_command_are_all_taken():
    assert command_line.parse(["-e", "a=1", "run", "-e", "b=2"]).extra_vars == ["a=1", "b=2"]


def test_defaults_are_the_same_wherever_the_options_stand():
    options = command_line.parse(["run"])
    assert (options.forks, options.json, options.verbose, options.inventory) == (8, False, 0, [])


@pytest.mark.parametrize(
    "arguments",
    [
        *(["nonsense"], ["run", "--forks", "many"], ["-v", "lab"], ["facts", "-o", "xml"], ["audit"], ["--json"]),
        *(["lab", "nonsense"], ["lab", "--json", "up"], ["--nonsense"], ["run", "--nonsense"], ["facts", "nonsense"]),
        *(
            ["facts", "--last=--"],
            ["facts", "--since=--"],
            ["facts", "-q--"],
            ["run", "-i=--"],
            ["facts", "--host=\udcff"],
        ),
    ],
)
def test_bad_usage_is_one_line_that_names_the_help(cli, arguments):
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("provisioner: ") and err.count("\n") == 1
    assert "--help" in err


def test_help_is_quick_and_imports_nothing_heavy():
    program = (
        "import sys; from provisioner.__main__ import main; main(['--help']);"
        "heavy = {'shtab', 'difflib', 'pydantic', 'rich', 'ansible_runner', 'docker', 'jmespath', 'yaml', 'ansible'};"
        "sys.exit(','.join(sorted(heavy & set(sys.modules))) or None)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stderr) == (0, "")
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 0.25


NEEDS = {
    "audit": {"pydantic"},
    "import_files": {"pydantic"},
    "lab_dresses": {"docker", "pydantic"},
    "lab_ssh": {"docker", "pydantic"},
    "lab_up": {"docker", "pydantic"},
    "lab_status": {"docker", "pydantic"},
    "lab_down": {"docker", "pydantic"},
}


def test_a_command_brings_in_only_what_it_needs():
    """The memory of `run` is held for as long as a run takes, on the machine that is measured."""
    # A process of its own for each, forked from one Python: to start one takes longer than the command's imports.
    program = """if True:
        import importlib, json, os, sys
        for name in sys.argv[1:]:
            if not (child := os.fork()):
                importlib.import_module(f"provisioner.commands.{name}")
                print(json.dumps([name, sorted(sys.modules)]), flush=True)
                os._exit(0)
            os.waitpid(child, 0)
    """
    heavy = {
        "shtab",
        "pydantic",
        "rich",
        "ansible_runner",
        "ansible",
        "docker",
        "jinja2",
        "numpy",
        "scipy",
        "jmespath",
        "lxml",
    }
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    modules = {command.module for command in command_line.COMMANDS}
    said = subprocess.check_output([sys.executable, "-c", program, *modules], env=environment, text=True)
    brought = dict(map(json.loads, said.splitlines()))
    assert set(brought) == modules
    for module, names in brought.items():
        assert heavy & set(names) == NEEDS.get(module, set()), module


def test_an_unexpected_fault_is_one_line_and_its_traceback_is_kept(cli, monkeypatch, state):
    monkeypatch.setattr(command_line, "parse", lambda _: 1 / 0)
    code, _, err = cli("run")
    assert code == 1
    assert err.count("\n") == 1 and "Traceback" not in err
    kept = list((state / "faults").iterdir())
    assert str(kept[0]) in err
    assert "ZeroDivisionError" in kept[0].read_text()
    assert "Traceback" in cli("run", "-v")[2]


def test_an_interrupt_is_130_and_says_what_goes_on(cli, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "parse", interrupted)
    code, _, err = cli("run")
    assert code == 130
    assert "a run that is on a host goes on there" in err and err.count("\n") == 1


def test_a_closed_pipe_is_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "provisioner", "facts", "--json"],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.close(writer)
    assert done.returncode == 141 and b"Traceback" not in done.stderr and b"Broken pipe" not in done.stderr


def test_an_output_without_room_is_one_line_with_its_remedy(state):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "provisioner", "facts", "--json", "--state-dir", state],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    assert done.returncode == 1 and "No space left on device; make room" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr and not (state / "faults").exists()


def test_an_error_is_one_line_even_of_several():
    assert str(ProvisionerError("first\nsecond", "mend\n it", 2)) == "first second; mend it"
