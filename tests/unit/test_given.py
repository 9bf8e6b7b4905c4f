"""What a user gives besides options: paths, a state directory with something else in it, streams that are closed."""

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from provisioner.ansible import failed_hosts
from provisioner.errors import ProvisionerError
from provisioner.system import files, paths

ROOT = Path(__file__).parents[2]
ID = "20261123T090807Z-a1b2c3"
LOG = "--- Scenario Runner ---\nScenario: x/scenario_a.sh\n"


def refused(cli, *arguments):
    """Give the one line that a command line ends in."""
    code, out, err = cli(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert "; " in err and len(err) < 600
    return err


NO_PATHS = ["x" * 300, "x" * 5000, "~nosuchuser/x", "loop", "loop/x", "\udcff"]


@pytest.mark.parametrize("path", NO_PATHS)
def test_a_path_that_no_file_can_have(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ProvisionerError, match="cannot be used") as caught:
        paths.given(path)
    assert caught.value.code == 2 and len(str(caught.value)) < 200


@pytest.mark.parametrize("path", NO_PATHS)
@pytest.mark.parametrize(
    "command",
    [
        ("facts", "--state-dir"),
        ("facts", "--trace"),
        ("report", "--html"),
        ("export",),
        ("import",),
        ("audit",),
        ("bundle", "-o"),
        ("facts", "--host", "x", "-i"),
    ],
)
def test_it_is_refused_by_each_command(*, cli, keep, tmp_path, monkeypatch, command, path):
    keep()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    assert "another" in refused(cli, *command, path) or path == "\udcff" or command == ("audit",)


def test_a_folder_that_is_closed(tmp_path, monkeypatch):
    """Root may look into each, so the kernel's answer is made up."""

    def closed(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "stat", closed)
    with pytest.raises(ProvisionerError, match="cannot be used: Permission denied"):
        paths.given(str(tmp_path))


@pytest.mark.parametrize("name", ["PROVISIONER_STATE_DIR", "XDG_STATE_HOME"])
@pytest.mark.parametrize("path", ["x" * 300, "~nosuchuser/x", "\udcff"])
def test_a_state_directory_of_the_environment_that_cannot_be(cli, monkeypatch, name, path):
    monkeypatch.delenv("PROVISIONER_STATE_DIR")
    monkeypatch.setenv(name, path)
    refused(cli, "facts")


def test_an_argument_that_is_no_text(cli):
    assert "is not UTF-8; " in refused(cli, "run", "-e", "x=\udcff")


# --- outputs ---


@pytest.mark.parametrize("command", [("facts", "--trace"), ("report", "--html"), ("export",)])
def test_an_output_that_nobody_reads_or_that_is_a_folder(cli, keep, tmp_path, command):
    keep()
    os.mkfifo(tmp_path / "pipe")
    assert "nobody reads from it" in refused(cli, *command, tmp_path / "pipe")
    assert "Is a directory" in refused(cli, *command, "/")


def test_an_output_that_somebody_reads(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    found = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "pipe").read_text()))
    reader.start()
    while not found:
        try:
            files.write(tmp_path / "pipe", "text")
            break
        except ProvisionerError:  # the reader has not come yet
            pass
    reader.join()
    assert found == ["text"]


def test_a_bundle_takes_the_place_of_no_device(cli, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path, "/dev/null"):
        assert "is not a file" in refused(cli, "bundle", "-o", place)
    assert Path("/dev/null").is_char_device()


# --- the state directory ---


@pytest.mark.parametrize("name", ["store.lock", "failed.json", "jobs", "jobs/20200101T000000Z-aaaaaa/lock"])
def test_a_pipe_in_the_state_directory_is_not_waited_for(cli, keep, state, inventory, name):
    keep()
    (state / name).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(state / name)
    for number in range(12 if "/" in name else 0):
        (state / f"jobs/20200101T000000Z-bbbb{number:02}").mkdir()
    assert ID in cli("facts")[1]
    code, _, err = cli("plan", "-i", inventory, "-l", "@failed", "--json")
    assert code == 2 and "@failed matches no host" in err
    code, _, err = cli("plan", "-i", inventory, "-l", "nobody")
    assert code == 2 and "fault" not in err


@pytest.mark.parametrize("name", ["jobs", "baselines"])
def test_a_file_where_a_folder_is_to_be(cli, keep, state, inventory, name):
    keep()
    (state / name).write_text("x")
    command = ("plan", "-i", inventory) if name == "jobs" else ("compare", ID, "--save-baseline", "b")
    assert f"{state}/{name}: " in refused(cli, *command)


@pytest.mark.parametrize("text", ["[" * 10**6, "[]", '{"a": 1}', "\0", '{"a": ["b"]'])
def test_a_broken_memory_of_what_failed_remembers_nothing(state, text):
    state.mkdir()
    (state / "failed.json").write_text(text)
    with pytest.raises(ProvisionerError, match="matches no host"):
        failed_hosts.expand("@failed", state, "inventory")


def test_a_lock_holds_off_others(tmp_path):
    with files.lock(tmp_path / "lock"), pytest.raises(BlockingIOError), files.lock(tmp_path / "lock", 2 | 4):
        pass


# --- queries ---


@pytest.mark.parametrize(
    "query",
    ["runs[::0]", "(" * 3000, "[" * 3000, "!" * 5000, f"runs[{'9' * 5000}]", "abs(&x)", "&host", "to_array(&host)"],
)
def test_a_query_that_cannot_be_answered(cli, keep, query):
    keep()
    assert "the query " in cli("facts", "-q", query)[2] and cli("facts", "-q", query)[0] == 2


# --- logs ---


@pytest.mark.parametrize("host", ["", ".", "..", "a/b", "x" * 300, "é" * 200])
def test_a_host_that_no_folder_can_be_called_by(cli, tmp_path, host):
    (tmp_path / "log").write_text(f"{LOG}Start: 2025-08-12T08:44:13Z\n")
    assert "--host" in refused(cli, "import", tmp_path / "log", f"--host={host}")


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00"])
def test_a_log_of_a_time_that_is_none(cli, tmp_path, time):
    (tmp_path / "log").write_text(f"{LOG}Start: {time}\n")
    assert "is not a log of the shell benchmark" in refused(cli, "import", tmp_path / "log")


# --- streams ---


def run(redirection, state):
    """Run `facts --json` by a shell; give its exit code and what came on stdout and stderr."""
    command = f"{sys.executable} -m provisioner facts --json {redirection}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PROVISIONER_STATE_DIR": str(state)}
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("redirection", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_a_closed_stdout_ends_as_a_pipe_that_nobody_reads(keep, state, redirection):
    keep()
    assert run(redirection, state) == (141, "", "")


@pytest.mark.parametrize("redirection", ["<&-", "2>&-", "<&- 2>&-"])
def test_other_closed_streams_change_nothing(keep, state, redirection):
    keep()
    code, out, err = run(redirection, state)
    assert (code, err) == (0, "") and json.loads(out)["runs"][0]["run_id"] == ID
