"""The manual page: of all that the table has, and without a word of complaint by those who set it."""

import re
import subprocess

import pytest

from provisioner import cli as command_line


@pytest.fixture
def page(cli):
    code, out, err = cli("man")
    assert (code, err) == (0, "")
    return out


def shown(page, *command):
    done = subprocess.run(command, input=page, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_it_is_set_without_a_warning(page):
    assert shown(page, "groff", "-ww", "-man", "-Tutf8")


def test_man_shows_every_command_option_and_exit_code(page, monkeypatch):
    monkeypatch.setenv("MANWIDTH", "400")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    text = shown(page, "man", "-l", "-")
    for command in command_line.COMMANDS:
        section = re.search(rf"^   provisioner {command.name}( .*)?\n((    .*)?\n)+", text, re.MULTILINE)
        assert section, command.name
        assert command.example in section[0]
        for option in command.options:
            assert ", ".join(flag for flag in option.flags if flag.startswith("-")) in section[0]
            assert option.settings["help"].replace("%%", "%").replace("`", "")[1:] in section[0]
    common = text.partition("COMMON OPTIONS")[2]
    assert all(", ".join(option.flags) in common for option in command_line.COMMON)
    assert all(meaning[1:] in text for meaning in command_line.EXIT_CODES.values())


def test_it_fits_a_terminal_of_80_columns_and_breaks_no_word(page, monkeypatch):
    monkeypatch.setenv("MANWIDTH", "80")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    text = shown(page, "man", "-l", "-")
    assert max(map(len, text.splitlines())) <= 80
    assert "\u2010" not in text  # a hyphen that is not in the text


def test_it_has_no_date_so_that_the_same_version_is_the_same_page(cli, page):
    assert page == cli("man")[1]
    assert '.TH PROVISIONER 1 "" "provisioner ' in page
