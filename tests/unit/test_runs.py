"""What the host's side knows of its runs: the lock, runs that were cut short, what was collected, and evidence."""

import base64
import fcntl
import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import run_start
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import runs as of_host
from ansible_collections.provisioner.gpu_hosts.plugins.modules import scenario_run

BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
DESCRIBED = {"started_at": "2026-11-23T07:00:00Z", "boot_id": BOOT, "input_hash": "h"}
UPTIME = float(Path("/proc/uptime").read_text().split()[0])


@pytest.fixture(autouse=True)
def no_docker(monkeypatch):
    monkeypatch.setattr(of_host.shutil, "which", lambda _: None)


@pytest.fixture
def runs(tmp_path):
    (tmp_path / "lock").touch()
    return of_host.Runs(str(tmp_path))


@pytest.fixture
def keep(runs):
    def put(run, *events, result=None, **described):
        folder = runs.folder / run
        folder.mkdir(parents=True)
        described = {
            "run_id": run,
            "started_at": "2026-11-23T07:00:00Z",
            "boot_id": BOOT,
            "input_hash": "h",
        } | described
        (folder / "run.json").write_text(json.dumps(described))
        lines = [{"event": what, "phase": phase, "uptime": at} for what, phase, at in events]
        (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        if result:
            (folder / "result.json").write_text(json.dumps({"outcome": result}))
        return folder

    return put


@pytest.fixture
def held(runs):
    """Hold the lock, as the script does, in the name of a run."""
    files = []

    def hold(run):
        lock = (runs.root / "lock").open("w")
        files.append(lock)
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"{run}\n")
        lock.flush()

    yield hold
    for lock in files:
        lock.close()


IN_COMPILE = (("begin", "run", UPTIME - 9), ("begin", "container_up", UPTIME - 8), ("begin", "compile", UPTIME - 5))


def test_the_lock_names_the_run_that_is_under_way(runs, keep, held):
    assert runs.under_way() is None
    keep("other", result="ok")
    keep("mine", *IN_COMPILE)
    held("mine")
    assert runs.under_way() == "mine"
    runs.settle()
    assert runs.result("mine") is None, "a run under way is not one that was cut short"
    now = runs.progress("mine")
    assert (now["state"], now["phase"]) == ("running", "compile")
    assert 5 <= now["phase_elapsed"] < now["elapsed"]


def test_the_log_of_a_run_that_an_earlier_version_began_is_read(runs, keep, held):
    folder = keep("mine", *IN_COMPILE[:2])
    held("mine")
    (folder / "scenario_a.log").write_text("2026-11-23T14:21:52.666Z Step 3/9\n")
    assert runs.progress("mine")["said"] == "Step 3/9"


@pytest.mark.parametrize("holder", ["", "a clean-up", "finished"])
def test_who_holds_the_lock_without_a_run_under_way_is_waited_for_and_then_named(runs, keep, held, holder):
    keep("finished", result="ok")
    held(holder)
    with pytest.raises(RuntimeError, match=holder or "something"):
        runs.under_way(patience=0)


def test_what_the_build_says_just_now_is_told_where_nothing_can_be_counted(runs, keep, held):
    folder = keep("mine", *IN_COMPILE[:2])
    held("mine")
    assert runs.progress("mine")["said"] == "", "it has no log yet"
    log = folder / "run.log"
    times = "2026-11-23T14:21:52.666Z [2026-11-23T14:21:52.665Z]"
    log.write_text(f"{'x' * 10**6}\n{times} Step 3/9 : RUN pip install {'y' * 300}\n\n")
    assert runs.progress("mine")["said"] == f"Step 3/9 : RUN pip install {'y' * 300}"[:200]
    assert runs.progress("mine")["input_hash"] == "h"
    (folder / "container").mkdir()
    (folder / "container/pip.log").write_text("  [3/13] nvcc\n")
    begun = {"event": "begin", "phase": "compile", "uptime": UPTIME - 5}
    (folder / "container/events.jsonl").write_text(json.dumps(begun) + "\n")
    told = runs.progress("mine")
    assert (told["done"], told["total"], told["said"]) == (3, 13, "")


def test_a_run_without_an_end_and_without_the_lock_was_cut_short(runs, keep):
    keep("r", *IN_COMPILE)
    runs.settle()
    result = runs.result("r")
    assert (result["outcome"], result["exit_code"], result["phase"]) == ("interrupted", None, "compile")
    assert "killed on its host" in result["cause"]
    assert runs.progress("r")["state"] == "finished"
    assert runs.finished_well("h") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"described": {"boot_id": "another"}, "events": IN_COMPILE},
        # A container with an init of its own: the kernel's boot id stays, process 1 is younger than the run.
        {"described": {}, "events": [(what, phase, 0.0) for what, phase, _ in IN_COMPILE]},
    ],
)
def test_a_restart_of_the_host_is_named(runs, keep, changes):
    keep("r", *changes["events"], **changes["described"])
    runs.settle()
    assert "restarted" in runs.result("r")["cause"]


def test_what_never_began_is_no_run(runs):
    (runs.folder / "half").mkdir(parents=True)
    assert runs.interruption("half")["phase"] is None
    runs.settle()
    assert runs.newest_first() == []


def test_a_run_of_these_inputs_that_went_well_is_found_and_the_newest_first(runs, keep):
    keep("a", result="ok", started_at="2026-11-23T07:00:00Z")
    keep("b", result="ok", started_at="2026-11-23T08:00:00Z")
    keep("c", result="failed", started_at="2026-11-23T09:00:00Z")
    keep("d", result="ok", started_at="2026-11-23T10:00:00Z", input_hash="other")
    assert runs.newest_first() == ["d", "c", "b", "a"]
    assert runs.finished_well("h") == "b"


def test_evidence_travels_whole(runs, keep):
    folder = keep("r", *IN_COMPILE, result="ok")
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(runs.packed("r")))) as tar:
        assert tar.extractfile("r/run.json").read() == (folder / "run.json").read_bytes()


def test_the_list_of_runs_brings_the_evidence_that_is_wanted_if_its_run_has_ended(runs, keep, held):
    keep("older", *IN_COMPILE, result="ok", started_at="2026-11-23T06:00:00Z")
    keep("newer", result="ok")
    keep("going", *IN_COMPILE, started_at="2026-11-23T08:00:00Z")
    held("going")
    found = scenario_run.listed(runs, "older")
    assert [run["run_id"] for run in found["scenario_ended"]] == ["newer", "older"]
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(found["archive"]))) as tar:
        assert "older/result.json" in tar.getnames()
    assert not {"archive"} & (scenario_run.listed(runs, "going").keys() | scenario_run.listed(runs, None).keys())


def test_that_a_run_was_collected_is_remembered_beside_its_evidence(runs, keep):
    folder = keep("r", result="ok")
    before = sorted(folder.iterdir())
    assert not runs.is_collected("r")
    assert runs.note_collected("r") and not runs.note_collected("r")
    assert runs.is_collected("r") and sorted(folder.iterdir()) == before
    assert runs.newest_first() == ["r"]


def test_a_half_line_of_events_and_a_cut_off_file_are_nothing(runs, keep):
    folder = keep("r", *IN_COMPILE)
    with (folder / "events.jsonl").open("a") as events:
        events.write('{"event":"end","ph')
    (folder / "result.json").write_text("")
    assert runs.result("r") is None
    assert runs.progress("r")["phase"] == "compile"


def test_what_the_container_s_user_puts_there_is_read_as_regular_files_and_so_much_of_them(runs, keep, tmp_path):
    """Opening the pipe would never end, and the link leads to what only root may read."""
    keep("r", result="ok")
    container = tmp_path / "runs/r/container"
    container.mkdir(exist_ok=True)
    for name in ("events.jsonl", "pip.log"):
        (container / name).unlink(missing_ok=True)
    os.mkfifo(container / "events.jsonl")
    secret = tmp_path / "secret"
    secret.write_text("[1/2] secret")
    (container / "pip.log").symlink_to(secret)
    (container / "ninja").symlink_to(tmp_path)
    assert runs.ninja_step("r") == (None, None)
    assert runs.progress("r")["state"] == "finished"
    archive = base64.b64decode(runs.packed("r"))
    assert b"secret" not in archive
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert all(member.isreg() or member.isdir() for member in tar)
    (container / "large").touch()
    os.truncate(container / "large", of_host.LARGEST + 1)
    with pytest.raises(OSError, match="more than"):
        runs.packed("r")


@pytest.mark.parametrize(
    "line",
    ["[]", "1", '{"event": "begin"}', '{"event": 1, "phase": "x", "uptime": 1}', "[" * 100_000]
    + [f'{{"event": "begin", "phase": "x", "uptime": {value}}}' for value in ("NaN", "1e999", "true", '"1"', "null")],
)
def test_a_line_of_events_that_is_none_is_nothing(runs, keep, tmp_path, line):
    keep("r")
    before = runs.events("r")
    (tmp_path / "runs/r/container").mkdir(exist_ok=True)
    (tmp_path / "runs/r/container/events.jsonl").write_text(line + "\n")
    assert runs.events("r") == before


@pytest.mark.parametrize(
    ("mode", "owner", "refused"),
    [(0o755, 0, False), (0o700, 0, False), (0o1777, 0, False), (0o777, 0, True), (0o775, 0, True), (0o755, 1000, True)],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="takes root, to give a folder away")
def test_a_folder_in_which_others_can_replace_what_root_runs_is_refused(tmp_path, mode, owner, refused):
    above = tmp_path / "above"
    above.mkdir()
    (tmp_path / "link").symlink_to(above)
    above.chmod(mode)
    os.chown(above, owner, 0)
    for root in (above / "scenario_a", tmp_path / "link/scenario_a"):
        assert bool(run_start.exposed(root)) == refused


def test_the_folder_with_the_least_room_is_told(tmp_path, monkeypatch):
    (tmp_path / "small").mkdir()
    room = {tmp_path: 30, tmp_path / "small": 10}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=room[path]))
    paths = [tmp_path, tmp_path / "small/not/yet", tmp_path / "not-yet"]
    assert run_start.too_full(paths, 10) is None
    assert f" are free at {tmp_path}/small, and" in run_start.too_full(paths, 11)


def test_a_lock_that_is_no_file_is_told_and_not_waited_for(runs, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "lock").unlink()
    os.mkfifo(tmp_path / "lock")
    for asks in (runs.under_way, runs.settle):
        with pytest.raises(OSError, match="not a regular file"):
            asks()
