"""The lock on a host that one `prepare` holds at a time, by the process that holds it; and the log of changes."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.provisioner.gpu_hosts.plugins.action import mending as action
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import mending

SOON = "PAUSE, IDLE, LONGEST = 0.2, 1"
CHANGE = {"role": "a_role", "what": "a thing", "from": "absent", "to": "present"}


@pytest.fixture
def lock(tmp_path, monkeypatch):
    """A lock of the test's own; its holders look about five times a second, and end a second after the last work."""
    program = tmp_path / "program.py"
    quick = (
        Path(mending.__file__).read_text().replace("PAUSE, IDLE, LONGEST = 5, 600,", "PAUSE, IDLE, LONGEST = 0.2, 1,")
    )
    program.write_text(quick)
    monkeypatch.setattr(mending, "__file__", str(program))
    monkeypatch.setattr(mending, "start", start)
    path = tmp_path / "state/prepare.lock"
    yield path
    mending.tell(path, mending.held(path).get("job", ""), signal.SIGTERM)


def start(command, job):
    """Start the holder as on a host without systemd; the test's own may be one that answers nobody."""
    subprocess.Popen(command, start_new_session=True)


def about(path, wanted=(CHANGE,)):
    return {
        "controller": "me@here",
        "since": "10:00",
        "wanted": list(wanted),
        "log": str(path.parent / "log/changes.log"),
    }


def logged(path):
    log = path.parent / "log/changes.log"
    return log.read_text().splitlines() if log.exists() else []


def until_free(path):
    while mending.held(path):
        time.sleep(0.05)


def test_one_has_it_until_it_gives_it_back(lock):
    assert mending.take(lock, "one", about(lock))["job"] == "one"
    assert mending.take(lock, "one", about(lock))["job"] == "one", "asked for again, it is still ours"
    assert mending.take(lock, "two", about(lock))["job"] == "one"
    mending.tell(lock, "two", signal.SIGTERM)
    assert mending.held(lock)["job"] == "one"
    mending.tell(lock, "one", signal.SIGTERM)
    until_free(lock)
    assert mending.take(lock, "two", about(lock))["job"] == "two"
    assert logged(lock) == [], "what was given back is logged by who gives it back"


def test_of_many_that_ask_at_once_one_gets_it(lock):
    asks = (
        "import sys, json, pathlib, runpy; m = runpy.run_path(sys.argv[1]);"
        "m['take'].__globals__['start'] = lambda c, t: __import__('subprocess').Popen(c, start_new_session=True);"
        "print(m['take'](pathlib.Path(sys.argv[2]), sys.argv[3], {})['job'])"
    )
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", asks, mending.__file__, lock, f"t{i}"], stdout=subprocess.PIPE, text=True
        )
        for i in range(6)
    ]
    assert len({process.communicate()[0] for process in asking}) == 1


def test_it_outlasts_its_controller_only_for_what_still_works(lock):
    worker = subprocess.Popen(["sleep", "60"], env={mending.VARIABLE: "one"})
    mending.take(lock, "one", about(lock))
    assert mending.at_work("one") == f"sleep (process {worker.pid})"
    mending.tell(lock, "one", signal.SIGHUP)
    time.sleep(2)
    assert mending.held(lock), "something of it is still at work"
    worker.kill()
    worker.wait()
    until_free(lock)
    assert [line.partition(" ")[2] for line in logged(lock)] == [
        "me@here a_role: a thing: absent -> present (begun; the prepare was broken off)"
    ]


def test_it_ends_by_itself_when_nothing_works_for_it_any_more(lock):
    mending.take(lock, "one", about(lock))
    until_free(lock)
    assert mending.take(lock, "two", about(lock))["job"] == "two" and len(logged(lock)) == 1


def test_what_a_killed_holder_had_begun_is_logged_by_the_next(lock):
    os.kill(mending.take(lock, "one", about(lock))["pid"], signal.SIGKILL)
    until_free(lock)
    mending.take(lock, "two", about(lock, wanted=()))
    assert len(logged(lock)) == 1 and logged(lock)[0].endswith(mending.BROKEN_OFF)


def test_the_log_has_one_line_a_change_and_no_secrets(tmp_path):
    log = tmp_path / "log/changes.log"
    before = os.umask(0o077)
    try:
        proxy = {**CHANGE, "what": "proxy http://user:secret@proxy:3128/", "to": "two\nlines"}
        mending.append(str(log), "me@here", [CHANGE, proxy])
    finally:
        os.umask(before)
    mending.append(str(log), "me@here", [])
    lines = log.read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == [
        "me@here a_role: a thing: absent -> present",
        "me@here a_role: proxy http://proxy:3128/: absent -> two lines",
    ]
    assert lines[0][:20] == time.strftime("%Y-%m-%dT%H", time.gmtime()) + lines[0][13:19] + "Z"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (log.parent, log)]
    assert modes == [0o750, 0o640]


def test_what_was_made_is_what_is_not_off_any_more():
    x, y, other = ({**CHANGE, "what": what} for what in ("x", "y", "other"))
    assert mending.made([x, y], [y, other]) == [x]


def test_a_controller_is_gone_only_where_that_can_be_seen():
    process = subprocess.Popen(["sleep", "60"])
    identity = {"seen_from": action.seen_from(), "pid": process.pid, "began": action.began(process.pid)}
    assert not action.is_gone(json.loads(json.dumps(identity)))
    process.kill()
    process.wait()
    assert action.is_gone(identity)
    assert not action.is_gone({**identity, "seen_from": "another machine"}) and not action.is_gone({})
