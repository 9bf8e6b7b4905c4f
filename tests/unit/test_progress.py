"""Progress, from events as ansible-runner gives them: at once when something begins, else at a sane rate."""

import io
import json
import time

import pytest

from provisioner import inflight
from provisioner.events import VALIDATION_PLAY, Failure, Output, Progress, RecordFound, Started, Waiting
from provisioner.live import REFRESH
from provisioner.progress import Lines, show


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
    return Lines(stream, clock=clock)


def at(phase, elapsed, inside=0.0, done=None, total=None, *, state="running", host="h1"):
    return Progress(host, "r1", state, phase, elapsed, inside, done, total)


def test_a_phase_is_told_when_it_begins_and_not_again_at_once(lines, stream, clock):
    lines.event(at("image_build", 1.0))
    for second in range(1, 30):
        clock.now = 1000.0 + second
        lines.event(at("image_build", 1.0 + second, second))
        lines.tick()
    assert stream.getvalue() == "h1: image_build, 0.0s of 1.0s\n"
    lines.event(at("compile", 31.0, 0.0, 0, 13))
    assert stream.getvalue().splitlines()[1] == "h1: compile 0/13, 0.0s of 31.0s"


def test_a_long_phase_has_a_line_every_half_minute(lines, stream, clock):
    lines.event(at("compile", 100.0, 5.0, 2, 13))
    for _ in range(12 * 60 * 4):  # twelve minutes of quarter seconds
        clock.now += 0.25
        lines.tick()
    told = stream.getvalue().splitlines()
    assert len(told) == 1 + 24
    # Between two looks at the host our own clock carries its elapsed time on.
    assert told[1] == "h1: compile 2/13, 35.0s of 2m10s"


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
        "h1: Prepare the hosts (three), 31.0s",
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


def test_a_failure_is_told_once_and_no_more_is_said(lines, stream, clock):
    lines.event(Started("h1", "p", "t"))
    lines.event(Failure("h1", "p", "t", unreachable=False, message="no room; make some"))
    clock.now += 100
    lines.tick()
    assert stream.getvalue().splitlines()[1:] == ["h1: failed in 't'"]


def test_a_refused_input_is_not_told_by_the_progress(lines, stream):
    lines.event(Started("h1", VALIDATION_PLAY, "t"))
    lines.event(Failure("h1", VALIDATION_PLAY, "t", unreachable=False, message="no such thing; give another"))
    assert stream.getvalue() == ""


def test_ansibles_own_output_only_when_asked_for(stream):
    Lines(stream).event(Output("TASK [x]"))
    assert stream.getvalue() == ""
    Lines(stream, verbose=True).event(Output("TASK [x]"))
    assert stream.getvalue() == "TASK [x]\n"


def test_a_terminal_shows_a_live_line(clock):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    with show(stream=terminal) as view:
        view.event(Started("h1", "Prepare [the] hosts", "[red]task"))
        view.tick()
        time.sleep(REFRESH)
        view.event(at("compile", 60.0, 30.0, 3, 13))
        view.tick()
    shown = terminal.getvalue()
    assert "Prepare [the] hosts" in shown and "[red]task" in shown
    assert "compile 3/13" in shown and "30.0s of 1m00s" in shown


@pytest.mark.parametrize("options", [{"verbosity": 1}, {"plain": True}])
def test_a_terminal_with_other_output_on_it_gets_plain_lines(options):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    with show(stream=terminal, **options) as view:
        view.event(at("clean", 1.0))
        view.tick()
    assert terminal.getvalue() == "h1: clean, 0.0s of 1.0s\n"


def test_a_run_in_flight_is_remembered_until_its_end_was_seen(tmp_path, record):
    notes = inflight.Notes(tmp_path)
    notes.event(at("compile", 60.0, 30.0, 3, 13))
    notes.event(at("compile", 61.0, 31.0, 4, 13, host="h2"))
    one, two = inflight.seen(tmp_path)
    assert (one["host"], one["run_id"], one["phase"], one["done"], one["total"]) == ("h1", "r1", "compile", 3, 13)
    assert two["host"] == "h2"
    notes.event(at(None, 70.0, state="finished"))
    notes.event(RecordFound("h2", record))
    notes.event(RecordFound("h3", record))
    assert inflight.seen(tmp_path) == []


def test_status_lists_what_is_in_flight_and_what_is_done(cli, state, keep):
    assert "no runs" in cli("status")[2]
    keep(run_id="done")
    state.mkdir(exist_ok=True)
    inflight.Notes(state).event(at("compile", 60.0, 30.0, 3, 13))
    _, out, _ = cli("status")
    assert "3/13" in out and "1m00s" in out and "done" in out
    inflight.Notes(state).event(Progress("h1", "done", "running", "compile", 1.0, 1.0))
    document = json.loads(cli("status", "--json")[1])
    assert document["in_flight"] == [], "its record is there: it is not in flight any more"
    assert [run["run_id"] for run in document["runs"]] == ["done"]
