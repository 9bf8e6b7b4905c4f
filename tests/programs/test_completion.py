"""Completion in real shells, each in a terminal, as somebody types; and what the shells ask for."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from provisioner import cli as command_line
from provisioner.command_line import completion

ROOT = Path(__file__).parents[2]
LEARN = {
    "bash": ". <(provisioner completion bash)",
    "zsh": "mkdir -p ~/.zfunc\nprovisioner completion zsh >~/.zfunc/_provisioner\nfpath+=~/.zfunc",
    "fish": "set d ~/.config/fish/completions; mkdir -p $d\nprovisioner completion fish >$d/provisioner.fish",
}
"""What the help says that installs it, for each shell."""
OLD, NEW = "20260101T000000Z-aaaaaa", "20261123T090807Z-a1b2c3"


class Terminal:
    """A shell in a terminal: bash or zsh, without anybody's settings."""

    def __init__(self, name, environment, folder):
        arguments = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"]}[name]
        self.process = pexpect.spawn(
            name, arguments, env=environment, cwd=str(folder), dimensions=(50, 500), encoding="utf-8", timeout=60
        )
        then = "autoload -Uz compinit; compinit -u -D; " if name == "zsh" else ""
        # The end is typed in another way than it is printed, so that the echo is not taken for it.
        self.process.sendline(f"{LEARN[name]}\n{then}echo en''d")
        self.process.expect("end\r?\n")

    def completed(self, typed):
        """Give the line that comes of what is typed and a tabulator."""
        # What is put around the line then prints its words instead of running it.
        self.process.send(f"{typed}\t\x01printf '[%s]' be''gin \x05 en''d\r")
        self.process.expect(r"\[begin\]\[(.*?)\]\[end\]")
        return self.process.match[1].replace("][", " ")

    def close(self):
        self.process.close(force=True)


class Fish:
    """fish, which tells without a terminal what it would complete."""

    def __init__(self, _name, environment, folder):
        self.options = {"env": environment, "cwd": folder, "text": True}
        subprocess.run(["fish", "-c", LEARN["fish"]], check=True, **self.options)

    def completed(self, typed):
        """Give the line that comes of what is typed and a tabulator; as it is where there are several.

        fish 4 tells looser matches too, as --xformers-url for --xformers-r; it takes none where one begins as typed.
        """
        ask = ["fish", "-c", f"complete -C{shlex.quote(typed)}"]
        lines = subprocess.run(ask, check=True, capture_output=True, **self.options).stdout.splitlines()
        before, _, word = typed.rpartition(" ")
        offered = [line.partition("\t")[0] for line in lines]
        matches = [value for value in offered if value.startswith(word)] or offered
        return f"{before} {matches[0]}" if len(matches) == 1 else typed

    def close(self):
        pass


@pytest.fixture
def known(keep, record, state):
    """Two runs on two hosts, a host whose name would be a command, and a lab."""
    keep(run_id=OLD, host="gpu-01")
    keep(run_id=NEW, host="web-02")
    keep(run_id="20261124T090807Z-a1b2c3", host="$(touch hacked)")
    lab = state / "lab" / "mine"
    lab.mkdir(parents=True)
    (lab / "inventory.yml").write_text(json.dumps({"all": {"hosts": {"mine-1": {}, "mine-2": {}}}}))


@pytest.fixture(params=list(LEARN))
def shell(request, known, tmp_path, state):
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed; bin/test installs it")
    program = tmp_path / "bin" / "provisioner"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {sys.executable} -m provisioner "$@"\n')
    program.chmod(0o755)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "fleet.yml").touch()
    environment = os.environ | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PROVISIONER_STATE_DIR": str(state),
        "HOME": str(tmp_path),
        "TERM": "xterm",
        "PS1": "$ ",
    }
    shell = (Fish if request.param == "fish" else Terminal)(request.param, environment, tmp_path / "here")
    yield shell
    shell.close()


def test_a_shell_completes_commands_options_and_values(shell, tmp_path):
    for typed, line in {
        "provisioner fac": "provisioner facts",
        "provisioner lab dr": "provisioner lab dresses",
        "provisioner run --xformers-r": "provisioner run --xformers-ref",
        "provisioner run --profile reg": "provisioner run --profile registries",
        "provisioner run -i fl": "provisioner run -i fleet.yml",
        "provisioner facts -o ya": "provisioner facts -o yaml",
        "provisioner facts --host web": "provisioner facts --host web-02",
        "provisioner run -l gp": "provisioner run -l gpu-01",
        "provisioner audit 20261123": f"provisioner audit {NEW}",
        "provisioner delete --yes 202601": f"provisioner delete --yes {OLD}",
        "provisioner lab down --name mi": "provisioner lab down --name mine",
        "provisioner lab up --as toolkit-in": "provisioner lab up --as toolkit-in-mode-cdi",
    }.items():
        assert shell.completed(typed) == line, typed
    assert not (tmp_path / "here" / "hacked").exists()


def test_an_option_that_means_nothing_to_a_command_is_not_offered(shell):
    assert shell.completed("provisioner facts --prof").endswith("--prof")


def test_what_a_shell_asks_for_are_plain_words(cli, known, state):
    def told(kind):
        code, out, err = cli("completion", "--values", kind)
        assert (code, err) == (0, "")
        return out.split()

    assert set(told("runs")) >= {OLD, NEW}
    assert told("hosts") == ["gpu-01", "web-02"]
    assert told("labs") == ["mine"] and told("lab_hosts") == ["mine-1", "mine-2"]
    assert {"gpu-01", NEW} <= set(told("sides"))


@pytest.mark.parametrize("kind", completion.KINDS)
def test_where_there_is_nothing_nothing_is_told_and_nothing_made(cli, state, kind):
    assert cli("completion", "--values", kind) == (0, "", "")
    assert not state.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--values", "rns"], "--values 'rns' is not a kind of values; did you mean runs?"),
        (["tcsh"], "'tcsh' is none of bash, zsh, fish"),
        ([], "no shell was named; give bash or zsh or fish"),
    ],
)
def test_a_shell_or_a_kind_that_there_is_not(cli, arguments, says):
    code, out, err = cli("completion", *arguments)
    assert (code, out) == (2, "") and says in err and err.count("\n") == 1


def test_its_help_says_how_it_is_installed(cli):
    _, out, _ = cli("completion", "--help")
    lines = [line.strip() for line in out.splitlines()]
    assert {line for learn in LEARN.values() for line in learn.splitlines()} <= set(lines)


def test_every_kind_of_values_in_the_table_is_known():
    kinds = {option.values for command in command_line.COMMANDS for option in (*command.options, *command_line.COMMON)}
    assert kinds - {"", "file", "directory"} == {*completion.KINDS, *completion.FIXED}
