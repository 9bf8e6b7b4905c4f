"""Every option of every command, with texts that nobody thought of: a result, or one line and exit code 2.

How long this goes on: fuzz.py.
"""

import json
import os
import shutil
from pathlib import Path

import pytest
from fuzz import DATA, TEXTS, examples
from hypothesis import given
from hypothesis import strategies as st

from provisioner import cli
from provisioner.ansible import inventory
from provisioner.errors import Exit, ProvisionerError
from provisioner.lab import workflow
from provisioner.offline import bundle

RECORD = json.loads((DATA / "record.json").read_text(encoding="utf-8"))
ID = RECORD["run_id"]
NEEDED = {
    "audit": [ID],
    "compare": [ID, ID],
    "export": ["-"],
    "import": ["log"],
    "delete": [ID, "--yes"],
    "prune": ["--keep", "30d"],
}
"""What a command wants to be given besides."""
OPTIONS = [
    (command, option)
    for command in cli.COMMANDS
    for option in (*command.options, *cli.COMMON)
    if option.settings.get("action") not in {"store_true", "count"}
]


@pytest.fixture(autouse=True)
def nothing_is_done(monkeypatch, tmp_path):
    """Commands end where they would touch a host, the network or an engine; they work in a folder of the test's own."""

    def begin(*_args, **_kwargs):
        raise ProvisionerError("begun", "in earnest", 100)

    for module in ("cancel", "clean", "doctor", "plan", "prepare", "run", "status"):
        monkeypatch.setattr(f"provisioner.commands.{module}.run_playbook", begin)
    monkeypatch.setattr(bundle, "_pip", begin)
    monkeypatch.setattr(workflow, "engine", begin)
    # What is no file is refused before; the rest is for test_fuzz_files.
    monkeypatch.setattr(inventory, "_ask_ansible", lambda *_asked: {"all": {"hosts": ["h1"], "children": []}})
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    os.mkfifo("pipe")
    Path("loop").symlink_to("loop")
    Path("zero").symlink_to("/dev/zero")


# An absolute path would be written to; these are of the folder that the test works in.
GIVEN = st.one_of(TEXTS, st.sampled_from(["pipe", "loop", "zero", "here", "log", "pipe/x", "log/x"])).filter(
    lambda text: not text.startswith(("/", "~/")) and ".." not in text and "\0" not in text and text != "~"
)


@pytest.mark.parametrize(("command", "option"), OPTIONS, ids=[f"{c.name} {o.flags[-1]}" for c, o in OPTIONS])
@examples(2)
@given(data=st.data())
def test_an_option(cli_of, tmp_path, command, option, data):
    value = data.draw(GIVEN)
    state = tmp_path / "state"
    shutil.rmtree(state, ignore_errors=True)
    folder = state / "runs" / RECORD["host"] / ID
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(RECORD), encoding="utf-8")
    shutil.copy(DATA / "upstream.log", "log")
    needed, flag = NEEDED.get(command.name, []), option.flags[-1]
    words = [*needed, f"{flag}={value}"] if flag.startswith("-") else ["--", value, *needed[1:2]]
    code, _, err = cli_of(*command.name.split(), *words)
    assert code in {100, *Exit}, err
    assert "fault in provisioner" not in err and "Traceback" not in err
    if code == Exit.BAD_INPUT:
        last = err.splitlines()[-1]
        assert last.startswith("provisioner: ") and "; " in last and last.isprintable(), err
        assert len(err.splitlines()) <= 2, err
