"""Progress, from events as ansible-runner gives them: at once when something begins, else at a sane rate."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pexpect
import pytest

from provisioner.ansible import runs_in_flight
from provisioner.ansible.events import (
    Busy,
    Looked,
    Output,
    Progress,
    RecordFound,
    Said,
    Silent,
    Started,
    TaskFailure,
    Waiting,
)
from provisioner.store import Store
from provisioner.view import history
from provisioner.view.fleet import Fleet, Standing
from provisioner.view.history import History, Left
from provisioner.view.live import REFRESH, picture
from provisioner.view.progress import Lines, show


class Clock:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def lines(stream, clock):
    return Lines(stream, Fleet(clock=clock))


def at(phase, elapsed, inside=0.0, done=None, total=None, *, state="running", host="h1"):
    return Progress(host, "r1", state, phase, elapsed, inside, done, total)


def test_a_phase_is_told_when_it_begins_and_not_again_at_once(lines, stream, clock):
    lines.event(at("image_build", 1.0))
    for second in range(1, 10):
        clock.now = 1000.0 + second
        lines.event(at("image_build", 1.0 + second, second))
        lines.tick()
    assert stream.getvalue() == "h1: image_build, 1.0s in all\n"
    lines.event(at("compile", 31.0, 0.0, 0, 13))
    assert stream.getvalue().splitlines()[1] == "h1: compile 0/13, 31.0s in all"


def test_a_long_phase_has_a_line_every_ten_seconds(lines, stream, clock):
    lines.event(at("compile", 100.0, 5.0, 2, 13))
    for _ in range(12 * 60 * 4):  # twelve minutes of quarter seconds
        clock.now += 0.25
        lines.tick()
    told = stream.getvalue().splitlines()
    assert len(told) == 1 + 72
    # Between two looks at the host our own clock carries its elapsed time on.
    assert told[1] == "h1: compile 2/13 for 15.0s, 1m50s in all"


def test_the_rate_is_of_each_host(lines, stream, clock):
    for host in ("h1", "h2"):
        lines.event(at("clean", 0.0, host=host))
    clock.now += 30
    lines.tick()
    assert [line[:2] for line in stream.getvalue().splitlines()] == ["h1", "h2", "h1", "h2"]


def test_before_the_run_the_play_is_told_and_then_the_task(lines, stream, clock):
    for task in ("one", "two", "three"):
        lines.event(Started("h1", "Prepare the hosts", task))
    clock.now += 31
    lines.tick()
    assert stream.getvalue().splitlines() == [
        "h1: Prepare the hosts",
        "h1: Prepare the hosts, 31.0s in all; for 31.0s: three",
    ]


def test_what_a_tasks_programs_say_is_told_beside_its_time(lines, stream, clock):
    lines.event(Started("h1", "Prepare the hosts", "Install"))
    lines.event(Said("h1", "Unpacking a thing"))
    clock.now += 31
    lines.tick()
    lines.event(Started("h1", "Prepare the hosts", "Start"))
    clock.now += 31
    lines.tick()
    assert stream.getvalue().splitlines()[1:] == [
        "h1: Prepare the hosts, 31.0s in all; for 31.0s: Install: Unpacking a thing",
        "h1: Prepare the hosts, 1m02s in all; for 31.0s: Start",
    ]


def test_what_a_host_waits_for_is_told_once_and_forgotten_when_it_goes_on(lines, stream, clock):
    lines.event(Started("h1", "Prepare the hosts", "Wait"))
    for _ in range(2):
        lines.event(Waiting("h1", "dpkg (process 7), which has the lock"))
    lines.event(Started("h1", "Run Scenario A", "Lay down"))
    assert stream.getvalue().splitlines()[1:] == [
        "h1: waiting for dpkg (process 7), which has the lock",
        "h1: Run Scenario A",
    ]


def test_the_end_is_told_once(lines, stream, clock):
    lines.event(at("compile", 10.0))
    lines.event(at(None, 331.2, state="finished"))
    clock.now += 100
    lines.tick()
    assert stream.getvalue().splitlines()[1:] == ["h1: finished, 5m31s"]


def test_what_a_person_should_read_first_is_told_at_once_and_once(lines, stream):
    """That containers will stop, say: after it was done nobody could do anything about it."""
    for _ in range(2):
        lines.event(Looked("h1", "docker_engine", (), notes=("[these] containers will stop",)))
    assert stream.getvalue() == "provisioner: h1: [these] containers will stop\n"
    terminal = Terminal()
    with show(("h1",), stream=terminal) as view:
        view.event(Looked("h1", "docker_engine", (), notes=("[these] containers will stop",)))
    assert "provisioner: h1: [these] containers will stop" in terminal.getvalue()


def test_that_a_host_is_busy_is_told_before_anything_is_done_there(lines, stream):
    lines.event(Busy("h1", ("1 Slurm job: 7", "2 pods")))
    assert stream.getvalue() == "provisioner: h1: the host is busy: 1 Slurm job: 7; 2 pods\n"


def test_a_second_run_of_the_same_host_is_not_over_before_it_began(clock):
    standing = Standing("h1")
    for _ in range(2):
        standing.take(Started("h1", "Run", "start"), 0.0)
        assert not standing.over
        standing.take(at("compile", 10.0), 1.0)
        standing.take(at(None, 20.0, state="finished"), 2.0)
        standing.take(Started("h1", "Collect", "collect"), 3.0)
        standing.take(RecordFound("h1", {"outcome": "ok"}), 3.0)
        assert standing.over


def test_a_terminal_that_cannot_draw_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    with show(("h1",), stream=Terminal()) as view:
        assert isinstance(view, Lines)


def test_a_failure_is_told_once_and_no_more_is_said(lines, stream, clock):
    lines.event(Started("h1", "p", "t"))
    lines.event(TaskFailure("h1", "p", "t", unreachable=False, message="no room; make some"))
    clock.now += 100
    lines.tick()
    assert stream.getvalue().splitlines()[1:] == ["h1: failed in 't'"]


def test_a_refused_input_is_not_told_by_the_progress(lines, stream):
    lines.event(
        TaskFailure("h1", "p", "t", unreachable=False, message="no such thing; give another", invalid_inputs=True)
    )
    assert stream.getvalue() == ""


def test_ansibles_own_output_only_when_asked_for(stream):
    Lines(stream).event(Output("TASK [x]"))
    assert stream.getvalue() == ""
    Lines(stream, verbose=True).event(Output("TASK [x]"))
    assert stream.getvalue() == "TASK [x]\n"
    Lines(stream, verbose=True).event(Output("msg:\nprovisioner: h1: all is well\x1b[2J"))
    assert stream.getvalue().endswith("msg:\n  provisioner: h1: all is well\\x1b[2J\n")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_a_live_line():
    terminal = Terminal()
    with show(("h1", "h2"), stream=terminal) as view:
        view.event(Started("h1", "Prepare [the] hosts", "[red]task"))
        view.tick()
        time.sleep(REFRESH)
        view.event(at("compile", 60.0, 30.0, 3, 13))
        view.tick()
    shown = terminal.getvalue()
    assert "Prepare [the] hosts" in shown and "[red]task" in shown
    assert "compile 3/13" in shown and "for 30.0s  1m00s in all" in shown
    assert "h2" in shown and "its turn" in shown
    assert "1 running · 1 waiting" in shown


def test_a_terminal_with_other_output_on_it_gets_plain_lines():
    terminal = Terminal()
    with show(stream=terminal, verbosity=1) as view:
        view.event(at("clean", 1.0))
        view.tick()
    assert terminal.getvalue() == "h1: clean, 1.0s in all\n"


def test_a_program_gets_json_lines(record):
    terminal = Terminal()
    with show(("h1",), stream=terminal, as_json=True, verbosity=1) as view:
        view.event(Output("TASK [x]"))
        view.event(at("compile", 60.0, 30.0, 3, 13))
        view.event(TaskFailure("h1", "p", "t", unreachable=True, message="away"))
        view.event(RecordFound("h1", record))
        view.tick()
    told = [json.loads(line) for line in terminal.getvalue().splitlines()]
    assert [line["event"] for line in told] == ["Progress", "Failure", "RecordFound"]
    assert (told[0]["phase"], told[0]["done"], told[0]["total"], told[0]["elapsed"]) == ("compile", 3, 13, 60.0)
    assert (told[1]["unreachable"], told[1]["message"]) == (True, "away")
    assert (told[2]["run_id"], told[2]["outcome"]) == (record["run_id"], "ok")
    assert all(line["host"] == "h1" and line["time"] > 1e9 for line in told)


# --- many hosts ---


def pictured(fleet, width=100, height=24):
    lines = [line.plain for line in picture(fleet, width, height)]
    assert len(lines) < height, "the cursor needs a line, or the terminal scrolls"
    assert max(map(len, lines)) <= width
    return lines


def test_hosts_are_in_their_order_where_there_is_room(clock):
    fleet = Fleet(["b", "a"], clock=clock)
    fleet.take(TaskFailure("a", "p", "t", unreachable=True, message="no route to host"))
    fleet.take(at("compile", 60.0, 30.0, 3, 13, host="b"))
    assert pictured(fleet) == [
        "● b  compile 3/13 for 30.0s  1m00s in all",
        "✗ a  unreachable                           no route to host",
        "1 unreachable · 1 running",
    ]


def test_more_hosts_than_lines_show_those_that_matter_and_count_the_rest(clock, record):
    fleet = Fleet([f"h{number}" for number in range(200)], clock=clock)
    for number in range(190):
        fleet.take(at("image_build" if number == 150 else "compile", 60.0, host=f"h{number}"))
    for number in range(100):
        fleet.take(at(None, 90.0, state="finished", host=f"h{number}"))
        fleet.take(RecordFound(f"h{number}", record))
    fleet.take(TaskFailure("h180", "p", "Check", unreachable=False, message="no room"))
    lines = pictured(fleet, height=12)
    assert len(lines) == 11
    assert lines[0].startswith("✗ h180") and "no room" in lines[0]
    assert lines[1].startswith("● h150"), "it is furthest behind"
    assert lines[-1] == "1 failed · 89 running · 10 waiting · 100 done · 190 not shown"


@pytest.mark.parametrize(("width", "height"), [(20, 3), (1, 1), (40, 10), (300, 80)])
def test_any_terminal_will_do(clock, width, height):
    fleet = Fleet(["a-rather-long-name-of-a-host.example.org", "ホスト"], clock=clock)
    fleet.take(Started("ホスト", "Prepare the hosts", "Install what is missing"))
    for line in picture(fleet, width, height):
        assert line.cell_len <= max(width, 3), "a mark, a space and one cell"


SHOWS = """
import time
from provisioner.ansible.events import Started
from provisioner.view.progress import show
with show([f"h{number}" for number in range(200)]) as view:
    view.event(Started("h1", "P" * 300, "t"))
    while True:
        view.tick()
        time.sleep(0.1)
"""


def test_the_view_follows_the_terminal_s_size():
    """On a real terminal, which changes its size while the view is on it."""
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    terminal = pexpect.spawn(
        sys.executable,
        ["-c", SHOWS],
        dimensions=(24, 100),
        encoding="utf-8",
        timeout=60,
        env=environment | {"PYTHONPATH": str(Path(__file__).parents[2]), "TERM": "xterm-256color"},
    )

    def drawing(end):
        terminal.expect_exact(end)
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.before.rpartition("●")[2] + end).splitlines()

    try:
        assert len(drawing("199 waiting · 178 not shown")) == 23
        terminal.setwinsize(12, 60)
        lines = drawing("199 waiting · 190 not shown")
        assert len(lines) == 11
        assert max(map(len, lines)) <= 60
    finally:
        terminal.close(force=True)


@pytest.mark.skipif(not shutil.which("tmux"), reason="no tmux")
@pytest.mark.parametrize("size", [(60, 12), (200, 50), (30, 30)])
def test_nothing_stale_is_left_when_the_terminal_changes_its_size(tmp_path, size):
    """In a terminal that breaks the lines anew that are there, as most do."""
    program = tmp_path / "shows.py"
    noted = "    view.event(Noted('h2', ('mind it',)))\n    while True"
    program.write_text(SHOWS.replace("import Started", "import Noted, Started").replace("    while True", noted))
    path = f"PYTHONPATH={Path(__file__).parents[2]}"

    def tmux(*words):
        # One server a test: the one before may still be about to end.
        server = ("-S", str(tmp_path / "tmux"), "-f", "/dev/null")
        return subprocess.run(["tmux", *server, *words], capture_output=True, text=True, check=True).stdout

    tmux("new-session", "-d", "-x", "120", "-y", "40", "env", path, sys.executable, str(program))

    def screen(end):
        for _ in range(80):
            time.sleep(0.25)
            lines = tmux("capture-pane", "-p").rstrip("\n").splitlines()
            if lines and lines[-1].endswith(end):
                return lines
        raise AssertionError("\n".join(lines))

    try:
        assert screen(" not shown")[0] == "provisioner: h2: mind it"
        columns, rows = size
        tmux("resize-window", "-x", str(columns), "-y", str(rows))
        # On the narrow one the summary is cut.
        lines = screen(f"{200 - rows + 2} not shown" if columns > 40 else "…")
        marks = [line[0] for line in lines if not line.startswith("provisioner: ")]
        assert marks == ["●", *"·" * (rows - 3), "1"], "one drawing, and nothing of that before"
    finally:
        tmux("kill-server")


def test_of_many_hosts_one_line_tells_how_they_are(stream, clock):
    lines = Lines(stream, Fleet([f"h{number}" for number in range(30)], clock=clock))
    lines.event(at("compile", 60.0))
    clock.now += 31
    lines.tick()
    lines.tick()
    assert stream.getvalue().splitlines() == ["h1: compile, 1m00s in all", "1 running · 29 waiting"]


def of_inputs(inputs, phase, *told, host="h1"):
    """A run whose inputs are these; `told` as at() has it."""
    return replace(at(phase, *told, host=host), input_hash=inputs)


def test_what_earlier_runs_took_tells_how_long_it_will_be(clock, keep, state, record):
    """The phases of the kept record: image_build 170.1, container_up 8.5, clone 2, compile 138, pre_commit 12."""
    same, other = ({**record["inputs"], "input_hash": inputs} for inputs in ("same", "other"))
    keep(run_id="a", timings={"compile": 100.0, "pre_commit": 10.0}, inputs=same)
    keep(run_id="b", timings={"compile": 140.0, "pre_commit": 12.0}, inputs=same)
    keep(run_id="c", timings={"compile": 1.0}, outcome="failed", inputs=same)
    keep(run_id="d", host="h2", timings={"compile": 30.0, "attention_test": None}, inputs=same)
    keep(run_id="e", timings={"compile": 9999.0}, inputs=other)
    keep(run_id="f", timings={"compile": 9999.0})  # runs of before told no inputs
    past = history.of_store(Store(state))

    def left(inputs, phase, inside, host="h1"):
        return past.remaining(of_inputs(inputs, phase, 60.0, host=host), inside)

    assert left("same", "compile", 20.0) == Left(111.0)
    assert left("same", "compile", 500.0) == Left(11.0)
    assert left("same", None, 0.0) == Left(131.0)
    assert left("same", "clone", 1.0, "h2") == Left(30.0)
    assert left("same", "compile", 0.0, "new") == Left(111.0), "by all hosts' runs of the same inputs"
    assert left("other", "compile", 0.0) == Left(9999.0)
    assert left("third", "compile", 0.0) is left("", "compile", 0.0) is None, "other inputs say nothing"
    fleet = Fleet(["h1", "h2"], past, clock)
    fleet.take(of_inputs("same", "compile", 60.0, 20.0))
    clock.now += 11
    assert pictured(fleet)[0] == "● h1  compile for 31.0s  1m11s in all  about 2m left"
    assert pictured(fleet)[-1] == "1 running · 1 waiting", "nobody knows of the other one"
    fleet.take(of_inputs("same", "compile", 60.0, 20.0, host="h2"))
    assert pictured(fleet)[-1] == "2 running · about 2m left"


def test_without_history_the_objects_tell_how_long_the_compile_will_be(stream, clock):
    fleet = Fleet(["h1"], History(), clock)
    lines = Lines(stream, fleet)
    for inside, done in ((5.0, 1), (40.0, 2), (60.0, 4)):
        lines.event(of_inputs("new", "compile", 100.0 + inside, inside, done, 13))
        clock.now += 10
        lines.tick()
    assert stream.getvalue().splitlines() == [
        "h1: compile 1/13 for 5.0s, 1m45s in all",
        "h1: compile 1/13 for 15.0s, 1m55s in all",
        "h1: compile 2/13 for 50.0s, 2m30s in all",
        "h1: compile 4/13 for 1m10s, 2m50s in all; about 3m left of compile",
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "10s"), (44, "40s"), (55, "1m"), (239, "4m"), (3590, "1h"), (4300, "1h10m"), (90000, "25h")],
)
def test_an_estimate_is_no_more_exact_than_it_may_be_taken_for(seconds, said):
    assert str(Left(seconds)) == f"about {said} left"


def test_what_the_build_says_is_told_while_nothing_can_be_counted(stream, clock):
    lines = Lines(stream, Fleet(clock=clock))
    lines.event(Progress("h1", "r1", "running", "image_build", 9.0, 8.0, said="Step 3/9 : RUN apt-get\x1b[2J install"))
    clock.now += 10
    lines.tick()
    assert stream.getvalue().splitlines()[1] == (
        "h1: image_build for 18.0s, 19.0s in all; Step 3/9 : RUN apt-get\\x1b[2J install"
    )


def test_of_what_is_mended_it_is_told_which_part_it_is_and_the_task_s_own_time(lines, stream, clock):
    change = ({"what": "package x", "from": "absent", "to": "1"},)
    lines.event(Started("h1", "Prepare the hosts", "Look at the host"))
    for role, changes in (("site", ()), ("docker_engine", change), ("devcontainer_cli", change)):
        lines.event(Looked("h1", role, changes))
    tasks = {"site": "Trust", "devcontainer_cli": "Begin", "docker_engine": "Install", "": "Look again"}
    for role, task in tasks.items():
        clock.now += 4
        lines.event(Started("h1", "Prepare the hosts", task, role))
        lines.tick()
    for _ in range(3):
        clock.now += 10
        lines.tick()
    assert stream.getvalue().splitlines() == [
        "h1: Prepare the hosts",
        "h1: devcontainer_cli, 1 of 2, 8.0s in all",
        "h1: docker_engine, 2 of 2, 12.0s in all",
        "h1: Prepare the hosts, 26.0s in all; for 10.0s: Look again",
        "h1: Prepare the hosts, 36.0s in all; for 20.0s: Look again",
        "h1: Prepare the hosts, 46.0s in all; for 30.0s: Look again",
    ]


@pytest.mark.parametrize("count", [2, 30])
def test_no_more_than_ten_seconds_pass_without_a_word(stream, clock, count):
    """Not even before the first host begins, or while others wait for their turn."""
    lines = Lines(stream, Fleet([f"h{number}" for number in range(count)], clock=clock))
    for second in range(100):
        clock.now += 1
        if second == 33:
            lines.event(Started("h1", "Look at the hosts", "Look"))
        before = stream.tell()
        lines.tick()
        if second % 10 == 9 and second < 33:
            assert stream.tell() > before
    assert len(stream.getvalue().splitlines()) >= 10


def test_what_a_look_finds_can_be_left_for_the_end(clock):
    looked, busy = Looked("h1", "x", (), notes=("old",)), Busy("h1", ("2 pods",))
    assert [Fleet(clock=clock).news(event) for event in (looked, busy)] != [[], []]
    assert [Fleet(clock=clock, notes=False).news(event) for event in (looked, busy)] == [[], []]


def test_a_host_that_does_not_answer_is_told_once_and_when_it_is_back(lines, stream, clock):
    lines.event(at("compile", 60.0, 30.0, 3, 13))
    for seconds in (10.0, 20.0):
        lines.event(Silent("h1", "r1", seconds, "no route to host"))
    lines.event(at("compile", 90.0, 60.0, 5, 13))
    told = stream.getvalue().splitlines()[1:]
    assert told == [
        "h1: no answer for 10.0s; its run goes on, waiting for it to answer",
        "h1: compile 5/13 for 1m00s, 1m30s in all",
    ]


def test_a_run_in_flight_is_remembered_until_its_end_was_seen(tmp_path, record):
    notes = runs_in_flight.Notes(tmp_path)
    notes.event(at("compile", 60.0, 30.0, 3, 13))
    notes.event(at("compile", 61.0, 31.0, 4, 13, host="h2"))
    one, two = runs_in_flight.seen(tmp_path)
    assert (one["host"], one["run_id"], one["phase"], one["done"], one["total"]) == ("h1", "r1", "compile", 3, 13)
    assert two["host"] == "h2"
    notes.event(at(None, 70.0, state="finished"))
    notes.event(RecordFound("h2", record))
    notes.event(RecordFound("h3", record))
    assert runs_in_flight.seen(tmp_path) == []
